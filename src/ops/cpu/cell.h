// The mLSTM cell of one clip on the CPU: matrix products by LibTorch, what is between them by rows.h. Scores exist for
// some tokens at a time, so that memory is linear in S.
#pragma once

#include <torch/types.h>

namespace axlstm::ops::cpu {

/// Gate preactivations of a clip: of token t and head n at [t * stride + n].
struct ClipGates {
  const float *i = nullptr, *f = nullptr;
  std::int64_t stride = 0;
  bool sigmoid_input = false;
};

/// Their gradients, in the same places.
struct ClipGateGradients {
  float *i = nullptr, *f = nullptr;
};

/// q, k, v [NH, S, DH] float32; writes h [NH, S, DH].
void cell_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ClipGates& gates, double eps,
                  const at::Tensor& h);

struct CellGradients {
  at::Tensor q, k, v;  ///< [NH, S, DH]
  ClipGateGradients gates;
};

/// Writes the gradients, from that of h.
void cell_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ClipGates& gates, double eps,
                   const at::Tensor& dh, const CellGradients& gradients);

}  // namespace axlstm::ops::cpu
