#include "clip_encoding.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "axlstm/audio/clip_reader.h"
#include "axlstm/audio/resample.h"
#include "axlstm/core/error.h"
#include "axlstm/features/log_mel_stream.h"
#include "axlstm/features/running_statistics.h"

namespace axlstm::data {
namespace {

std::string_view bytes_of(const torch::Tensor& contiguous) {
  return {static_cast<const char*>(contiguous.const_data_ptr()), contiguous.nbytes()};
}

torch::Tensor view_of(std::span<const float> samples) {
  return torch::from_blob(const_cast<float*>(samples.data()), {static_cast<std::int64_t>(samples.size())});
}

/// How a clip's samples become 16-bit numbers times a scale. Samples that are 16-bit numbers already stay as they are.
class Quantiser {
 public:
  /// Called with all samples of the clip before the rest is.
  void see(const torch::Tensor& samples) {
    peak_ = std::max(peak_, samples.abs().max().item<float>());
    if (!exact_) return;
    const auto steps = samples / static_cast<float>(kPcm16Scale);
    exact_ = peak_ <= 1 && steps.le(32767).all().item<bool>() && steps.equal(steps.round());
  }

  float scale() const {
    return exact_ ? static_cast<float>(kPcm16Scale) : std::max(peak_ / 32767, std::numeric_limits<float>::min());
  }

  torch::Tensor steps(const torch::Tensor& samples) const {
    return samples.div(scale()).round_().clamp_(-32768, 32767);
  }

 private:
  float peak_ = 0;
  bool exact_ = true;
};

class Encoder {
 public:
  Encoder(const StreamedClip& item, const features::LogMel& log_mel, const PackOptions& options, EncodedClip& encoded)
      : recording_{.path = item.clip.path,
                   .bytes = item.bytes ? std::optional<std::string_view>(*item.bytes) : std::nullopt,
                   .segment = item.clip.segment,
                   .decoding = {options.min_decoded_fraction}},
        log_mel_(log_mel),
        options_(options),
        rate_(static_cast<int>(log_mel.options().sample_rate)),
        encoded_(encoded),
        clip_(encoded.clip) {}

  void run() {
    auto whole = audio::decode_unless_long(recording_, options_.long_seconds);
    if (whole) {
      encode(std::move(*whole));
    } else {
      clip_.spool = std::make_shared<Spool>(options_.output);
      if (options_.encoding == Encoding::kPcm16) {
        encode_long_samples();
      } else {
        encode_long_log_mel();
      }
    }
  }

 private:
  void encode(audio::Waveform decoded) {
    encoded_.note = std::move(decoded.note);
    auto wave = audio::resample(std::move(decoded), rate_);
    encoded_.seconds = wave.seconds();
    auto samples = features::as_tensor(std::move(wave));
    if (options_.encoding == Encoding::kPcm16) {
      Quantiser quantiser;
      quantiser.see(samples);
      samples = quantiser.steps(samples);
      clip_.data = bytes_of(samples.to(torch::kInt16));
      clip_.length = static_cast<std::uint64_t>(samples.numel());
      clip_.scale = quantiser.scale();
      samples.mul_(quantiser.scale());  // the statistics are those of what is kept
    }
    const auto features = log_mel_(samples);
    set_statistics(features::clip_statistics(features, features::ClipStd::kUnbiased));
    if (options_.encoding == Encoding::kLogMel16) {
      clip_.data = bytes_of(rounded(features));
      clip_.length = static_cast<std::uint64_t>(features.size(0));
    }
  }

  /// First the peak, then the samples and the statistics of what they became.
  void encode_long_samples() {
    Quantiser quantiser;
    std::uint64_t seen = 0;
    {
      audio::ClipReader clip(recording_, rate_);
      for (auto block = clip.read(); !block.empty(); block = clip.read()) {
        quantiser.see(view_of(block));
        seen += block.size();
      }
      encoded_.note = clip.note();
    }
    clip_.scale = quantiser.scale();
    features::LogMelStream log_mel(log_mel_, torch::kCPU);
    features::RunningStatistics statistics;
    const auto add = [&](const torch::Tensor& frames) {
      if (frames.size(0) > 0) statistics.add(frames);
    };
    audio::ClipReader clip(recording_, rate_);
    for (auto block = clip.read(); !block.empty(); block = clip.read()) {
      const auto samples = quantiser.steps(view_of(block));
      clip_.spool->append(bytes_of(samples.to(torch::kInt16)));
      samples.mul_(quantiser.scale());
      add(log_mel.push({samples.const_data_ptr<float>(), static_cast<std::size_t>(samples.numel())}));
    }
    add(log_mel.finish());
    set_statistics(statistics.so_far(features::ClipStd::kUnbiased));
    clip_.length = static_cast<std::uint64_t>(log_mel.samples());
    check_unchanged(clip_.length == seen);
    encoded_.seconds = static_cast<double>(log_mel.samples()) / rate_;
  }

  /// First the statistics, then the frames.
  void encode_long_log_mel() {
    const auto survey = features::survey(recording_, log_mel_, torch::kCPU, features::ClipStd::kUnbiased);
    encoded_.note = survey.note;
    encoded_.seconds = static_cast<double>(survey.samples) / rate_;
    set_statistics(survey.statistics);
    audio::ClipReader clip(recording_, rate_);
    features::for_each_log_mel(clip, log_mel_, torch::kCPU, [&](const torch::Tensor& frames) {
      clip_.spool->append(bytes_of(rounded(frames)));
      clip_.length += static_cast<std::uint64_t>(frames.size(0));
    });
    check_unchanged(clip_.length == static_cast<std::uint64_t>(survey.frames));
  }

  void check_unchanged(bool same) const { AXLSTM_CHECK(same, recording_.path.string(), ": changed while it was read"); }

  void set_statistics(const features::ClipStatistics& statistics) {
    features::check_statistics(statistics, recording_.path.string());
    clip_.mean = statistics.mean;
    clip_.std = statistics.std;
  }

  /// Normalised before it is rounded: numbers near 0 keep more digits, and silence stays exactly 0.
  torch::Tensor rounded(const torch::Tensor& frames) const {
    return features::normalize(frames, {clip_.mean, clip_.std}).to(torch::kFloat16).contiguous();
  }

  audio::Recording recording_;
  const features::LogMel& log_mel_;
  const PackOptions& options_;
  int rate_;
  EncodedClip& encoded_;
  ShardClip& clip_;
};

}  // namespace

EncodedClip encode_clip(const StreamedClip& item, const features::LogMel& log_mel, const PackOptions& options) {
  const torch::NoGradGuard no_grad;
  EncodedClip encoded;
  encoded.clip.id = item.clip.id;
  encoded.clip.labels = item.clip.labels;
  try {
    AXLSTM_CHECK(item.failure.empty(), item.failure);
    Encoder(item, log_mel, options, encoded).run();
  } catch (const SpoolError&) {
    throw;
  } catch (const Error& failure) {
    encoded.failure = failure.what();
  }
  return encoded;
}

}  // namespace axlstm::data
