// Attention within windows, backward: a thread block for each head of a clip. First rows are queries, with k and v in
// shared memory: dq, δ and the table's gradient. Then rows are keys, with q and dmixed there: dk and dv. Either
// computes the weights
//
//   P_ij = exp(score_ij − log Σ),  dP_ij = dmixed_i·v_j,  δ_i = dmixed_i·mixed_i,  dscore_ij = P_ij (dP_ij − δ_i)
//
// again, so that nothing is added up between warps and all sums have an order.
#pragma once

#include "window_head.cuh"

namespace axlstm::kernels {

/// Adds a tile's diagonals to the gradient of a table: one lane has one. `tile` and `sums` are the warp's own.
template <typename Head>
__device__ void add_diagonals(const Head& head, const typename Head::Tile& dscores, int first, int passing, float* tile,
                              float* sums) {
  const int lane = Head::lane();
#pragma unroll
  for (int n = 0; n < 8; ++n) {
    const int row = lane / 4 + 8 * (n / 2 % 2), column = Head::column(n / 4) + n % 2;
    tile[32 * row + row - column + 15] = dscores[n / 4][n % 4];
  }
  __syncwarp();
  float sum = 0.0F;
#pragma unroll
  for (int row = 0; row < 16; ++row) {
    if (lane - 15 <= row && row <= lane) sum += tile[32 * row + lane];
  }
  const int at = first - passing + lane - 15 + head.of.window - 1;
  if (lane < 31 && 0 <= at && at < 2 * head.of.window - 1) sums[at] += sum;
  __syncwarp();
}

/// Σ over channels of two rows' products: of rows g and g + 8.
template <typename T, int kSixteens>
__device__ float2 row_products(const std::uint32_t (&x)[kSixteens][4], const std::uint32_t (&y)[kSixteens][4]) {
  float sum[2] = {0.0F, 0.0F};
#pragma unroll
  for (int c = 0; c < kSixteens; ++c) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const float2 a = unpack<T>(x[c][n]), b = unpack<T>(y[c][n]);
      sum[n % 2] += a.x * b.x + a.y * b.y;
    }
  }
  return {sum_of_quad(sum[0]), sum_of_quad(sum[1])};
}

template <int kSixteens, typename T>
__global__ void __launch_bounds__(kWindowThreads, 2) window_backward_kernel(WindowBackwardParams b) {
  using Head = WindowHead<kSixteens, T>;
  const WindowParams& p = b.forward;
  const Head head(p);
  T* left = dynamic_shared<T>();               // k, then q
  T* right = left + head.rows * Head::kPitch;  // v, then dmixed
  float* log_sum = reinterpret_cast<float*>(right + head.rows * Head::kPitch);
  float* delta = log_sum + head.rows;
  float* table = delta + head.rows;
  const int table_size = head.of.has_table ? 2 * head.of.window - 1 : 0;
  float* sums = table + table_size;  // [warps][table_size]
  float* own_sums = sums + Head::warp() * table_size;
  float* own_tile = sums + kWindowWarps * table_size + Head::warp() * kSkewed;

  const T* qkv = static_cast<const T*>(p.qkv);
  const T* q_rows = head.of_qkv(qkv, 0);
  const T* k_rows = head.of_qkv(qkv, 1);
  const T* v_rows = head.of_qkv(qkv, 2);
  const T* dmixed_rows = head.of_mixed(static_cast<const T*>(b.dmixed));
  T* dqkv = static_cast<T*>(b.dqkv);
  const auto stride = head.qkv_stride(), mixed_stride = head.mixed_stride();
  head.copy_rows(left, k_rows, stride);
  head.copy_rows(right, v_rows, stride);
  copy_async_commit();
  head.copy_table(table, p.table);
  for (int row = static_cast<int>(threadIdx.x); row < head.rows; row += kWindowThreads) {
    log_sum[row] = row < head.S ? p.log_sum[head.first_row(p.NH) + row] : INFINITY;  // of which the weights are 0
    if (row >= head.S) delta[row] = 0.0F;
  }
  for (int n = Head::lane(); n < table_size; n += kWarp) own_sums[n] = 0.0F;
  copy_async_wait<0>();
  __syncthreads();

  const float scale = Head::scale(), scale_2 = kLog2E * scale;
  const auto bias = [&](int i, int j) { return head.of.has_table ? table[i - j + head.of.window - 1] : 0.0F; };
  for (int first = 16 * Head::warp(); first < head.S; first += 16 * kWindowWarps) {
    typename Head::Own q, dmixed;
    float own_delta[2];
    head.load_own(dmixed, dmixed_rows, mixed_stride, first);
    {
      typename Head::Own mixed;
      head.load_own(mixed, head.of_mixed(static_cast<const T*>(p.mixed)), mixed_stride, first);
      const float2 products = row_products<T>(dmixed, mixed);
      own_delta[0] = products.x;
      own_delta[1] = products.y;
    }
    float own_log_sum[2];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const int i = Head::own_row(first, row);
      own_log_sum[row] = log_sum[i];
      if (Head::lane() % 4 == 0 && i < head.S) delta[i] = own_delta[row];
    }
    head.load_own(q, q_rows, stride, first);
    typename Head::Sum dq = {};
    const int end = head.end(first);
    for (int passing = head.begin(first); passing < end; passing += 16) {
      typename Head::Tile weights = {}, dscores = {};
      Head::add_products(weights, q, left + passing * Head::kPitch);
      Head::add_products(dscores, dmixed, right + passing * Head::kPitch);
      head.visit(weights, first, passing, [&](float& x, int row, int i, int j, bool together) {
        x = together ? fast_exp2(scale_2 * x + bias(i, j) - own_log_sum[row]) : 0.0F;
      });
#pragma unroll
      for (int n = 0; n < 8; ++n)
        dscores[n / 4][n % 4] = weights[n / 4][n % 4] * (dscores[n / 4][n % 4] - own_delta[n / 2 % 2]);
      Head::add_weighted(dq, dscores, left + passing * Head::kPitch);
      if (head.of.has_table) add_diagonals(head, dscores, first, passing, own_tile, own_sums);
    }
    head.store(head.of_qkv(dqkv, 0), stride, first, dq, scale, scale);
  }

  __syncthreads();
  head.copy_rows(left, q_rows, stride);
  head.copy_rows(right, dmixed_rows, mixed_stride);
  copy_async_commit();
  for (int n = static_cast<int>(threadIdx.x); n < table_size; n += kWindowThreads) {
    float sum = 0.0F;
    for (int warp = 0; warp < kWindowWarps; ++warp) sum += sums[warp * table_size + n];
    b.table_parts[head.clip * p.table_size + head.of.table_at + n] = sum;
  }
  copy_async_wait<0>();
  __syncthreads();

  for (int first = 16 * Head::warp(); first < head.S; first += 16 * kWindowWarps) {
    typename Head::Own k, v;
    head.load_own(k, k_rows, stride, first);
    head.load_own(v, v_rows, stride, first);
    typename Head::Sum dk = {}, dv = {};
    const int end = head.end(first);
    for (int passing = head.begin(first); passing < end; passing += 16) {
      typename Head::Tile weights = {}, dscores = {};
      Head::add_products(weights, k, left + passing * Head::kPitch);
      Head::add_products(dscores, v, right + passing * Head::kPitch);
      head.visit(weights, first, passing, [&](float& x, int, int j, int i, bool together) {
        x = together ? fast_exp2(scale_2 * x + bias(i, j) - log_sum[i]) : 0.0F;
      });
      Head::add_weighted(dv, weights, right + passing * Head::kPitch);
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        const int i = passing + Head::column(n / 4) + n % 2;
        dscores[n / 4][n % 4] = weights[n / 4][n % 4] * (dscores[n / 4][n % 4] - delta[i]);
      }
      Head::add_weighted(dk, dscores, left + passing * Head::kPitch);
    }
    head.store(head.of_qkv(dqkv, 1), stride, first, dk, scale, scale);
    head.store(head.of_qkv(dqkv, 2), stride, first, dv, 1.0F, 1.0F);
  }
}

}  // namespace axlstm::kernels
