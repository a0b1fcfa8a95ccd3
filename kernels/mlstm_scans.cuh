// What is O(S) in the cell: scans over the gates, one warp for each batch entry and head.
#pragma once

#include "mlstm_gates.cuh"
#include "warp.cuh"

namespace axlstm::kernels {

__device__ inline float log_sigmoid(float x) { return fminf(x, 0.0F) - log1pf(expf(-fabsf(x))); }
__device__ inline float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

/// g, G, exp(−m) and record from the gates. Sums are float64: their error would be that of every later entry of D.
__global__ void gate_forward_kernel(MlstmShape shape, Gates gates, GateState state) {
  constexpr double kLog2E = 1.4426950408889634;
  const std::int64_t pair = blockIdx.x, batch = pair / shape.NH, head = pair % shape.NH;
  const int lane = threadIdx.x;
  double carried_F = 0.0, carried_G = -INFINITY;
  int carried_record = 0;
  for (std::int64_t start = 0; start < shape.S; start += kWarp) {
    const std::int64_t t = start + lane;
    const bool inside = t < shape.S;
    const std::int64_t from = (batch * shape.S + t) * shape.NH + head, to = pair * shape.S + t;
    double F = inside ? log_sigmoid(gates.f[from]) : 0.0;
    for (int step = 1; step < kWarp; step *= 2) {
      const double before = __shfl_up_sync(kAllLanes, F, step);
      if (lane >= step) F += before;
    }
    F += carried_F;
    double g = -INFINITY;
    if (inside) g = (gates.sigmoid_input ? log_sigmoid(gates.i[from]) : gates.i[from]) - F;
    double G = g;
    int record = static_cast<int>(t);
    for (int step = 1; step < kWarp; step *= 2) {
      const double before = __shfl_up_sync(kAllLanes, G, step);
      const int before_record = __shfl_up_sync(kAllLanes, record, step);
      if (lane >= step && before >= G) {
        G = before;
        record = before_record;
      }
    }
    if (carried_G >= G) {
      G = carried_G;
      record = carried_record;
    }
    if (inside) {
      const double g2 = g * kLog2E, G2 = G * kLog2E;
      state.g_high[to] = static_cast<float>(g2);
      state.g_low[to] = static_cast<float>(g2 - state.g_high[to]);
      state.G_high[to] = static_cast<float>(G2);
      state.G_low[to] = static_cast<float>(G2 - state.G_high[to]);
      state.bound[to] = static_cast<float>(exp(-(F + G)));
      state.record[to] = record;
    }
    carried_F = __shfl_sync(kAllLanes, F, kWarp - 1);
    carried_G = __shfl_sync(kAllLanes, G, kWarp - 1);
    carried_record = __shfl_sync(kAllLanes, record, kWarp - 1);
  }
}

/// di and df from the row and column sums of W_ij = ∂L/∂log D_ij. The stabiliser has a gradient of its own where eps
/// counts: e_i = δ_i eps / N_i leaves row i and the column of i's record. (The row sums have a closed form too; but the
/// computed ones have the rounding of the column sums, which then cancels in their difference.)
__global__ void gate_backward_kernel(BackwardParams params) {
  const MlstmShape& shape = params.shape;
  const std::int64_t pair = blockIdx.x, batch = pair / shape.NH, head = pair % shape.NH, base = pair * shape.S;
  const int lane = threadIdx.x;
  float carried = 0.0F;  // Σ dF over later tokens
  for (std::int64_t start = (shape.S - 1) / kWarp * kWarp; start >= 0; start -= kWarp) {
    const std::int64_t t = start + lane;
    const bool inside = t < shape.S;
    const auto correction = [&](std::int64_t i) {
      return params.rows.delta[base + i] * shape.eps * params.rows.inverse[base + i];
    };
    float column = 0.0F, dF = 0.0F;
    if (inside) {
      for (int part = 0; part < params.sum_parts; ++part) {
        const std::int64_t at = part * shape.B * shape.NH * shape.S + base + t;
        dF += params.row_sum[at];
        column += params.column_sum[at];
      }
      dF -= correction(t);
      // Records do not decrease: the tokens whose maximum is t follow t without a gap.
      for (std::int64_t i = t; i < shape.S && params.state.record[base + i] == t; ++i) column -= correction(i);
      dF -= column;
    }
    for (int step = 1; step < kWarp; step *= 2) {
      const float after = __shfl_down_sync(kAllLanes, dF, step);
      if (lane + step < kWarp) dF += after;
    }
    dF += carried;
    if (inside) {
      const std::int64_t to = (batch * shape.S + t) * shape.NH + head;
      params.di[to] = params.gates.sigmoid_input ? column * sigmoid(-params.gates.i[to]) : column;
      params.df[to] = dF * sigmoid(-params.gates.f[to]);
    }
    carried = __shfl_sync(kAllLanes, dF, 0);
  }
}

}  // namespace axlstm::kernels
