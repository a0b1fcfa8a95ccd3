// Sample-rate conversion of sound that has no end, by soxr at its very high quality.
#pragma once

#include <memory>
#include <span>
#include <vector>

namespace axlstm::audio {

/// Gives the samples of resample() (resample.h), a little later than it is fed. Used by one thread.
class ResampleStream {
 public:
  ResampleStream(int from_rate, int to_rate);
  ~ResampleStream();
  ResampleStream(const ResampleStream&) = delete;
  ResampleStream& operator=(const ResampleStream&) = delete;

  /// What is known with `samples`; valid until the next call.
  std::span<const float> push(std::span<const float> samples);

  /// What follows the last of them.
  std::span<const float> finish();

 private:
  struct Soxr;

  std::span<const float> process(const float* samples, std::size_t count);

  int from_rate_, to_rate_;
  std::unique_ptr<Soxr> soxr_;
  std::vector<float> out_;
};

}  // namespace axlstm::audio
