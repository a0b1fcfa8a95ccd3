// The gates' weights as the layer's kernels use them. A gate's preactivation is W_q q + W_k k + W_v v + bias with q, k
// = block-diagonal(c) and v = block-diagonal(a), so that weights of c and a themselves take their place. A thread has
// one channel.
#pragma once

#include "block_plan.h"
#include "block_vectors.cuh"
#include "mlstm_chunk_terms.h"

namespace axlstm::kernels {

/// One channel's part in the fold: the weights of the four outputs of its group, of each gate.
class GateRows {
 public:
  __device__ GateRows(const GateWeights& p, int channel)
      : p_(p), first_(channel / kProjectionBlock * kProjectionBlock) {}

  /// Those that gate `gate` gives to outputs of q (part 0), k (1) or v (2).
  __device__ Four of(int gate, int part) const { return load_floats(row(gate) + part * p_.I + first_); }

 private:
  __device__ const float* row(int gate) const {
    return gate < kGates / 2 ? p_.i_weight + gate * 3 * p_.I : p_.f_weight + (gate - kGates / 2) * 3 * p_.I;
  }
  const GateWeights& p_;
  int first_;
};

__device__ inline float dot(const Four& x, const Four& y) {
  return x.v[0] * y.v[0] + x.v[1] * y.v[1] + x.v[2] * y.v[2] + x.v[3] * y.v[3];
}

__global__ void __launch_bounds__(kFoldThreads) fold_gates_kernel(FoldGatesParams p) {
  const int channel = static_cast<int>(blockIdx.x * kFoldThreads + threadIdx.x), I = static_cast<int>(p.weights.I);
  if (channel >= I) return;
  const int in = channel % kProjectionBlock;
  const GateRows rows(p.weights, channel);
  const float* const blocks[3] = {p.weights.q_weight, p.weights.k_weight, p.weights.v_weight};
  Four columns[3];  // what the channel gives to the outputs of its group
  for (int part = 0; part < 3; ++part) {
    for (int out = 0; out < kProjectionBlock; ++out) {
      columns[part].v[out] = blocks[part][(channel - in + out) * kProjectionBlock + in];
    }
  }
  for (int gate = 0; gate < kGates; ++gate) {
    p.c_weight[gate * I + channel] = dot(rows.of(gate, 0), columns[0]) + dot(rows.of(gate, 1), columns[1]);
    p.a_weight[gate * I + channel] = dot(rows.of(gate, 2), columns[2]);
  }
}

/// A thread has two neighbouring inputs of one output.
template <typename T>
__global__ void __launch_bounds__(kFoldThreads) pack_weights_kernel(PackWeightsParams p) {
  const int at = static_cast<int>(blockIdx.x * kFoldThreads + threadIdx.x);
  const int DH = static_cast<int>(p.weights.I / p.NH), eighths = static_cast<int>(p.eighths);
  const int lane = at % kWarp, head = at / kWarp / eighths, channel = at / kWarp % eighths * 8;
  if (head >= p.NH) return;
  const int out = lane / 4, in = lane % 4 * 2,
            first = (head * DH + channel) / kProjectionBlock + out / kProjectionBlock;
  p.scores[at] = p.values[at] = 0;
  if (channel >= DH || out / kProjectionBlock != in / kProjectionBlock) return;
  const int row = out % kProjectionBlock, column = in % kProjectionBlock;
  const auto of = [&](const float* weight, int m, int n) {
    return weight[(first * kProjectionBlock + m) * kProjectionBlock + n];
  };
  float scores[2] = {};
  for (int m = 0; m < kProjectionBlock; ++m) {
    for (int e = 0; e < 2; ++e) scores[e] += of(p.weights.k_weight, m, row) * of(p.weights.q_weight, m, column + e);
  }
  p.scores[at] = pack<T>(scores[0], scores[1]);
  p.values[at] = pack<T>(of(p.weights.v_weight, row, column), of(p.weights.v_weight, row, column + 1));
}

/// Gradients of the gates' own weights, and what theirs add to those of q's, k's and v's weights.
__global__ void __launch_bounds__(kFoldThreads) fold_gates_backward_kernel(FoldGatesBackwardParams b) {
  const int channel = static_cast<int>(blockIdx.x * kFoldThreads + threadIdx.x), I = static_cast<int>(b.weights.I);
  if (channel >= I) return;
  const int at = channel % kProjectionBlock, first = channel - at;
  const GateRows rows(b.weights, channel);
  const float* const blocks[3] = {b.weights.q_weight, b.weights.k_weight, b.weights.v_weight};
  float* const dblocks[3] = {b.dq_weight, b.dk_weight, b.dv_weight};
  const float* const folded[3] = {b.dc_weight, b.dc_weight, b.da_weight};
  for (int part = 0; part < 3; ++part) {
    const Four block_row = load_floats(blocks[part] + channel * kProjectionBlock);  // the channel as output
    float column[kProjectionBlock] = {};                                            // the channel as input
    for (int gate = 0; gate < kGates; ++gate) {
      const float* const of_gate = folded[part] + gate * I;
      float* const dgate = gate < kGates / 2 ? b.di_weight + gate * 3 * I : b.df_weight + (gate - kGates / 2) * 3 * I;
      dgate[part * I + channel] = dot(block_row, load_floats(of_gate + first));
      const Four outputs = rows.of(gate, part);
      for (int out = 0; out < kProjectionBlock; ++out) column[out] += outputs.v[out] * of_gate[channel];
    }
    for (int out = 0; out < kProjectionBlock; ++out)
      dblocks[part][(first + out) * kProjectionBlock + at] += column[out];
  }
  if (b.dscore_weight == nullptr) return;
  for (int m = 0; m < kProjectionBlock; ++m) {
    const Four q_row = load_floats(blocks[0] + (first + m) * kProjectionBlock),
               k_row = load_floats(blocks[1] + (first + m) * kProjectionBlock);
    float dq = 0.0F;
    for (int out = 0; out < kProjectionBlock; ++out) {
      dq += k_row.v[out] * b.dscore_weight[(first + out) * kProjectionBlock + at];
    }
    b.dq_weight[(first + m) * kProjectionBlock + at] += dq;
    b.dk_weight[(first + m) * kProjectionBlock + at] +=
        dot(q_row, load_floats(b.dscore_weight + channel * kProjectionBlock));
  }
}

}  // namespace axlstm::kernels
