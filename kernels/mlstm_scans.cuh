// What is O(S) in the cell: scans over the gates. A thread block has one head of a batch entry, a thread one token of a
// piece of as many tokens as there are threads; a warp scans its own, and what the other warps of the piece and the
// pieces before add comes through shared memory.
#pragma once

#include "mlstm_gates.cuh"
#include "warp.cuh"

namespace axlstm::kernels {

__device__ inline float log_sigmoid(float x) { return fminf(x, 0.0F) - log1pf(expf(-fabsf(x))); }
__device__ inline float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

/// g, G, exp(−m) and record from the gates. Sums are float64: their error would be that of every later entry of D.
__global__ void gate_forward_kernel(MlstmShape shape, Gates gates, GateState state) {
  constexpr double kLog2E = 1.4426950408889634;
  struct Largest {
    double G;
    int record;
  };
  __shared__ double sums[kMostScanWarps];
  __shared__ Largest largest[kMostScanWarps];
  const std::int64_t pair = blockIdx.x, batch = pair / shape.NH, head = pair % shape.NH;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  double carried_F = 0.0;
  Largest carried{-INFINITY, 0};
  for (std::int64_t start = 0; start < shape.S; start += blockDim.x) {
    const std::int64_t t = start + threadIdx.x;
    const bool inside = t < shape.S;
    const std::int64_t from = (batch * shape.S + t) * shape.NH + head, to = pair * shape.S + t;
    double F = inside ? log_sigmoid(gates.f[from]) : 0.0;
    for (int step = 1; step < kWarp; step *= 2) {
      const double before = __shfl_up_sync(kAllLanes, F, step);
      if (lane >= step) F += before;
    }
    if (lane == kWarp - 1) sums[warp] = F;
    __syncthreads();
    for (int n = 0; n < warps; ++n) {
      if (n < warp) F += sums[n];
    }
    F += carried_F;
    double g = -INFINITY;
    if (inside) g = (gates.sigmoid_input ? log_sigmoid(gates.i[from]) : gates.i[from]) - F;
    Largest G{g, static_cast<int>(t)};
    const auto consider = [&](const Largest& earlier) {
      if (earlier.G >= G.G) G = earlier;
    };
    for (int step = 1; step < kWarp; step *= 2) {
      const Largest before{__shfl_up_sync(kAllLanes, G.G, step), __shfl_up_sync(kAllLanes, G.record, step)};
      if (lane >= step) consider(before);
    }
    if (lane == kWarp - 1) largest[warp] = G;
    __syncthreads();
    for (int n = warp - 1; n >= 0; --n) consider(largest[n]);
    consider(carried);
    if (inside) {
      const double g2 = g * kLog2E, G2 = G.G * kLog2E;
      state.g_high[to] = static_cast<float>(g2);
      state.g_low[to] = static_cast<float>(g2 - state.g_high[to]);
      state.G_high[to] = static_cast<float>(G2);
      state.G_low[to] = static_cast<float>(G2 - state.G_high[to]);
      state.bound[to] = static_cast<float>(exp(-(F + G.G)));
      state.record[to] = G.record;
    }
    // Every thread adds up what all warps told: the same for all, in the same order.
    for (int n = 0; n < warps; ++n) {
      carried_F += sums[n];
      if (largest[n].G > carried.G) carried = largest[n];
    }
    __syncthreads();  // before the next piece is told
  }
}

/// di and df from the row and column sums of W_ij = ∂L/∂log D_ij. dF_t is W summed over the pairs that t separates, i ≥
/// t > j: row sums less column sums of all tokens from t on, in which the pairs behind t cancel. What is left of them
/// by rounding would add up over a long sequence, so each chunk begins anew with the total of the link behind it. The
/// stabiliser has a gradient of its own where eps counts: e_i = δ_i eps / N_i leaves row i and the column of i's
/// record. (The row sums have a closed form too; but the computed ones have the rounding of the column sums, which then
/// cancels in their difference.)
__global__ void gate_backward_kernel(BackwardParams params) {
  const MlstmShape& shape = params.shape;
  const std::int64_t pair = blockIdx.x, batch = pair / shape.NH, head = pair % shape.NH, base = pair * shape.S;
  const std::int64_t links = params.link_totals != nullptr ? (shape.S - 1) / shape.chunk : 0;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  __shared__ float sums[kMostScanWarps], eps_sums[kMostScanWarps];
  __shared__ int chunk_ends[kMostScanWarps];
  float carried = 0.0F, carried_eps = 0.0F;  // sums over later tokens: of the chunk, and of all
  for (std::int64_t start = (shape.S - 1) / blockDim.x * blockDim.x; start >= 0; start -= blockDim.x) {
    const std::int64_t t = start + threadIdx.x;
    const bool inside = t < shape.S;
    const auto correction = [&](std::int64_t i) {
      return params.rows.delta[base + i] * shape.eps * params.rows.inverse[base + i];
    };
    float column = 0.0F, dF = 0.0F, dF_eps = 0.0F;
    int ends = 0;  // a chunk ends at this token or, in the scan, between it and what is added
    if (inside) {
      for (int part = 0; part < params.sum_parts; ++part) {
        const std::int64_t at = part * shape.B * shape.NH * shape.S + base + t;
        dF += params.row_sum[at];
        column += params.column_sum[at];
      }
      dF -= column;
      // Records do not decrease: the tokens whose maximum is t follow t without a gap.
      float of_record = 0.0F;
      for (std::int64_t i = t; i < shape.S && params.state.record[base + i] == t; ++i) of_record += correction(i);
      column -= of_record;
      dF_eps = of_record - correction(t);
      const std::int64_t link = links > 0 ? t / shape.chunk : 0;
      if (link < links && t + 1 == (link + 1) * shape.chunk) {
        dF += params.link_totals[pair * links + link];
        ends = 1;
      }
    }
    const auto add = [&](float later, float later_eps, int later_ends) {
      dF_eps += later_eps;
      if (ends == 0) {
        dF += later;
        ends = later_ends;
      }
    };
    for (int step = 1; step < kWarp; step *= 2) {
      const float after = __shfl_down_sync(kAllLanes, dF, step), after_eps = __shfl_down_sync(kAllLanes, dF_eps, step);
      const int after_ends = __shfl_down_sync(kAllLanes, ends, step);
      if (lane + step < kWarp) add(after, after_eps, after_ends);
    }
    if (lane == 0) {
      sums[warp] = dF;
      eps_sums[warp] = dF_eps;
      chunk_ends[warp] = ends;
    }
    __syncthreads();
    for (int n = warp + 1; n < warps; ++n) add(sums[n], eps_sums[n], chunk_ends[n]);
    add(carried, carried_eps, 1);
    if (inside) {
      const std::int64_t to = (batch * shape.S + t) * shape.NH + head;
      params.di[to] = params.gates.sigmoid_input ? column * sigmoid(-params.gates.i[to]) : column;
      params.df[to] = (dF + dF_eps) * sigmoid(-params.gates.f[to]);
    }
    for (int n = warps - 1; n >= 0; --n) {  // every thread adds up what all warps told, in the same order
      carried = chunk_ends[n] != 0 ? sums[n] : carried + sums[n];
      carried_eps += eps_sums[n];
    }
    __syncthreads();  // before the next piece is told
  }
}

}  // namespace axlstm::kernels
