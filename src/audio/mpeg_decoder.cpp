// MPEG audio through libmpg123. A file may be several that were joined; each begins with a frame of its own that tells
// its length (Xing, Info, VBRI), and is decoded by itself, so that its encoder's delay and padding are cut off.
#include <mpg123.h>

#include <algorithm>
#include <exception>
#include <optional>

#include "axlstm/core/error.h"
#include "decoder.h"

namespace axlstm::audio {
namespace {

using Handle = std::unique_ptr<mpg123_handle, decltype(&mpg123_delete)>;

// A stray pair of bytes that looks like a frame is common in other data; sound begins near the start.
constexpr std::uint64_t kNearStart = 1 << 16;
constexpr std::int64_t kUncertainFrames = 1;  // some encoders count the frame that tells the number

/// A ByteSource as libmpg123 reads it. Exceptions must not pass through C: the first one is kept.
struct Stream {
  const ByteSource& bytes;
  std::uint64_t position = 0;
  std::exception_ptr failure = nullptr;

  void rethrow() const {
    if (failure) std::rethrow_exception(failure);
  }
};

mpg123_ssize_t read_stream(void* user, void* target, std::size_t count) {
  auto& stream = *static_cast<Stream*>(user);
  if (stream.failure) return -1;
  try {
    const std::size_t got = stream.bytes.read(stream.position, target, count);
    stream.position += got;
    return static_cast<mpg123_ssize_t>(got);
  } catch (...) {
    stream.failure = std::current_exception();
    return -1;
  }
}

off_t seek_stream(void* user, off_t offset, int whence) {
  auto& stream = *static_cast<Stream*>(user);
  const auto size = static_cast<off_t>(stream.bytes.size());
  const off_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? static_cast<off_t>(stream.position) : size;
  stream.position = static_cast<std::uint64_t>(std::clamp<off_t>(base + offset, 0, size));
  return static_cast<off_t>(stream.position);
}

/// libmpg123 on `stream`, which must outlive the handle.
Handle open_handle(Stream& stream, long more_flags) {
  int failure = MPG123_OK;
  Handle handle(mpg123_new(nullptr, &failure), &mpg123_delete);
  AXLSTM_CHECK(handle, "libmpg123: ", mpg123_plain_strerror(failure));
  mpg123_param(handle.get(), MPG123_ADD_FLAGS, MPG123_QUIET | MPG123_FORCE_FLOAT | more_flags, 0);
  mpg123_param(handle.get(), MPG123_RESYNC_LIMIT, -1, 0);  // sound goes on behind any amount of damage
  mpg123_format_none(handle.get());
  const long* rates = nullptr;
  std::size_t count = 0;
  mpg123_rates(&rates, &count);
  for (std::size_t n = 0; n < count; ++n)
    mpg123_format(handle.get(), rates[n], MPG123_MONO | MPG123_STEREO, MPG123_ENC_FLOAT_32);
  mpg123_replace_reader_handle(handle.get(), read_stream, seek_stream, nullptr);
  AXLSTM_CHECK(mpg123_open_handle(handle.get(), &stream) == MPG123_OK, "libmpg123: ", mpg123_strerror(handle.get()));
  return handle;
}

/// Joined frames that belong together.
struct Piece {
  std::uint64_t begin = 0;
  long rate = 0;
  int samples_a_frame = 0;
  std::int64_t frames = 0;            ///< found
  std::int64_t promised_frames = -1;  ///< as its first frame tells
  std::int64_t bytes = 0;             ///< of its frames
};

struct InfoFrame {
  std::int64_t frames = -1;
};

/// What a frame tells of those behind it, if it is there for that. `body`: of the frame, behind its header.
std::optional<InfoFrame> info_of(unsigned long header, const unsigned char* body, std::size_t size) {
  const bool mpeg1 = (header >> 19 & 3) == 3, mono = (header >> 6 & 3) == 3;
  const bool layer3 = (header >> 17 & 3) == 1, checksum = (header >> 16 & 1) == 0;
  if (!layer3) return std::nullopt;
  const auto number = [&](std::size_t at) {
    std::int64_t value = 0;
    for (std::size_t n = 0; n < 4; ++n) value = value << 8 | body[at + n];
    return value;
  };
  const auto is = [&](std::size_t at, const char* name) {
    return size >= at + 8 && std::equal(name, name + 4, reinterpret_cast<const char*>(body) + at);
  };
  const std::size_t side = mpeg1 ? (mono ? 17 : 32) : (mono ? 9 : 17);
  for (const std::size_t at : {side, side + (checksum ? 2U : 0U)}) {
    if (!is(at, "Xing") && !is(at, "Info")) continue;
    const bool counted = (number(at + 4) & 1) != 0 && size >= at + 12;
    return InfoFrame{counted ? number(at + 8) : -1};
  }
  if (is(32, "VBRI") && size >= 32 + 18) return InfoFrame{number(32 + 14)};
  return std::nullopt;
}

/// Walks over all frames without decoding them.
std::vector<Piece> find_pieces(const ByteSource& bytes) {
  Stream stream{bytes};
  const Handle handle = open_handle(stream, MPG123_IGNORE_INFOFRAME);
  std::vector<Piece> pieces;
  while (true) {
    const int status = mpg123_framebyframe_next(handle.get());
    stream.rethrow();
    if (status != MPG123_OK && status != MPG123_NEW_FORMAT) break;
    unsigned long header = 0;
    unsigned char* body = nullptr;
    std::size_t size = 0;
    mpg123_frameinfo frame{};
    if (mpg123_framedata(handle.get(), &header, &body, &size) != MPG123_OK ||
        mpg123_info(handle.get(), &frame) != MPG123_OK)
      break;
    const auto info = info_of(header, body, size);
    const bool layer1 = frame.layer == 1, low = frame.version != MPG123_1_0;
    const int samples = layer1 ? 384 : frame.layer == 3 && low ? 576 : 1152;
    const bool more_than_told =
        !pieces.empty() && pieces.back().promised_frames >= 0 && pieces.back().frames == pieces.back().promised_frames;
    if (pieces.empty() || info || pieces.back().rate != frame.rate || pieces.back().samples_a_frame != samples ||
        more_than_told) {
      pieces.push_back({static_cast<std::uint64_t>(mpg123_framepos(handle.get())), frame.rate, samples, 0,
                        info ? info->frames : -1, 0});
    }
    if (!info) ++pieces.back().frames;
    pieces.back().bytes += frame.framesize;
  }
  std::erase_if(pieces, [](const Piece& piece) { return piece.frames == 0; });
  return pieces;
}

/// One piece of a file.
class MpegDecoder final : public BlockDecoder {
 public:
  explicit MpegDecoder(const ByteSource& bytes) : stream_{bytes}, handle_(open_handle(stream_, 0)) {
    int encoding = 0;
    const int status = mpg123_getformat(handle_.get(), &rate_, &channels_, &encoding);
    stream_.rethrow();
    AXLSTM_CHECK(status == MPG123_OK, "libmpg123: ", mpg123_strerror(handle_.get()));
    AXLSTM_CHECK(rate_ >= kMinSampleRate && (channels_ == 1 || channels_ == 2), "claims ", channels_, " channels at ",
                 rate_, " Hz");
    block_.resize(mpg123_safe_buffer() / sizeof(float));
  }

  int sample_rate() const override { return static_cast<int>(rate_); }

 private:
  /// Fills `mixed_` with what comes next; false at the end.
  bool decode() override {
    while (true) {
      std::size_t bytes = 0;
      const int status = mpg123_read(handle_.get(), block_.data(), block_.size() * sizeof(float), &bytes);
      stream_.rethrow();
      const std::size_t frames = bytes / sizeof(float) / static_cast<std::size_t>(channels_);
      mixed_.resize(frames);
      next_ = 0;
      mix_down(block_.data(), static_cast<std::int64_t>(frames), channels_, mixed_.data());
      if (status == MPG123_NEW_FORMAT) {  // mono and stereo in turns
        int encoding = 0;
        mpg123_getformat(handle_.get(), &rate_, &channels_, &encoding);
      }
      if (frames > 0) return true;
      if (status != MPG123_OK && status != MPG123_NEW_FORMAT) return false;
    }
  }

  Stream stream_;
  Handle handle_;
  long rate_ = 0;
  int channels_ = 0;
  std::vector<float> block_;
};

std::unique_ptr<Decoder> open_piece(const ByteSource& bytes) { return std::make_unique<MpegDecoder>(bytes); }

}  // namespace

std::unique_ptr<Decoder> open_mpeg(const ByteSource& bytes, bool certain) {
  const std::vector<Piece> pieces = find_pieces(bytes);
  if (pieces.empty()) return nullptr;
  if (!certain) {
    std::int64_t covered = 0;
    for (const Piece& piece : pieces) covered += piece.bytes;
    const auto behind_start = static_cast<std::int64_t>(bytes.size() - pieces.front().begin);
    if (pieces.front().begin > kNearStart || pieces.front().frames < 2 || 2 * covered < behind_start) return nullptr;
  }
  std::vector<std::unique_ptr<ByteSource>> parts;
  std::int64_t told = 0, missing = 0;
  for (std::size_t n = 0; n < pieces.size(); ++n) {
    const Piece& piece = pieces[n];
    const std::uint64_t end = n + 1 < pieces.size() ? pieces[n + 1].begin : bytes.size();
    parts.push_back(std::make_unique<WindowBytes>(bytes, piece.begin, end));
    told += std::max(piece.promised_frames, piece.frames);
    if (piece.promised_frames > piece.frames + kUncertainFrames) missing += piece.promised_frames - piece.frames;
  }
  const double share = 1 - static_cast<double>(missing) / static_cast<double>(told);
  return std::make_unique<ChainedDecoder>(std::move(parts), &open_piece, "joined files", share);
}

std::string mpg123_version() { return str("libmpg123 (API ", MPG123_API_VERSION, ")"); }

}  // namespace axlstm::audio
