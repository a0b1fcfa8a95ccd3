#include "axlstm/embed/clip_encoder.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"

namespace axlstm::embed {

LongClip ClipEncoder::embed_long(const audio::Recording& recording, const TakeStep&) {
  throw Error(recording.path.string() + ": this model embeds whole clips, however long");
}

std::vector<ClipEmbedding> ClipEncoder::embed_log_mel(const std::vector<torch::Tensor>&, EmbeddingKind) {
  throw Error("this model's embeddings are made of samples, not of log-mel");
}

}  // namespace axlstm::embed
