// Ogg: its pages tell where one stream ends and the next begins. libsndfile reads one stream, so each link of a chain
// is given to it alone.
#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <string_view>
#include <utility>

#include "axlstm/core/error.h"
#include "decoder.h"

namespace axlstm::audio {
namespace {

constexpr std::size_t kPageHeader = 27;
constexpr std::uint64_t kSearchBlock = 1 << 16;
constexpr std::uint8_t kBegins = 2, kEnds = 4;

struct Page {
  std::uint64_t begin = 0, end = 0;
  std::uint8_t flags = 0;
  std::int64_t position = -1;  ///< in frames, of the end of the last packet that ends in it; -1: none does
  std::uint32_t serial = 0;
  std::string start;  ///< of its content
};

/// The first page at or behind `at`.
bool find_page(const ByteSource& bytes, std::uint64_t at, Page& page) {
  while (true) {
    const std::string header = bytes.text(at, kPageHeader + 255);
    if (header.size() < kPageHeader) return false;
    if (!header.starts_with("OggS")) {
      const std::string block = bytes.text(at + 1, kSearchBlock);
      const std::size_t found = block.find("OggS");
      if (found == std::string::npos && block.size() < kSearchBlock) return false;
      at += 1 + (found == std::string::npos ? kSearchBlock - 3 : found);
      continue;
    }
    const auto byte = [&](std::size_t n) { return static_cast<std::uint8_t>(header[n]); };
    const std::size_t segments = byte(26);
    if (header.size() < kPageHeader + segments) return false;
    std::uint64_t size = kPageHeader + segments;
    for (std::size_t n = 0; n < segments; ++n) size += byte(kPageHeader + n);
    page = {at, at + size, byte(5), 0, 0, {}};
    std::uint64_t position = 0;
    for (std::size_t n = 14; n-- > 6;) position = position << 8 | byte(n);
    page.position = static_cast<std::int64_t>(position);
    for (std::size_t n = 4; n-- > 0;) page.serial = page.serial << 8 | byte(14 + n);
    if ((page.flags & kBegins) != 0) page.start = bytes.text(at + kPageHeader + segments, 8);
    return true;
  }
}

/// A part of the file in which all streams begin together.
struct Link {
  std::uint64_t begin = 0, end = 0;
  std::set<std::uint32_t> streams;
  bool is_read = true;                         ///< by libsndfile: one stream, of Vorbis or Opus
  bool ended = false;                          ///< its last page is there, whole
  std::int64_t last_page = 0, after_last = 0;  ///< position where the last page begins, and where it ends
};

std::vector<Link> find_links(const ByteSource& bytes) {
  std::vector<Link> links;
  bool beginning = false;  // among the first pages of a link
  Page page;
  for (std::uint64_t at = 0; find_page(bytes, at, page); at = page.end) {
    if ((page.flags & kBegins) != 0) {
      if (!beginning) links.push_back({page.begin, 0, {}});
      beginning = true;
      Link& link = links.back();
      link.streams.insert(page.serial);
      const bool known = page.start.starts_with("\x01vorbis") || page.start.starts_with("OpusHead");
      link.is_read = link.is_read && known && link.streams.size() == 1;
    } else {
      beginning = false;
    }
    if (links.empty()) continue;  // cut off at its start
    links.back().end = std::min(page.end, bytes.size());
    if ((page.flags & kEnds) != 0 && page.end <= bytes.size()) links.back().ended = true;
    if (page.position > 0) links.back().last_page = std::exchange(links.back().after_last, page.position);
  }
  return links;
}

/// A link by libsndfile, which seeks wrongly within the last page: what the encoder filled up its last block with
/// counts as sound that comes before, so that all of the page comes too early (1.2.0 and 1.2.2). So the decoder seeks
/// to before that page and reads on.
class LinkDecoder final : public Decoder {
 public:
  LinkDecoder(const ByteSource& bytes, const Link& link)
      : decoder_(open_sndfile(bytes)),
        sought_(decoder_->promised() - (link.after_last - link.last_page) - kLongestBlock) {}

  int sample_rate() const override { return decoder_->sample_rate(); }
  std::int64_t read(float* target, std::int64_t count) override { return decoder_->read(target, count); }
  std::int64_t skip(std::int64_t count) override {
    const std::int64_t skipped = decoder_->skip(std::clamp<std::int64_t>(sought_, 0, count));
    return skipped + Decoder::skip(count - skipped);
  }
  std::int64_t promised() const override { return decoder_->promised(); }

 private:
  static constexpr std::int64_t kLongestBlock = 8192;  // frames, of Vorbis

  std::unique_ptr<Decoder> decoder_;
  std::int64_t sought_;  ///< how far may be sought
};

std::unique_ptr<Decoder> open_link(const ByteSource& bytes) {
  return std::make_unique<LinkDecoder>(bytes, find_links(bytes).at(0));
}

/// A stream whose end is missing: all that decodes is taken, and said to be a part.
class CutDecoder final : public Decoder {
 public:
  explicit CutDecoder(std::unique_ptr<Decoder> decoder) : decoder_(std::move(decoder)) {}

  int sample_rate() const override { return decoder_->sample_rate(); }
  std::int64_t read(float* target, std::int64_t count) override { return decoder_->read(target, count); }
  std::int64_t skip(std::int64_t count) override { return decoder_->skip(count); }
  std::int64_t promised() const override { return decoder_->promised(); }
  std::int64_t uncertainty() const override { return decoder_->uncertainty(); }
  std::string note() const override {
    const std::string note = decoder_->note();
    return str(note, note.empty() ? "" : "; ", "no page ends the stream: a recording or download that was cut off?");
  }

 private:
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace

std::unique_ptr<Decoder> open_ogg(const ByteSource& bytes) {
  const std::vector<Link> links = find_links(bytes);
  if (links.empty()) return nullptr;
  for (const Link& link : links) {
    if (!link.is_read) return nullptr;
  }
  std::unique_ptr<Decoder> decoder;
  if (links.size() == 1) {
    decoder = std::make_unique<LinkDecoder>(bytes, links.front());
  } else {
    std::vector<std::unique_ptr<ByteSource>> parts;
    parts.reserve(links.size());
    for (const Link& link : links) parts.push_back(std::make_unique<WindowBytes>(bytes, link.begin, link.end));
    decoder = std::make_unique<ChainedDecoder>(std::move(parts), &open_link, "joined streams", 1);
  }
  if (links.back().ended) return decoder;
  return std::make_unique<CutDecoder>(std::move(decoder));
}

}  // namespace axlstm::audio
