// Prints the parameter count of an untrained AxLSTM-T and the size of its embedding of one second of noise.
#include <torch/types.h>

#include <iostream>

#include "axlstm/embed/embedder.h"

int main() {
  using namespace axlstm;
  const model::EncoderOptions options = model::resolve({});
  model::Encoder encoder(options);
  embed::Embedder embedder(encoder, {}, {}, {runtime::Precision::kFp32, torch::kCPU});
  const auto embedding = embedder.embed({at::randn({16000})}, embed::EmbeddingKind::kScene).front();
  std::cout << model::describe(options) << ": " << model::parameter_count(*encoder) << " parameters, embedding of "
            << embedding.scene.numel() << " values\n";
  return embedding.scene.numel() == 960 ? 0 : 1;
}
