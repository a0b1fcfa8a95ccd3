#include "axlstm/features/kaldi_fbank.h"

#include <torch/torch.h>

#include <bit>
#include <cmath>
#include <limits>

#include "axlstm/core/error.h"

namespace axlstm::features {
namespace {

constexpr double kFrameSeconds = 0.025, kShiftSeconds = 0.01;
constexpr double kPreemphasis = 0.97, kLowestHz = 20, kPoveyPower = 0.85;

double mel_of(double hertz) { return 1127.0 * std::log(1.0 + hertz / 700.0); }

torch::Tensor window_of(std::int64_t frame, KaldiWindow window, const torch::TensorOptions& options) {
  const auto hann = torch::hann_window(frame, /*periodic=*/false, options);
  return window == KaldiWindow::kHanning ? hann : hann.pow(kPoveyPower);
}

}  // namespace

torch::Tensor kaldi_mel_filters(const KaldiMelOptions& options, const torch::TensorOptions& tensor) {
  const double low = mel_of(options.f_min_hz), high = mel_of(options.f_max_hz);
  const double step = (high - low) / static_cast<double>(options.mels + 1);
  const double bin_hz = static_cast<double>(options.sample_rate) / static_cast<double>(options.fft);
  const auto left = low + step * torch::arange(options.mels, tensor);  // [mels]
  const auto mel =
      (1127.0 * (1.0 + torch::arange(options.fft / 2, tensor) * bin_hz / 700.0).log()).unsqueeze(1);  // [fft / 2, 1]
  const auto rising = (mel - left) / step, falling = (left + 2 * step - mel) / step;
  return torch::constant_pad_nd(torch::minimum(rising, falling).clamp_min(0), {0, 0, 0, 1});
}

torch::Tensor kaldi_fbank(const torch::Tensor& waveform, const KaldiFbankOptions& options) {
  const auto frame = static_cast<std::int64_t>(static_cast<double>(options.sample_rate) * kFrameSeconds);
  const auto shift = static_cast<std::int64_t>(static_cast<double>(options.sample_rate) * kShiftSeconds);
  AXLSTM_CHECK(waveform.dim() > 0 && waveform.size(-1) >= frame, "Kaldi's filterbank: a clip of ", waveform.sizes(),
               " samples is shorter than a frame of ", frame);
  auto x = waveform * options.scale;
  if (options.remove_mean) x = x - x.mean(-1, /*keepdim=*/true);
  auto frames = x.unfold(-1, frame, shift);  // [..., L, frame]
  frames = frames - frames.mean(-1, /*keepdim=*/true);
  const auto before = torch::cat({frames.narrow(-1, 0, 1), frames.narrow(-1, 0, frame - 1)}, -1);
  frames = (frames - kPreemphasis * before) * window_of(frame, options.window, x.options());
  const auto fft = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(frame)));
  const auto power = torch::fft::rfft(frames, fft).abs().square();
  const auto energies = power.matmul(kaldi_mel_filters({.sample_rate = options.sample_rate,
                                                        .fft = fft,
                                                        .mels = options.mels,
                                                        .f_min_hz = kLowestHz,
                                                        .f_max_hz = static_cast<double>(options.sample_rate) / 2},
                                                       x.options()));
  const auto features = energies.clamp_min(std::numeric_limits<float>::epsilon()).log();
  return (features - options.mean) / options.std;
}

}  // namespace axlstm::features
