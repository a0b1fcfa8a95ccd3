// relu(dropout(batch_norm(x))), the costliest part of a small downstream model (private to hear/).
#pragma once

#include <torch/types.h>

namespace axlstm::downstream {

/// Weights and running statistics of a batch normalisation, float32 [C] each.
struct BatchNorm {
  torch::Tensor weight, bias, running_mean, running_var;

  /// Training: statistics of the batch; the running ones are updated. Otherwise the running ones are used.
  torch::Tensor forward(const torch::Tensor& x, bool training) const;
};

/// What BatchNorm::forward in training, torch::dropout drawn from `generator` and torch::relu give; x is float32 [B,
/// C]. On one thread of a CPU with AVX2 and FMA everything is done in few passes over the data, with the operations of
/// ATen's kernels in their order: output and gradients are theirs to the last bit.
torch::Tensor norm_dropout_relu(const torch::Tensor& x, const BatchNorm& norm, double p, at::Generator& generator);

/// The same by one operator of LibTorch after the other, for other devices, processors and numbers of threads.
torch::Tensor norm_dropout_relu_by_operators(const torch::Tensor& x, const BatchNorm& norm, double p,
                                             at::Generator& generator);

}  // namespace axlstm::downstream
