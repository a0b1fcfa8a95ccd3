// The implementations behind ops::window_attention. Inputs are checked.
#pragma once

#include <torch/types.h>

#include <string>

#include "axlstm/ops/window_attention.h"

namespace axlstm::ops {

/// By LibTorch's operators.
torch::Tensor window_attention_reference(const torch::Tensor& qkv, const WindowHeads& heads);

/// By CUDA kernels, and why they cannot take types and sizes; empty if they can.
torch::Tensor window_attention_cuda(const torch::Tensor& qkv, const WindowHeads& heads);
std::string cuda_window_obstacle(const torch::Tensor& qkv, const WindowHeads& heads);

}  // namespace axlstm::ops
