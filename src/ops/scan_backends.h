// The implementations behind ops::selective_scan and ops::mamba_mixer. Inputs are checked.
#pragma once

#include <torch/types.h>

#include <string>

#include "axlstm/ops/mamba_mixer.h"
#include "axlstm/ops/selective_scan.h"

namespace axlstm::ops {

/// By LibTorch's operators; autograd gives the exact gradient. `state` is brought up to the last step.
torch::Tensor scan_reference(const ScanInputs& inputs, torch::Tensor& state);

/// In float32, only where scan_kernel_obstacle() is empty.
torch::Tensor scan_cpu(const ScanInputs& inputs);

/// By CUDA kernels, and why they cannot take a type; empty if they can.
torch::Tensor scan_cuda(const ScanInputs& inputs);
std::string cuda_scan_obstacle(torch::ScalarType dtype);

/// A whole mixer in float32, clip after clip, so that what is between the steps stays in a core's cache.
torch::Tensor mamba_mixer_cpu(const torch::Tensor& az, const MixerWeights& weights);

/// And by CUDA kernels, in az's type.
torch::Tensor mamba_mixer_cuda(const torch::Tensor& az, const MixerWeights& weights);

}  // namespace axlstm::ops
