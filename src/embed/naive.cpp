#include "axlstm/embed/naive.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "axlstm/audio/clip_reader.h"
#include "axlstm/core/error.h"

namespace axlstm::embed {
namespace {

constexpr std::int64_t kFrameSamples = 4096;
constexpr std::int64_t kHopSamples = 1102;  // round(0.025 * 44100) in Python, which rounds halves to even
constexpr std::int64_t kMels = 256;
constexpr double kLogOffset = 1e-4;

/// Slaney's mel scale: 200/3 Hz a mel below 1 kHz, then 27 mels for each factor of 6.4.
constexpr double kHzPerLinearMel = 200.0 / 3.0;
constexpr double kBreakHz = 1000.0;
constexpr double kBreakMel = kBreakHz / kHzPerLinearMel;
const double kLogStep = std::log(6.4) / 27.0;

double hz_to_mel(double hz) {
  return hz < kBreakHz ? hz / kHzPerLinearMel : kBreakMel + std::log(hz / kBreakHz) / kLogStep;
}

double mel_to_hz(double mel) {
  return mel < kBreakMel ? mel * kHzPerLinearMel : kBreakHz * std::exp(kLogStep * (mel - kBreakMel));
}

}  // namespace

torch::Tensor slaney_mel_filters(double sample_rate_hz, std::int64_t fft_size, std::int64_t n_mels) {
  std::vector<double> edges_hz;
  const double top_mel = hz_to_mel(sample_rate_hz / 2.0);
  for (std::int64_t i = 0; i < n_mels + 2; ++i) {
    edges_hz.push_back(mel_to_hz(top_mel * static_cast<double>(i) / static_cast<double>(n_mels + 1)));
  }
  torch::Tensor filters = torch::zeros({fft_size / 2 + 1, n_mels});
  auto weights = filters.accessor<float, 2>();
  for (std::int64_t m = 0; m < n_mels; ++m) {
    const auto i = static_cast<std::size_t>(m);
    const double low = edges_hz[i], centre = edges_hz[i + 1], high = edges_hz[i + 2];
    for (std::int64_t bin = 0; bin < filters.size(0); ++bin) {
      const double hz = static_cast<double>(bin) * sample_rate_hz / static_cast<double>(fft_size);
      const double height = std::max(0.0, std::min((hz - low) / (centre - low), (high - hz) / (high - centre)));
      weights[bin][m] = static_cast<float>(height * 2.0 / (high - low));
    }
  }
  return filters;
}

NaiveEmbedder::NaiveEmbedder()
    : window_(torch::hann_window(kFrameSamples)),
      mel_filters_(slaney_mel_filters(kSampleRate, kFrameSamples, kMels)),
      projection_(torch::rand({kMels, kDimension}, at::make_generator<at::CPUGeneratorImpl>(0)) / std::sqrt(kMels)) {}

torch::Tensor NaiveEmbedder::log_mel(const torch::Tensor& waveform) const {
  AXLSTM_CHECK(waveform.defined() && waveform.dim() == 1 && waveform.numel() > 0 && waveform.device().is_cpu() &&
                   waveform.scalar_type() == torch::kFloat32,
               "HEAR-naive needs a waveform [T] of float32 on the CPU with at least one sample");
  return without_padding(torch::constant_pad_nd(waveform, {kFrameSamples / 2, kFrameSamples / 2}));
}

torch::Tensor NaiveEmbedder::without_padding(const torch::Tensor& waveform) const {
  constexpr std::int64_t kFramesAtOnce = 512;  // bounds the memory for minutes of audio
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> parts;
  for (const auto& frames : waveform.unfold(0, kFrameSamples, kHopSamples).split(kFramesAtOnce)) {
    const auto power = torch::fft_rfft(frames * window_).abs().square();
    parts.push_back((power.matmul(mel_filters_) + kLogOffset).log());
  }
  return torch::cat(parts);
}

torch::Tensor NaiveEmbedder::scene(const torch::Tensor& waveform) const {
  // The projection is linear: the mean may be taken before it, which is far cheaper.
  return log_mel(waveform).mean(0).matmul(projection_);
}

FileEmbedding NaiveEmbedder::timestamps(const torch::Tensor& waveform) const {
  FileEmbedding result;
  result.embedding = log_mel(waveform).matmul(projection_);
  for (std::int64_t i = 0; i < result.embedding.size(0); ++i) {
    result.timestamps_ms.push_back(static_cast<double>(i * kHopSamples) * 1000.0 / kSampleRate);
  }
  return result;
}

LongClip NaiveEmbedder::timestamps(const audio::Recording& recording, const ClipEncoder::TakeStep& take) const {
  audio::ClipReader clip(recording, kSampleRate);
  std::vector<float> kept(kFrameSamples / 2, 0.0F);  // from where the next frame begins
  const auto take_frames = [&] {
    const auto there = static_cast<std::int64_t>(kept.size());
    if (there < kFrameSamples) return;
    const auto rows = without_padding(torch::from_blob(kept.data(), {there}, torch::kFloat32)).matmul(projection_);
    for (std::int64_t row = 0; row < rows.size(0); ++row)
      take({rows.const_data_ptr<float>() + row * kDimension, static_cast<std::size_t>(kDimension)});
    kept.erase(kept.begin(), kept.begin() + rows.size(0) * kHopSamples);
  };
  for (auto samples = clip.read(); !samples.empty(); samples = clip.read()) {
    kept.insert(kept.end(), samples.begin(), samples.end());
    take_frames();
  }
  kept.insert(kept.end(), kFrameSamples / 2, 0.0F);
  take_frames();
  return {static_cast<double>(kHopSamples) * 1000.0 / kSampleRate, clip.note()};
}

}  // namespace axlstm::embed
