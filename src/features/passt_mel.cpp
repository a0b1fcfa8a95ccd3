#include "axlstm/features/passt_mel.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/features/kaldi_fbank.h"

namespace axlstm::features {
namespace {

constexpr std::int64_t kMels = 128, kFft = 1024, kWindow = 800;
constexpr double kPreemphasis = 0.97, kOffset = 1e-5, kShift = 4.5, kScale = 5;

}  // namespace

torch::Tensor passt_mel(const torch::Tensor& waveform, const PasstMelOptions& options) {
  // One sample is lost to pre-emphasis, and reflection needs one more than it adds.
  AXLSTM_CHECK(waveform.dim() > 0 && waveform.size(-1) > kFft / 2 + 1, "PaSST's mel spectrogram: a clip of ",
               waveform.sizes(), " samples is too short, it must have more than ", kFft / 2 + 1);
  const auto T = waveform.size(-1);
  const auto x = (waveform.narrow(-1, 1, T - 1) - kPreemphasis * waveform.narrow(-1, 0, T - 1)).reshape({-1, T - 1});
  const auto window = torch::hann_window(kWindow, /*periodic=*/false, x.options());
  const auto spectrum = torch::stft(x, kFft, options.hop, kWindow, window, /*center=*/true, /*pad_mode=*/"reflect",
                                    /*normalized=*/false, /*onesided=*/true, /*return_complex=*/true);
  const auto power = torch::view_as_real(spectrum).square().sum(-1).transpose(1, 2);  // [clips, frames, bins]
  const auto filters = kaldi_mel_filters({.sample_rate = PasstMelOptions::kSampleRate,
                                          .fft = kFft,
                                          .mels = kMels,
                                          .f_min_hz = 0,
                                          .f_max_hz = options.f_max_hz},
                                         x.options());
  const auto features = ((power.matmul(filters) + kOffset).log() + kShift) / kScale;
  auto sizes = waveform.sizes().vec();
  sizes.back() = features.size(1);
  sizes.push_back(kMels);
  return features.reshape(sizes);
}

}  // namespace axlstm::features
