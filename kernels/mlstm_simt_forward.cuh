// h = (C / N) V in float32, without an S×S matrix in memory: one thread block takes 64 rows and up to 192 channels of
// one head.
#pragma once

#include "mlstm_gates.cuh"
#include "mlstm_simt_tile.cuh"
#include "warp.cuh"

namespace axlstm::kernels {

template <int Columns>
__global__ void __launch_bounds__(kThreads) simt_forward_kernel(ForwardParams params) {
  __shared__ float scratch[kScratch<Columns>];
  __shared__ float C_tile[kTile * (kTile + 1)];
  __shared__ float inverse_N[kTile];
  const MlstmShape& shape = params.shape;
  const std::int64_t pair = blockIdx.x, batch = pair / shape.NH, head = pair % shape.NH, base = pair * shape.S;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kTile;
  const int from = blockIdx.z * kStep * Columns;
  const HeadView<const float> q(params.q, batch, head), k(params.k, batch, head), v(params.v, batch, head);
  const float scale = rsqrtf(static_cast<float>(shape.DH));
  const int y = threadIdx.x / kStep, x = threadIdx.x % kStep;

  float h[kOwnedRows][Columns] = {};
  float n[kOwnedRows] = {};
  for (std::int64_t column = 0; column <= first; column += kTile) {
    float C[kOwnedRows][4];
    score_tile(C, q, first, k, column, shape, scratch);
    for (int r = 0; r < kOwnedRows; ++r) {
      const std::int64_t i = first + y * kOwnedRows + r;
      for (int c = 0; c < 4; ++c) {
        const std::int64_t j = column + x + kStep * c;
        const float value = C[r][c] * scale * gate_factor(params.state, base, i, j, shape.S);
        C_tile[(y * kOwnedRows + r) * (kTile + 1) + x + kStep * c] = value;
        n[r] += value;
      }
    }
    accumulate<Columns, false>(h, C_tile, v, column, shape, from, scratch);
  }

  for (int r = 0; r < kOwnedRows; ++r) {
    for (int step = kStep / 2; step > 0; step /= 2) n[r] += __shfl_xor_sync(kAllLanes, n[r], step, kStep);
    const std::int64_t i = first + y * kOwnedRows + r;
    if (x == 0 && i < shape.S) {
      inverse_N[y * kOwnedRows + r] = normaliser(n[r], params.state.bound[base + i], shape.eps).inverse;
      if (blockIdx.z == 0) params.n[base + i] = n[r];
    }
  }
  __syncthreads();
  store(h, HeadView<float>(params.h, batch, head), first, shape, from, [&](int row) { return inverse_N[row]; });
}

}  // namespace axlstm::kernels
