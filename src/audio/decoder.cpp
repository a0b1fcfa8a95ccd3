#include "decoder.h"

#include <algorithm>

#include "axlstm/core/error.h"

namespace axlstm::audio {
namespace {

constexpr std::int64_t kSkippedFrames = 1 << 14;  // at once

}  // namespace

std::int64_t Decoder::skip(std::int64_t count) {
  std::vector<float> block(static_cast<std::size_t>(std::min(count, kSkippedFrames)));
  std::int64_t skipped = 0;
  while (skipped < count) {
    const std::int64_t got = read(block.data(), std::min(count - skipped, kSkippedFrames));
    if (got == 0) break;
    skipped += got;
  }
  return skipped;
}

void mix_down(const float* interleaved, std::int64_t frames, int channels, float* target) {
  for (std::int64_t frame = 0; frame < frames; ++frame) {
    float sum = 0;
    for (int channel = 0; channel < channels; ++channel) sum += interleaved[frame * channels + channel];
    target[frame] = sum / static_cast<float>(channels);
  }
}

std::int64_t BlockDecoder::read(float* target, std::int64_t count) {
  std::int64_t got = 0;
  while (got < count) {
    if (next_ == mixed_.size() && !decode()) break;
    const std::size_t taken = std::min(mixed_.size() - next_, static_cast<std::size_t>(count - got));
    std::copy_n(mixed_.begin() + static_cast<std::ptrdiff_t>(next_), taken, target + got);
    next_ += taken;
    got += static_cast<std::int64_t>(taken);
  }
  return got;
}

ChainedDecoder::ChainedDecoder(std::vector<std::unique_ptr<ByteSource>> parts, Open open, std::string what,
                               double share)
    : parts_(std::move(parts)), open_(open), what_(std::move(what)), share_(share), current_(open_(*parts_.front())) {}

/// Opens the next part of the same rate; false at the end.
bool ChainedDecoder::open_next() {
  const int rate = sample_rate();
  if (const std::string note = current_->note(); !note.empty()) notes_ += (notes_.empty() ? "" : "; ") + note;
  while (++index_ < parts_.size()) {
    auto next = open_(*parts_[index_]);
    if (next->sample_rate() != rate) {
      ++left_out_;
      continue;
    }
    current_ = std::move(next);
    return true;
  }
  return false;
}

std::int64_t ChainedDecoder::read(float* target, std::int64_t count) {
  std::int64_t got = 0;
  while (got < count && index_ < parts_.size()) {
    const std::int64_t frames = current_->read(target + got, count - got);
    got += frames;
    if (frames == 0 && !open_next()) break;
  }
  return got;
}

std::string ChainedDecoder::note() const {
  std::string text = notes_;
  const auto add = [&](const std::string& part) {
    if (!part.empty()) text += (text.empty() ? "" : "; ") + part;
  };
  if (index_ < parts_.size()) add(current_->note());
  if (left_out_ > 0)
    add(str(left_out_, " of ", parts_.size(), " ", what_, " are left out, for they are not at ", sample_rate(), " Hz"));
  return text;
}

}  // namespace axlstm::audio
