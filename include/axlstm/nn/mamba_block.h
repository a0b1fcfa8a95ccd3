// One block of Audio Mamba (SSAM, Yadav and Tan, 2024): x + mixer(norm(x)), in one direction.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include "axlstm/nn/block.h"
#include "axlstm/ops/mamba_mixer.h"

namespace axlstm::nn {

struct MambaBlockOptions {
  std::int64_t dim = 192;      ///< D
  std::int64_t expansion = 3;  ///< E; the inner width I is E·D
  std::int64_t state = 24;     ///< N, numbers that each channel remembers
  std::int64_t depth = 12;     ///< blocks of the model: out_proj starts smaller by its root
  ops::Backend backend = ops::Backend::kAuto;
};

/// y = W_out (scan ⊙ SiLU(z)) with [a, z] = W_in u and a scan of what a convolution makes of a (ops/mamba_mixer.h).
class MambaMixerImpl : public torch::nn::Module {
 public:
  explicit MambaMixerImpl(const MambaBlockOptions& options);

  /// [B, S, D] → [B, S, D]. By own code where the backend allows it and type and shapes fit. Throws UsageError if the
  /// backend asks for own code and it cannot run.
  torch::Tensor forward(const torch::Tensor& u);

 private:
  ops::Backend backend_;
  torch::Tensor A_log_, D_;     // [I, N], [I]
  torch::nn::Linear in_proj_;   // D → 2I
  torch::nn::Conv1d conv1d_;    // depthwise
  torch::nn::Linear x_proj_;    // I → R + 2N
  torch::nn::Linear dt_proj_;   // R → I
  torch::nn::Linear out_proj_;  // I → D
};
TORCH_MODULE(MambaMixer);

class MambaBlockImpl : public Block {
 public:
  explicit MambaBlockImpl(const MambaBlockOptions& options);
  ops::ResidualStream forward(const ops::ResidualStream& stream) override;

 private:
  ops::Backend backend_;
  torch::nn::LayerNorm norm_;
  MambaMixer mixer_;
};
TORCH_MODULE(MambaBlock);

}  // namespace axlstm::nn
