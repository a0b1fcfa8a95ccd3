#include "axlstm/features/log_mel_stream.h"

#include <torch/torch.h>

#include <algorithm>

namespace axlstm::features {

LogMelStream::LogMelStream(const LogMel& log_mel, torch::Device device)
    : log_mel_(log_mel), device_(device), pad_(log_mel.options().n_fft / 2) {}

torch::Tensor LogMelStream::push(std::span<const float> samples) {
  kept_.insert(kept_.end(), samples.begin(), samples.end());
  samples_ += static_cast<std::int64_t>(samples.size());
  if (!reflected_) {
    if (samples_ <= pad_) return torch::empty({0, log_mel_.options().mels}, device_);  // perhaps that is all of it
    std::vector<float> before(kept_.begin() + 1, kept_.begin() + 1 + pad_);
    std::reverse(before.begin(), before.end());
    kept_.insert(kept_.begin(), before.begin(), before.end());
    reflected_ = true;
  }
  return complete_frames();
}

torch::Tensor LogMelStream::finish() {
  if (samples_ == 0) return torch::empty({0, log_mel_.options().mels}, device_);
  if (!reflected_) return log_mel_(torch::tensor(kept_).to(device_));  // so short that it is reflected several times
  const std::vector<float> last(kept_.end() - 1 - pad_, kept_.end() - 1);
  kept_.insert(kept_.end(), last.rbegin(), last.rend());
  return complete_frames();
}

torch::Tensor LogMelStream::complete_frames() {
  const auto [n_fft, hop] = std::pair(log_mel_.options().n_fft, log_mel_.options().hop);
  const auto there = static_cast<std::int64_t>(kept_.size()) - next_;
  if (there < n_fft) return torch::empty({0, log_mel_.options().mels}, device_);
  const std::int64_t frames = (there - n_fft) / hop + 1;
  const auto waveform = torch::from_blob(kept_.data() + next_, {(frames - 1) * hop + n_fft}, torch::kFloat32);
  auto log_mel = log_mel_.of_padded(waveform.to(device_));
  next_ += frames * hop;
  // The end of the waveform will be reflected: as many samples stay.
  const std::int64_t used = std::clamp<std::int64_t>(static_cast<std::int64_t>(kept_.size()) - pad_ - 1, 0, next_);
  kept_.erase(kept_.begin(), kept_.begin() + used);
  next_ -= used;
  return log_mel;
}

}  // namespace axlstm::features
