#include "axlstm/features/log_mel.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "axlstm/core/error.h"
#include "axlstm/features/running_statistics.h"

namespace axlstm::features {
namespace {

/// Complex spectra take ten times the memory of their samples: a ten-hour clip comes in pieces of ten minutes.
constexpr std::int64_t kFramesAtOnce = 60'000;

double hz_to_mel(double hz) { return 2595.0 * std::log10(1.0 + hz / 700.0); }

/// The samples from position `first` to before `last` of the waveform continued by reflection.
torch::Tensor reflected(const torch::Tensor& waveform, std::int64_t first, std::int64_t last) {
  const auto T = waveform.size(-1);
  const auto beyond = [&](std::int64_t begin, std::int64_t end) {
    auto index = torch::empty({std::max<std::int64_t>(end - begin, 0)}, torch::kInt64);
    auto* at = index.data_ptr<std::int64_t>();
    for (std::int64_t k = begin; k < end; ++k) *at++ = reflect(k, T);
    return waveform.index_select(-1, index.to(waveform.device()));
  };
  const auto begin = std::clamp<std::int64_t>(first, 0, T), end = std::clamp<std::int64_t>(last, begin, T);
  return torch::cat({beyond(first, begin), waveform.narrow(-1, begin, end - begin), beyond(end, last)}, -1);
}

}  // namespace

std::int64_t reflect(std::int64_t position, std::int64_t size) {
  if (size == 1) return 0;
  const std::int64_t period = 2 * (size - 1);
  const std::int64_t folded = ((position % period) + period) % period;
  return folded < size ? folded : period - folded;
}

torch::Tensor as_tensor(audio::Waveform wave) {
  auto samples = std::make_shared<std::vector<float>>(std::move(wave.samples));
  return torch::from_blob(samples->data(), {static_cast<std::int64_t>(samples->size())}, [samples](void*) {});
}

torch::Tensor mel_filterbank(const LogMelOptions& options) {
  const auto bins = options.n_fft / 2 + 1;
  const std::int64_t half_rate = options.sample_rate / 2;  // a whole number, and float32 below, as torchaudio
  const auto frequencies = torch::linspace(0, static_cast<double>(half_rate), bins);
  const auto mel_points = torch::linspace(hz_to_mel(options.f_min_hz), hz_to_mel(options.f_max_hz), options.mels + 2);
  const auto corners = 700.0 * (torch::pow(10.0, mel_points / 2595.0) - 1.0);  // [mels + 2] Hz
  const auto widths = corners.slice(0, 1) - corners.slice(0, 0, -1);           // [mels + 1]
  const auto slopes = corners.unsqueeze(0) - frequencies.unsqueeze(1);         // [bins, mels + 2]
  const auto rising = -slopes.slice(1, 0, -2) / widths.slice(0, 0, -1);
  const auto falling = slopes.slice(1, 2) / widths.slice(0, 1);
  return torch::minimum(rising, falling).clamp_min(0);
}

LogMel::LogMel(const LogMelOptions& options)
    : options_(options),
      window_(torch::hann_window(options.window, /*periodic=*/true)),
      filterbank_(mel_filterbank(options)) {
  AXLSTM_CHECK(options.window <= options.n_fft, "audio.window ", options.window, " is longer than audio.n_fft ",
               options.n_fft);
}

torch::Tensor LogMel::operator()(const torch::Tensor& waveform) const {
  AXLSTM_CHECK(waveform.dim() >= 1 && waveform.size(-1) >= 1, "log-mel: the waveform must be [..., samples], got ",
               waveform.sizes());
  const auto n_fft = options_.n_fft, pad = n_fft / 2, hop = options_.hop;
  const auto frames = (waveform.size(-1) + 2 * pad - n_fft) / hop + 1;
  const auto piece = [&](std::int64_t first) {
    const auto last = std::min(first + kFramesAtOnce, frames) - 1;
    return without_padding(reflected(waveform, first * hop - pad, last * hop - pad + n_fft));
  };
  auto log_mel = piece(0);
  if (frames <= kFramesAtOnce) return log_mel;
  auto sizes = log_mel.sizes().vec();
  sizes[sizes.size() - 2] = frames;
  const auto all = torch::empty(sizes, log_mel.options());
  for (std::int64_t first = 0; first < frames; first += kFramesAtOnce) {
    if (first > 0) log_mel = piece(first);
    all.narrow(-2, first, log_mel.size(-2)).copy_(log_mel);
  }
  return all;
}

torch::Tensor LogMel::without_padding(const torch::Tensor& waveform) const {
  AXLSTM_CHECK(waveform.dim() >= 1 && waveform.size(-1) >= options_.n_fft, "log-mel: the padded waveform must be at ",
               "least audio.n_fft ", options_.n_fft, " long, got ", waveform.sizes());
  const auto batch = waveform.reshape({-1, waveform.size(-1)});
  const auto window = window_.to(batch.options()), filterbank = filterbank_.to(batch.options());
  const auto spectrum =
      torch::stft(batch, options_.n_fft, options_.hop, options_.window, window, /*center=*/false,
                  /*pad_mode=*/"reflect", /*normalized=*/false, /*onesided=*/true, /*return_complex=*/true);
  const auto power = torch::view_as_real(spectrum).square().sum(-1);  // [batch, bins, L']
  const auto log_mel = (power.transpose(1, 2).matmul(filterbank) + kLogOffset).log();
  auto sizes = waveform.sizes().vec();
  sizes.back() = log_mel.size(1);
  sizes.push_back(log_mel.size(2));
  return log_mel.reshape(sizes);
}

void LogMel::to(const torch::Device& device) {
  window_ = window_.to(device);
  filterbank_ = filterbank_.to(device);
}

ClipStatistics clip_statistics(const torch::Tensor& log_mel, ClipStd kind) {
  if (log_mel.size(0) <= kFramesAtOnce) {
    const auto [variance, mean] = torch::var_mean(log_mel.to(torch::kFloat64), /*unbiased=*/kind == ClipStd::kUnbiased);
    return {mean.item<double>(), std::sqrt(variance.item<double>())};
  }
  RunningStatistics statistics;
  for (const auto& piece : log_mel.split(kFramesAtOnce)) statistics.add(piece);
  return statistics.so_far(kind);
}

void check_statistics(const ClipStatistics& statistics, const std::string& clip) {
  AXLSTM_CHECK(std::isfinite(statistics.mean) && std::isfinite(statistics.std), clip,
               ": its spectrogram is not finite; the samples are too large");
}

torch::Tensor normalize(const torch::Tensor& log_mel, const ClipStatistics& statistics) {
  return (log_mel - statistics.mean).div_(statistics.std + kStdOffset);
}

}  // namespace axlstm::features
