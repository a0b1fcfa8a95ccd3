// From LibTorch's tensors to what the scan's kernels take.
#pragma once

#include <torch/types.h>

#include "kernel_call.h"
#include "scan_launch.h"

namespace axlstm::ops {

/// x [B, S, columns], the columns contiguous.
inline kernels::TokenRows token_rows(const torch::Tensor& x) { return {x.data_ptr(), x.stride(0), x.stride(1)}; }

/// What the forward pass reads; A is [N, I] float32, D and bias [I] float32, the rest of one type.
struct ScanTensors {
  torch::Tensor u, delta, A, B, C, D, z, bias;

  kernels::ScanParams params() const {
    kernels::ScanParams params;
    params.shape = {u.size(0), u.size(1), u.size(2), A.size(0)};
    params.u = token_rows(u);
    params.delta = token_rows(delta);
    params.z = token_rows(z);
    params.B = token_rows(B);
    params.C = token_rows(C);
    params.A = A.const_data_ptr<float>();
    params.D = D.const_data_ptr<float>();
    params.bias = bias.const_data_ptr<float>();
    return params;
  }
};

/// y [B, S, I]; and the states that the backward pass needs, if it is to come.
struct ScanResult {
  torch::Tensor y, states;
};
ScanResult run_scan(const ScanTensors& tensors, bool keep);

/// Gradients of a scan; du, ddelta and dz [B, S, I] are given, of the tokens' type, and written.
struct ScanGradients {
  torch::Tensor du, ddelta, dz;
  torch::Tensor dBC;        ///< [B, S, 2N] float32: of B, then of C
  torch::Tensor dA;         ///< [N, I]
  torch::Tensor dD, dbias;  ///< [I]
};
void run_scan_backward(const ScanTensors& tensors, const torch::Tensor& states, const torch::Tensor& dy,
                       ScanGradients& gradients);

}  // namespace axlstm::ops
