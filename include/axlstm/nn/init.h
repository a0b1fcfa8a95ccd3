// Initial distributions that more than one module draws from. All use LibTorch's global generator.
#pragma once

#include <torch/nn/modules/linear.h>
#include <torch/types.h>

namespace axlstm::nn {

/// √(2 / (5·dim)): the standard deviation of xLSTM's input-side projections.
double small_init_std(std::int64_t dim);

/// Xavier-uniform weight, zero bias: the transformer baseline's linear layers.
void init_xavier(torch::nn::Linear& linear);

/// Of mean 0 and this variance, from a normal distribution that is cut at two of its deviations.
torch::Tensor truncated_normal(at::IntArrayRef sizes, double variance);

/// LeCun-normal weight (variance 1 / fan-in, cut at two deviations), zero bias: the default of JAX's dense layers.
void init_lecun(torch::nn::Linear& linear);

}  // namespace axlstm::nn
