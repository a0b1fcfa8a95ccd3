// Chunks → time steps: the encoder's forward pass, always over as many chunks, on a GPU as a CUDA graph.
#pragma once

#include <torch/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "axlstm/embed/options.h"
#include "axlstm/model/encoder.h"
#include "axlstm/runtime/arithmetic.h"
#include "axlstm/runtime/device_graph.h"

namespace axlstm::embed {

/// Tokens [B, N, D], class token dropped → features [B, L / patch frames, W] in the given layout.
torch::Tensor arrange_tokens(const torch::Tensor& tokens, const model::EncoderOptions& encoder, EmbeddingLayout layout);

class ChunkEncoder {
 public:
  /// `encoder` is on arithmetic.device already; `size` chunks are one pass.
  ChunkEncoder(model::Encoder encoder, EmbeddingLayout layout, runtime::Arithmetic arithmetic, std::int64_t size);

  /// Normalised chunks [N, 1, L, F] on the device → their time steps [N, L / patch frames, W], float32 on the CPU. With
  /// `weights` [N, L / patch frames, 1], there too: their weighted sums over each chunk, [N, W]. Threads may call it at
  /// once. On a GPU numbers do not depend on N, and a pass for which there is no memory is halved from then on.
  torch::Tensor encode(const torch::Tensor& chunks, const torch::Tensor& weights = {});

  std::int64_t size() const { return size_; }

 private:
  /// What goes into a pass and what comes out, and the graph that makes the one of the other. On a GPU alone.
  struct Pass {
    torch::Tensor chunks, weights, output;
    int runs = 0;
    std::unique_ptr<runtime::DeviceGraph> graph;
  };

  torch::Tensor forward(const torch::Tensor& chunks, const torch::Tensor& weights);
  torch::Tensor run(Pass& pass, const torch::Tensor& chunks, const torch::Tensor& weights);
  void record(Pass& pass);

  model::Encoder encoder_;
  EmbeddingLayout layout_;
  runtime::Arithmetic arithmetic_;
  std::atomic<std::int64_t> size_;
  std::mutex mutex_;            ///< of the encoder and what follows
  std::array<Pass, 2> passes_;  ///< to time steps, and to sums of them
};

}  // namespace axlstm::embed
