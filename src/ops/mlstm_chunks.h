// The cell's kernels for sequences of any length: one chunk of tokens after the other, as many as a block takes at
// once; what the tokens before a chunk add goes through a state [DH, DH] of each head, so that work and memory are
// linear in S.
#pragma once

#include "kernel_call.h"

namespace axlstm::ops {

/// The cell's inputs: q, k, v [B, S, NH, DH] as the kernels load them; the gates' preactivations. With weights, q must
/// be k, and the cell one that takes_weights().
struct CellInputs {
  torch::Tensor q, k, v;
  kernels::Gates gates;
  kernels::CellWeights weights;
  Isa isa = Isa::kAuto;
  double eps = 1e-6;
};

/// Whether the cell's kernels for so many tokens on this device take weights: Hopper's do, of one chunk.
bool takes_weights(Isa isa, const torch::Device& device, torch::ScalarType dtype, std::int64_t tokens);

/// Where the gradients go: dq, dk, dv like q; di, df [B, S, NH] float32. With weights dq is that of q = k, dk is
/// undefined, dv is that of v's product.
struct CellGradients {
  torch::Tensor dq, dk, dv;
  float* di = nullptr;
  float* df = nullptr;
};

/// Writes h, like q, and the state.
void cell_forward(const CellInputs& inputs, const CellState& state, const torch::Tensor& h, cudaStream_t stream);
/// Writes the gradients, from that of h; returns that of q's weights [NH · DH, 4], undefined without them.
torch::Tensor cell_backward(const CellInputs& inputs, const CellState& state, const torch::Tensor& dh,
                            const CellGradients& gradients, cudaStream_t stream);

}  // namespace axlstm::ops
