#include "sound.h"

#include <algorithm>
#include <cmath>

#include "axlstm/core/error.h"

namespace axlstm::audio {
namespace {

// Beyond the first number of samples a file must not hold more than the second for each of its bytes. An encoder's
// hours of silence have some 400; a crafted file of a megabyte could fill the memory of any machine.
constexpr std::int64_t kSamplesOfAnyFile = std::int64_t{1} << 26;
constexpr std::uint64_t kMaxSamplesPerByte = 1000;

std::string percent(double share) {
  return str(std::floor(1000 * share) / 10, " % of what its header promises is there");
}

std::unique_ptr<ByteSource> open_bytes(const Recording& recording) {
  const std::string name = recording.path.string();
  std::unique_ptr<ByteSource> bytes;
  if (recording.bytes) {
    bytes = std::make_unique<MemoryBytes>(*recording.bytes);
  } else {
    std::error_code failure;
    const bool is_link = std::filesystem::is_symlink(recording.path, failure);
    AXLSTM_CHECK(std::filesystem::exists(recording.path, failure), name, ": no such file",
                 is_link ? ", only a link to it (git annex get or datalad get fetches such)" : "");
    AXLSTM_CHECK(std::filesystem::is_regular_file(recording.path, failure), name, ": is not a file");
    bytes = std::make_unique<FileBytes>(recording.path);
  }
  AXLSTM_CHECK(bytes->size() > 0, name, ": is empty (0 bytes)");
  return bytes;
}

/// Calls `work`, whose errors then begin with the file's name.
template <typename Work>
auto naming(const std::string& name, const Work& work) {
  try {
    return work();
  } catch (const Error& failure) {
    const std::string text = failure.what();
    throw Error(text.starts_with(name + ": ") ? text : name + ": " + text);
  }
}

}  // namespace

Sound::Sound(const Recording& recording)
    : segment_(recording.segment),
      options_(recording.decoding),
      name_(recording.path.string() + (recording.pcm16 ? ": clip " + recording.pcm16->clip : "")),
      bytes_(open_bytes(recording)) {
  naming(name_, [&] {
    if (recording.pcm16) {
      opened_.decoder = open_pcm16(*bytes_, *recording.pcm16);
    } else {
      opened_ = open_decoder(*bytes_);
    }
    rate_ = opened_.decoder->sample_rate();
    go_to_segment();
  });
}

std::int64_t Sound::to_frames(double seconds) const {
  return static_cast<std::int64_t>(std::llround(std::clamp(seconds * sample_rate(), -1e18, 1e18)));
}

void Sound::go_to_segment() {
  Decoder& decoder = *opened_.decoder;
  const std::int64_t start = to_frames(segment_.start_seconds);
  wanted_ = segment_.duration_seconds < 0 ? std::int64_t{1} << 62 : to_frames(segment_.duration_seconds);
  AXLSTM_CHECK(wanted_ > 0, "the segment of ", segment_.duration_seconds, " s is empty");
  skipped_ = start > 0 ? decoder.skip(start) : 0;
  AXLSTM_CHECK(
      start >= 0 && skipped_ == start, "the segment starts at ", segment_.start_seconds, " s, the file lasts ",
      static_cast<double>(std::max<std::int64_t>(start < 0 ? decoder.promised() : skipped_, 0)) / sample_rate(), " s");
}

std::int64_t Sound::likely_frames() const {
  const std::int64_t promised = opened_.decoder->promised();
  if (promised < 0) return segment_.duration_seconds < 0 ? -1 : wanted_;
  return std::max<std::int64_t>(std::min(wanted_, promised - skipped_), 0);
}

std::int64_t Sound::read(float* target, std::int64_t count) {
  if (ended_) return 0;
  return naming(name_, [&] {
    count = std::min(count, wanted_ - got_);
    const std::int64_t frames = opened_.decoder->read(target, count);
    check(target, frames);
    got_ += frames;
    if (frames < count || got_ == wanted_) finish();
    return frames;
  });
}

void Sound::check(const float* samples, std::int64_t frames) const {
  const auto most = kMaxSamplesPerByte * bytes_->size();
  AXLSTM_CHECK(got_ + frames <= kSamplesOfAnyFile || static_cast<std::uint64_t>(got_ + frames) <= most, "more than ",
               kMaxSamplesPerByte, " samples a byte, no encoder of audio writes such a file");
  const auto* const bad = std::find_if_not(samples, samples + frames, [](float x) { return std::isfinite(x); });
  AXLSTM_CHECK(bad == samples + frames, "holds samples that are not finite numbers, the first at ",
               static_cast<double>(skipped_ + got_ + (bad - samples)) / sample_rate(), " s");
}

/// Behind the last frame: says what is missing, and refuses the clip if that is too much.
void Sound::finish() {
  ended_ = true;
  const Decoder& decoder = *opened_.decoder;
  if (got_ == 0 && skipped_ > 0) {
    throw Error(str("the segment starts at ", segment_.start_seconds, " s, the file lasts ",
                    static_cast<double>(skipped_) / sample_rate(), " s"));
  }
  AXLSTM_CHECK(got_ > 0, opened_.share < 1 ? "truncated, none of the samples that its header promises is there"
                                           : "holds no audio");
  const auto add_note = [&](const std::string& note) {
    if (!note.empty()) note_ += (note_.empty() ? "" : "; ") + note;
  };
  add_note(opened_.note);
  add_note(decoder.note());
  const std::int64_t promised = decoder.promised();
  const bool at_end = got_ < wanted_;  // else what is missing lies behind the segment
  double share = std::min(opened_.share, decoder.share());
  if (at_end && promised >= 0 && skipped_ + got_ + decoder.uncertainty() < promised)
    share = std::min(share, static_cast<double>(skipped_ + got_) / static_cast<double>(promised));
  if (at_end && share < 1) {
    const bool whole = share < options_.min_decoded_fraction && opened_.decoder->is_whole_without_promise();
    AXLSTM_CHECK(whole || share >= options_.min_decoded_fraction, "truncated, ", percent(share),
                 "; data.min_decoded_fraction ", options_.min_decoded_fraction, " asks for more");
    add_note(whole ? percent(share) + ", but it ends whole" : "ends early, " + percent(share));
  }
}

}  // namespace axlstm::audio
