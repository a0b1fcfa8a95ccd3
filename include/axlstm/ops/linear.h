// A linear layer and the GELU behind it: on a GPU, where it computes in a narrow type, GELU's backward pass and the
// gradient of the bias take one pass over memory.
#pragma once

#include <torch/types.h>

#include <string>

namespace axlstm::ops {

/// What stands behind the product: nothing, x Φ(x), or that with tanh in place of the error function.
enum class Gelu { kNone, kErf, kTanh };

/// Why the fused kernels cannot run (they need a build with CUDA, a GPU, float16 or bfloat16 and a multiple of 8
/// outputs); empty if they can.
std::string linear_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t outputs);

/// gelu(x Wᵀ + b) by LibTorch's operators: x [..., K], weight [N, K], bias [N] → [..., N].
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, Gelu gelu);

/// The same with fused kernels, in `dtype`; the gradient of the bias is summed in float32, in a fixed order. Only where
/// linear_obstacle() is empty.
torch::Tensor fused_linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, Gelu gelu,
                           torch::ScalarType dtype);

}  // namespace axlstm::ops
