#include "axlstm/audio/clip_reader.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "axlstm/audio/resample.h"
#include "axlstm/audio/resample_stream.h"
#include "sound.h"

namespace axlstm::audio {
namespace {

constexpr std::size_t kBlockFrames = std::size_t{1} << 19;  // what is done a block at a time should be worth its call
// Further away than this a sample has no influence on a resampled one that float32 could hold.
constexpr std::int64_t kReachSeconds = 1;

}  // namespace

struct ClipReader::Parts {
  explicit Parts(const Recording& recording) : sound(recording) {}

  Sound sound;
  std::optional<ResampleStream> resampled;
  std::vector<float> block;
  bool any = false;  ///< has been given
  bool ended = false;
};

ClipReader::ClipReader(const Recording& recording, int sample_rate) : parts_(std::make_unique<Parts>(recording)) {
  if (file_rate() != sample_rate) parts_->resampled.emplace(file_rate(), sample_rate);
}

ClipReader::~ClipReader() = default;

int ClipReader::file_rate() const { return parts_->sound.sample_rate(); }

const std::string& ClipReader::note() const { return parts_->sound.note(); }

std::span<const float> ClipReader::read() {
  Parts& parts = *parts_;
  while (!parts.ended) {
    parts.block.resize(kBlockFrames);
    const auto frames = parts.sound.read(parts.block.data(), kBlockFrames);
    parts.block.resize(static_cast<std::size_t>(frames));
    parts.ended = frames < static_cast<std::int64_t>(kBlockFrames);
    if (!parts.resampled) return parts.block;
    const auto given = parts.resampled->push(parts.block);
    parts.block.assign(given.begin(), given.end());
    if (parts.ended) {
      const auto last = parts.resampled->finish();
      parts.block.insert(parts.block.end(), last.begin(), last.end());
      if (!parts.any && parts.block.empty()) parts.block.push_back(0);  // as resample() does
    }
    parts.any = parts.any || !parts.block.empty();
    if (!parts.block.empty()) return parts.block;
  }
  return {};
}

std::vector<float> read_part(const Recording& recording, int file_rate, int sample_rate, std::int64_t first,
                             std::int64_t count) {
  // Resampled sound comes out the same only if it begins where an input and an output sample fall together.
  const std::int64_t divisor = std::gcd(file_rate, sample_rate);
  const std::int64_t in = file_rate / divisor, out = sample_rate / divisor;
  const std::int64_t reach = file_rate == sample_rate ? 0 : kReachSeconds * sample_rate;
  const std::int64_t steps_before = std::max<std::int64_t>(first - reach, 0) / out;
  const std::int64_t begin = steps_before * in, end = ((first + count + reach) / out + 1) * in;  // in the file

  Recording part = recording;
  const auto frames_of = [&](double seconds) { return static_cast<std::int64_t>(std::llround(seconds * file_rate)); };
  const double rate = file_rate;
  std::int64_t frames = end - begin;
  if (recording.segment.duration_seconds >= 0)
    frames = static_cast<std::int64_t>(
        std::min(static_cast<double>(frames),
                 std::round(recording.segment.duration_seconds * rate) - static_cast<double>(begin)));
  part.segment.start_seconds = static_cast<double>(frames_of(recording.segment.start_seconds) + begin) / rate;
  part.segment.duration_seconds = static_cast<double>(frames) / rate;
  std::vector<float> samples = resample(decode(part), sample_rate).samples;
  const auto size = static_cast<std::int64_t>(samples.size());
  const std::int64_t from = std::min(first - steps_before * out, size), to = std::min(from + count, size);
  samples.erase(samples.begin() + to, samples.end());
  samples.erase(samples.begin(), samples.begin() + from);
  return samples;
}

}  // namespace axlstm::audio
