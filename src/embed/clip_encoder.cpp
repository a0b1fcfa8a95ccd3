#include "axlstm/embed/clip_encoder.h"

#include <torch/torch.h>

#include "axlstm/audio/resample.h"
#include "axlstm/core/error.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::embed {

LongClip ClipEncoder::embed_long(const audio::Recording& recording, const TakeStep& take) {
  auto wave = audio::decode(recording);
  std::string note = std::move(wave.note);
  const auto clips =
      embed({features::as_tensor(audio::resample(std::move(wave), sample_rate()))}, EmbeddingKind::kTimestamp);
  const auto steps = clips.at(0).timestamps.contiguous();
  const auto width = static_cast<std::size_t>(steps.size(1));
  for (std::int64_t step = 0; step < steps.size(0); ++step)
    take({steps.const_data_ptr<float>() + static_cast<std::size_t>(step) * width, width});
  const auto& times = clips.at(0).timestamps_ms;
  return {times.size() > 1 ? times[1] - times[0] : 0, std::move(note)};
}

std::vector<ClipEmbedding> ClipEncoder::embed_log_mel(const std::vector<torch::Tensor>&, EmbeddingKind) {
  throw Error("this model's embeddings are made of samples, not of log-mel");
}

}  // namespace axlstm::embed
