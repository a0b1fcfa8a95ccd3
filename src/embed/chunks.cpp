#include "axlstm/embed/chunks.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "axlstm/core/error.h"

namespace axlstm::embed {
namespace {

/// Frames of one pass of the GPU's operators: always the same number, for cuBLAS chooses its algorithm, and so the last
/// digits, by shape.
constexpr std::int64_t kFramesAtOnce = 16'384;

/// Frames that are missing in the last chunk of a clip.
std::int64_t missing(std::int64_t frames, std::int64_t chunk) { return (chunk - frames % chunk) % chunk; }

/// The chunks of clips of which each is cut by itself.
class Cut {
 public:
  Cut(std::int64_t frames, Padding padding) : frames_(frames), padding_(padding) {}

  /// `x`: normalised log-mel [L', F].
  void add(const torch::Tensor& x) {
    const auto pad = missing(x.size(0), frames_);
    inputs_.push_back(padded(x, pad, padding_).view({-1, 1, frames_, x.size(1)}));
    chunks_.counts.push_back(inputs_.back().size(0));
    chunks_.padded_frames.push_back(pad);
  }

  Chunks all() {
    chunks_.input = inputs_.size() == 1 ? inputs_.front() : torch::cat(inputs_);  // one alone is perhaps of hours
    return std::move(chunks_);
  }

 private:
  std::int64_t frames_;
  Padding padding_;
  Chunks chunks_;
  std::vector<torch::Tensor> inputs_;
};

Chunks one_by_one(const std::vector<torch::Tensor>& waveforms, const features::LogMel& log_mel, std::int64_t frames,
                  const torch::Device& device, Padding padding) {
  Cut cut(frames, padding);
  for (const auto& waveform : waveforms) {
    const auto x = log_mel(waveform.to(device));
    cut.add(features::normalize(x, features::clip_statistics(x, log_mel.options().clip_std)));
  }
  return cut.all();
}

/// Many clips behind each other in one signal, each with its reflected ends and beginning at a multiple of the hop: the
/// frames of all are those of one transform.
class Joined {
 public:
  Joined(const std::vector<torch::Tensor>& waveforms, const features::LogMel& log_mel, const torch::Device& device)
      : log_mel_(log_mel),
        options_(log_mel.options()),
        pad_(options_.n_fft / 2),
        host_(torch::dtype(torch::kFloat32).pinned_memory(device.is_cuda())) {
    std::int64_t at = 0;
    for (const auto& waveform : waveforms) {
      const auto T = waveform.size(0);
      clips_.push_back({at, T / options_.hop + 1});
      at += (T + 2 * pad_ + options_.hop - 1) / options_.hop;  // in hops
    }
    pieces_ = (at + kFramesAtOnce - 1) / kFramesAtOnce;
    signal_ = fill(waveforms).to(device, /*non_blocking=*/true);
  }

  Chunks chunks(std::int64_t frames, Padding padding) const {
    const auto x = normalised();
    const auto nothing = x.size(0);  // a row of zeros behind the frames
    Chunks chunks;
    std::vector<std::int64_t> rows;
    for (const Clip& clip : clips_) {
      const auto pad = missing(clip.frames, frames);
      for (std::int64_t frame = 0; frame < clip.frames; ++frame) rows.push_back(clip.first + frame);
      for (std::int64_t frame = clip.frames; frame < clip.frames + pad; ++frame)
        rows.push_back(padding == Padding::kZero ? nothing : clip.first + features::reflect(frame, clip.frames));
      chunks.counts.push_back((clip.frames + pad) / frames);
      chunks.padded_frames.push_back(pad);
    }
    const auto index =
        torch::tensor(rows, torch::dtype(torch::kInt64).pinned_memory(host_.pinned_memory())).to(x.device(), true);
    chunks.input = torch::constant_pad_nd(x, {0, 0, 0, 1}).index_select(0, index).view({-1, 1, frames, options_.mels});
    return chunks;
  }

 private:
  struct Clip {
    std::int64_t first, frames;  ///< of all frames
  };

  torch::Tensor fill(const std::vector<torch::Tensor>& waveforms) const {
    const auto size = (pieces_ * kFramesAtOnce - 1) * options_.hop + options_.n_fft;
    const auto signal = torch::empty({size}, host_);
    auto* samples = signal.data_ptr<float>();
    at::parallel_for(0, static_cast<std::int64_t>(clips_.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto n = static_cast<std::size_t>(begin); n < static_cast<std::size_t>(end); ++n) {
        const auto T = waveforms[n].size(0);
        const auto waveform = waveforms[n].contiguous();
        const auto* source = waveform.const_data_ptr<float>();
        float* target = samples + clips_[n].first * options_.hop;
        float* const after =
            n + 1 < clips_.size() ? samples + clips_[n + 1].first * options_.hop : samples + size;  // of the next one
        for (std::int64_t k = 0; k < pad_; ++k) target[k] = source[features::reflect(k - pad_, T)];
        std::copy_n(source, T, target + pad_);
        for (std::int64_t k = 0; k < pad_; ++k) target[pad_ + T + k] = source[features::reflect(T + k, T)];
        std::fill(target + T + 2 * pad_, after, 0.0F);
      }
    });
    return signal;
  }

  /// Log-mel [frames, F] of the whole signal; of those that lie across two clips nothing is used.
  torch::Tensor log_mel() const {
    std::vector<torch::Tensor> parts;
    for (std::int64_t piece = 0; piece < pieces_; ++piece) {
      parts.push_back(log_mel_.without_padding(signal_.narrow(0, piece * kFramesAtOnce * options_.hop,
                                                              (kFramesAtOnce - 1) * options_.hop + options_.n_fft)));
    }
    return parts.size() == 1 ? parts.front() : torch::cat(parts);
  }

  /// Each frame by its clip's mean and deviation. Sums over a clip's frames are made on the CPU, one frame after the
  /// other: in an order that no other clip changes.
  torch::Tensor normalised() const {
    const auto x = log_mel();
    const auto exact = x.to(torch::kFloat64);
    const auto sums = torch::stack({exact.sum(1), exact.square().sum(1)}).cpu();  // [2, frames]
    const auto* sum = sums.const_data_ptr<double>();
    const auto* squares = sum + x.size(0);
    const auto by_frame = torch::ones({2, x.size(0)}, host_);
    auto* mean_of = by_frame.data_ptr<float>();
    auto* scale_of = mean_of + x.size(0);
    for (const Clip& clip : clips_) {
      double total = 0, total_squares = 0;
      for (std::int64_t frame = clip.first; frame < clip.first + clip.frames; ++frame) {
        total += sum[frame];
        total_squares += squares[frame];
      }
      const auto count = static_cast<double>(clip.frames * options_.mels);
      const double mean = total / count;
      const double freedom = options_.clip_std == features::ClipStd::kUnbiased ? count - 1 : count;
      const double deviation = std::sqrt(std::max(total_squares - count * mean * mean, 0.0) / freedom);
      std::fill_n(mean_of + clip.first, clip.frames, static_cast<float>(mean));
      std::fill_n(scale_of + clip.first, clip.frames, static_cast<float>(deviation + features::kStdOffset));
    }
    const auto on_device = by_frame.to(x.device(), /*non_blocking=*/true).unsqueeze(-1);
    return (x - on_device[0]) / on_device[1];
  }

  const features::LogMel& log_mel_;
  const features::LogMelOptions& options_;
  std::int64_t pad_, pieces_ = 0;
  torch::TensorOptions host_;  ///< of what is copied to the device
  std::vector<Clip> clips_;
  torch::Tensor signal_;
};

}  // namespace

torch::Tensor padded(const torch::Tensor& log_mel, std::int64_t pad, Padding padding) {
  if (padding == Padding::kZero || pad == 0) return torch::constant_pad_nd(log_mel, {0, 0, 0, pad});
  std::vector<std::int64_t> rows;
  for (std::int64_t frame = log_mel.size(0); frame < log_mel.size(0) + pad; ++frame)
    rows.push_back(features::reflect(frame, log_mel.size(0)));
  const auto index = torch::tensor(rows, torch::kInt64).to(log_mel.device());
  return torch::cat({log_mel, log_mel.index_select(0, index)});
}

Chunks chunks_of(const std::vector<torch::Tensor>& waveforms, const features::LogMel& log_mel, std::int64_t frames,
                 const torch::Device& device, Batching batching, Padding padding) {
  for (const auto& waveform : waveforms) {
    AXLSTM_CHECK(waveform.dim() == 1 && waveform.numel() > 0, "embed: a waveform must be [samples], got ",
                 waveform.sizes());
  }
  if (batching == Batching::kOneByOne) return one_by_one(waveforms, log_mel, frames, device, padding);
  return Joined(waveforms, log_mel, device).chunks(frames, padding);
}

Chunks chunks_of_log_mel(const std::vector<torch::Tensor>& log_mels, std::int64_t mels, std::int64_t frames,
                         const torch::Device& device, Padding padding) {
  Chunks chunks;
  std::int64_t count = 0;
  for (const auto& log_mel : log_mels) {
    AXLSTM_CHECK(log_mel.dim() == 2 && log_mel.size(0) > 0 && log_mel.size(1) == mels,
                 "embed: log-mel must be [frames, ", mels, "], got ", log_mel.sizes());
    chunks.padded_frames.push_back(missing(log_mel.size(0), frames));
    chunks.counts.push_back((log_mel.size(0) + chunks.padded_frames.back()) / frames);
    count += chunks.counts.back();
  }
  const auto host =
      torch::empty({count, 1, frames, mels}, torch::dtype(torch::kFloat32).pinned_memory(device.is_cuda()));
  auto* target = host.data_ptr<float>();
  for (std::size_t clip = 0; clip < log_mels.size(); ++clip) {
    const auto log_mel = log_mels[clip].to(torch::kFloat32).contiguous();
    const auto* source = log_mel.const_data_ptr<float>();
    target = std::copy_n(source, log_mel.numel(), target);
    for (std::int64_t frame = 0; frame < chunks.padded_frames[clip]; ++frame) {
      const auto mirrored = features::reflect(log_mel.size(0) + frame, log_mel.size(0));
      target = padding == Padding::kZero ? std::fill_n(target, mels, 0.0F)
                                         : std::copy_n(source + mirrored * mels, mels, target);
    }
  }
  chunks.input = host.to(device, /*non_blocking=*/true);
  return chunks;
}

}  // namespace axlstm::embed
