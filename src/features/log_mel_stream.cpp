#include "axlstm/features/log_mel_stream.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "axlstm/core/error.h"
#include "axlstm/features/running_statistics.h"

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
  auto log_mel = log_mel_.without_padding(waveform.to(device_));
  next_ += frames * hop;
  // The end of the waveform will be reflected: as many samples stay.
  const std::int64_t used = std::clamp<std::int64_t>(static_cast<std::int64_t>(kept_.size()) - pad_ - 1, 0, next_);
  kept_.erase(kept_.begin(), kept_.begin() + used);
  next_ -= used;
  return log_mel;
}

std::int64_t for_each_log_mel(audio::ClipReader& clip, const LogMel& log_mel, const torch::Device& device,
                              const std::function<void(const torch::Tensor&)>& take) {
  LogMelStream stream(log_mel, device);
  const auto give = [&](const torch::Tensor& frames) {
    if (frames.size(0) > 0) take(frames);
  };
  for (auto samples = clip.read(); !samples.empty(); samples = clip.read()) give(stream.push(samples));
  give(stream.finish());
  return stream.samples();
}

ClipSurvey survey(const audio::Recording& recording, const LogMel& log_mel, const torch::Device& device, ClipStd kind) {
  audio::ClipReader clip(recording, static_cast<int>(log_mel.options().sample_rate));
  ClipSurvey found{.file_rate = clip.file_rate(), .statistics = {}, .note = {}};
  RunningStatistics statistics;
  found.samples = for_each_log_mel(clip, log_mel, device, [&](const torch::Tensor& frames) {
    statistics.add(frames);
    found.frames += frames.size(0);
  });
  found.statistics = statistics.so_far(kind);
  check_statistics(found.statistics, recording.path.string());
  found.note = clip.note();
  return found;
}

torch::Tensor read_log_mel(const audio::Recording& recording, const ClipSurvey& survey, const LogMel& log_mel,
                           std::int64_t first, std::int64_t count) {
  const auto& options = log_mel.options();
  const std::int64_t pad = options.n_fft / 2;
  const std::int64_t begin = first * options.hop - pad, size = (count - 1) * options.hop + options.n_fft;
  // With what is reflected at the clip's ends.
  const auto from = std::clamp<std::int64_t>(begin - pad - 1, 0, survey.samples - 1);
  const auto to = std::min(begin + size + pad + 1, survey.samples);
  const auto samples =
      audio::read_part(recording, survey.file_rate, static_cast<int>(options.sample_rate), from, to - from);
  AXLSTM_CHECK(static_cast<std::int64_t>(samples.size()) == to - from, recording.path.string(), ": ends at sample ",
               from + static_cast<std::int64_t>(samples.size()), ", it had ", survey.samples,
               " when it was read first");
  const auto padded = torch::empty({size});
  auto* target = padded.data_ptr<float>();
  for (std::int64_t n = 0; n < size; ++n)
    target[n] = samples[static_cast<std::size_t>(reflect(begin + n, survey.samples) - from)];
  return log_mel.without_padding(padded);
}

}  // namespace axlstm::features
