#include "axlstm/data/packed_clip.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "axlstm/core/error.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::data {

std::string place_of(const ShardView& clip) { return str(clip.file->path().string(), ": clip ", clip.id); }

audio::Recording recording_of(const ShardView& clip, const PackedInfo& info) {
  return {.path = clip.file->path(),
          .pcm16 = audio::Pcm16{.clip = std::string(clip.id),
                                .sample_rate = static_cast<int>(info.audio.sample_rate),
                                .scale = clip.scale,
                                .offset = clip.offset,
                                .samples = clip.length,
                                .checksum = clip.checksum}};
}

double deviation_of(const ShardView& clip, std::int64_t frames, const features::LogMelOptions& audio) {
  if (audio.clip_std == features::ClipStd::kUnbiased) return clip.std;
  return clip.std * std::sqrt(1.0 - 1.0 / static_cast<double>(frames * audio.mels));
}

double log_mel_divisor(const ShardView& clip, const features::LogMelOptions& audio) {
  const double deviation = deviation_of(clip, static_cast<std::int64_t>(clip.length), audio);
  return (deviation + features::kStdOffset) / (clip.std + features::kStdOffset);
}

PackedLogMel::PackedLogMel(const ShardView& clip, const features::LogMelOptions& audio)
    : clip_(clip), mels_(audio.mels), divisor_(log_mel_divisor(clip, audio)) {}

torch::Tensor PackedLogMel::read(std::int64_t count) {
  count = std::min(count, left());
  const auto rounded = torch::empty({count, mels_}, torch::kFloat16);
  clip_.read(static_cast<std::uint64_t>(next_ * mels_) * 2, rounded.data_ptr(), rounded.nbytes());
  checksum_ = fnv1a64({static_cast<const char*>(rounded.const_data_ptr()), rounded.nbytes()}, checksum_);
  next_ += count;
  AXLSTM_CHECK(left() > 0 || checksum_ == clip_.checksum, place_of(clip_),
               ": does not match its checksum, the shard is damaged; pack again");
  // Not by LibTorch, each of whose operators would start threads of its own beside those that read clips.
  const auto frames = torch::empty({count, mels_}, torch::kFloat32);
  const auto* source = rounded.const_data_ptr<at::Half>();
  const auto divisor = static_cast<float>(divisor_);
  std::transform(source, source + rounded.numel(), frames.data_ptr<float>(),
                 [divisor](at::Half value) { return static_cast<float>(value) / divisor; });
  return frames;
}

}  // namespace axlstm::data
