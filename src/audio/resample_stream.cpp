#include "axlstm/audio/resample_stream.h"

#include <soxr.h>

#include "axlstm/core/error.h"

namespace axlstm::audio {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 15;  // samples that soxr may give at once

}  // namespace

struct ResampleStream::Soxr {
  soxr_t handle = nullptr;
  ~Soxr() { soxr_delete(handle); }
};

ResampleStream::ResampleStream(int from_rate, int to_rate)
    : from_rate_(from_rate), to_rate_(to_rate), soxr_(std::make_unique<Soxr>()) {
  const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_VHQ, 0);
  soxr_error_t failure = nullptr;
  soxr_->handle = soxr_create(from_rate, to_rate, 1, &failure, nullptr, &quality, nullptr);
  AXLSTM_CHECK(!failure, "resampling ", from_rate, " Hz → ", to_rate, " Hz failed: ", soxr_strerror(failure));
}

ResampleStream::~ResampleStream() = default;

std::span<const float> ResampleStream::push(std::span<const float> samples) {
  // No samples would mean the end to soxr.
  return samples.empty() ? std::span<const float>{} : process(samples.data(), samples.size());
}

std::span<const float> ResampleStream::finish() { return process(nullptr, 0); }

std::span<const float> ResampleStream::process(const float* samples, std::size_t count) {
  out_.clear();
  while (true) {
    const std::size_t before = out_.size();
    out_.resize(before + kBlock);
    std::size_t used = 0, given = 0;
    const soxr_error_t failure =
        soxr_process(soxr_->handle, samples, count, &used, out_.data() + before, kBlock, &given);
    AXLSTM_CHECK(!failure, "resampling ", from_rate_, " Hz → ", to_rate_, " Hz failed: ", soxr_strerror(failure));
    out_.resize(before + given);
    if (samples) {
      samples += used;
      count -= used;
      if (count == 0 && given < kBlock) return out_;
    } else if (given == 0) {
      return out_;
    }
  }
}

}  // namespace axlstm::audio
