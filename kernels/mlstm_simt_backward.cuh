// dq, dk, dv and the sums for the gates in float32, from what the forward pass saved. With N, s and δ of each row:
//   dC_ij = (dh_i·v_j − s_i δ_i) / N_i,   dS_ij = dC_ij exp(g_j − G_i),   W_ij = dC_ij C_ij
//   dq = dS k / √DH,   dk = dSᵀ q / √DH,   dv = (C / N)ᵀ dh;   the gates need W's row and column sums
// The gradient is exact: the normaliser's part is s_i δ_i.
#pragma once

#include "mlstm_simt_forward.cuh"

namespace axlstm::kernels {

/// Everything that the three products of the backward pass need of one 64×64 tile.
struct BackwardTile {
  const BackwardParams& params;
  HeadView<const float> q, k, v, dh;
  std::int64_t base;
  float scale;

  __device__ BackwardTile(const BackwardParams& p, std::int64_t pair)
      : params(p),
        q(p.q, pair / p.shape.NH, pair % p.shape.NH),
        k(p.k, pair / p.shape.NH, pair % p.shape.NH),
        v(p.v, pair / p.shape.NH, pair % p.shape.NH),
        dh(p.dh, pair / p.shape.NH, pair % p.shape.NH),
        base(pair * p.shape.S),
        scale(rsqrtf(static_cast<float>(p.shape.DH))) {}

  /// C and dC of the thread's entries of the tile with rows from `first`, columns from `column`; calls
  /// use(row, column in tile, C / N, dS, W).
  template <typename Use>
  __device__ void visit(std::int64_t first, std::int64_t column, float* scratch, const Use& use) const {
    const MlstmShape& shape = params.shape;
    const int y = threadIdx.x / kStep, x = threadIdx.x % kStep;
    float C[kOwnedRows][4], dC[kOwnedRows][4];
    score_tile(C, q, first, k, column, shape, scratch);
    score_tile(dC, dh, first, v, column, shape, scratch);
    for (int r = 0; r < kOwnedRows; ++r) {
      const std::int64_t i = first + y * kOwnedRows + r;
      const float inverse = i < shape.S ? params.rows.inverse[base + i] : 0.0F;
      const float signed_delta = i < shape.S ? params.rows.signed_delta[base + i] : 0.0F;
      for (int c = 0; c < 4; ++c) {
        const std::int64_t j = column + x + kStep * c;
        const float D = gate_factor(params.state, base, i, j, shape.S);
        const float value = C[r][c] * scale * D, gradient = (dC[r][c] - signed_delta) * inverse;
        use(y * kOwnedRows + r, x + kStep * c, value * inverse, gradient * D, gradient * value);
      }
    }
  }
};

/// The terms of 64 rows.
__global__ void __launch_bounds__(kThreads) simt_row_terms_kernel(BackwardParams params) {
  __shared__ float scratch[2 * kTile * (kSlice + 1)];
  const MlstmShape& shape = params.shape;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kTile, pair = blockIdx.x;
  const int y = threadIdx.x / kStep, x = threadIdx.x % kStep;
  const BackwardTile tile(params, pair);
  float weighted[kOwnedRows] = {};
  for (std::int64_t column = 0; column <= first; column += kTile) {
    float C[kOwnedRows][4], dA[kOwnedRows][4];
    score_tile(C, tile.q, first, tile.k, column, shape, scratch);
    score_tile(dA, tile.dh, first, tile.v, column, shape, scratch);
    for (int r = 0; r < kOwnedRows; ++r) {
      for (int c = 0; c < 4; ++c) {
        const float D =
            gate_factor(params.state, tile.base, first + y * kOwnedRows + r, column + x + kStep * c, shape.S);
        weighted[r] += C[r][c] * tile.scale * D * dA[r][c];
      }
    }
  }
  for (int r = 0; r < kOwnedRows; ++r) {
    for (int step = kStep / 2; step > 0; step /= 2) {
      weighted[r] += __shfl_xor_sync(kAllLanes, weighted[r], step, kStep);
    }
    const std::int64_t i = first + y * kOwnedRows + r;
    if (x != 0 || i >= shape.S) continue;
    const Normaliser norm = normaliser(params.n[tile.base + i], params.state.bound[tile.base + i], shape.eps);
    store_row_terms(params.rows, tile.base + i, weighted[r] * norm.inverse, norm);
  }
}

/// dq of 64 rows, and W's row sums.
template <int Columns>
__global__ void __launch_bounds__(kThreads) simt_backward_rows_kernel(BackwardParams params) {
  __shared__ float scratch[kScratch<Columns>];
  __shared__ float dS_tile[kTile * (kTile + 1)];
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kTile, pair = blockIdx.x;
  const int from = blockIdx.z * kStep * Columns;
  const BackwardTile tile(params, pair);
  float dq[kOwnedRows][Columns] = {};
  float W[kOwnedRows] = {};
  for (std::int64_t column = 0; column <= first; column += kTile) {
    tile.visit(first, column, scratch, [&](int r, int c, float, float dS, float w) {
      dS_tile[r * (kTile + 1) + c] = dS;
      W[r % kOwnedRows] += w;
    });
    accumulate<Columns, false>(dq, dS_tile, tile.k, column, params.shape, from, scratch);
  }
  const HeadView<float> out(params.dq, pair / params.shape.NH, pair % params.shape.NH);
  store(dq, out, first, params.shape, from, [&](int) { return tile.scale; });
  for (int r = 0; r < kOwnedRows; ++r) {
    for (int step = kStep / 2; step > 0; step /= 2) W[r] += __shfl_xor_sync(kAllLanes, W[r], step, kStep);
    const std::int64_t i = first + threadIdx.x / kStep * kOwnedRows + r;
    if (blockIdx.z == 0 && threadIdx.x % kStep == 0 && i < params.shape.S) params.row_sum[tile.base + i] = W[r];
  }
}

/// dk, dv and the column sums of 64 columns.
template <int Columns>
__global__ void __launch_bounds__(kThreads) simt_backward_columns_kernel(BackwardParams params) {
  float* shared = dynamic_shared<float>();
  float* dS_tile = shared;
  float* P_tile = dS_tile + kTile * (kTile + 1);
  float* scratch = P_tile + kTile * (kTile + 1);
  const MlstmShape& shape = params.shape;
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.y) * kTile, pair = blockIdx.x;
  const int from = blockIdx.z * kStep * Columns;
  const BackwardTile tile(params, pair);
  float dk[kOwnedRows][Columns] = {}, dv[kOwnedRows][Columns] = {};
  float W[4] = {};  // partial sums of the thread's four columns over its rows
  for (std::int64_t first = column; first < shape.S; first += kTile) {
    tile.visit(first, column, scratch, [&](int r, int c, float P, float dS, float w) {
      dS_tile[r * (kTile + 1) + c] = dS;
      P_tile[r * (kTile + 1) + c] = P;
      W[c / kStep] += w;
    });
    accumulate<Columns, true>(dk, dS_tile, tile.q, first, shape, from, scratch);
    accumulate<Columns, true>(dv, P_tile, tile.dh, first, shape, from, scratch);
  }
  const HeadView<float> dk_out(params.dk, pair / shape.NH, pair % shape.NH),
      dv_out(params.dv, pair / shape.NH, pair % shape.NH);
  store(dk, dk_out, column, shape, from, [&](int) { return tile.scale; });
  store(dv, dv_out, column, shape, from, [&](int) { return 1.0F; });
  if (blockIdx.z != 0) return;
  __syncthreads();
  const int y = threadIdx.x / kStep, x = threadIdx.x % kStep;
  for (int c = 0; c < 4; ++c) scratch[y * kTile + x + kStep * c] = W[c];  // 16 partial sums a column
  __syncthreads();
  const std::int64_t j = column + threadIdx.x;
  if (threadIdx.x < kTile && j < shape.S) {
    float sum = 0.0F;
    for (int part = 0; part < kStep; ++part) sum += scratch[part * kTile + threadIdx.x];
    params.column_sum[tile.base + j] = sum;
  }
}

}  // namespace axlstm::kernels
