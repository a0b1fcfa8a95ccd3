// Attention within windows, forward: a thread block for each head of a clip, k and v in shared memory, softmax as
// scores come.
#pragma once

#include "window_head.cuh"

namespace axlstm::kernels {

template <int kSixteens, typename T>
__global__ void __launch_bounds__(kWindowThreads, 3) window_forward_kernel(WindowParams p) {
  using Head = WindowHead<kSixteens, T>;
  constexpr float kNothing = -1e30F;  // the score of what is not seen
  const Head head(p);
  T* k = dynamic_shared<T>();
  T* v = k + head.rows * Head::kPitch;
  float* table = reinterpret_cast<float*>(v + head.rows * Head::kPitch);
  const T* qkv = static_cast<const T*>(p.qkv);
  head.copy_rows(k, head.of_qkv(qkv, 1), head.qkv_stride());
  head.copy_rows(v, head.of_qkv(qkv, 2), head.qkv_stride());
  copy_async_commit();
  head.copy_table(table, p.table);
  copy_async_wait<0>();
  __syncthreads();
  const float scale = kLog2E * Head::scale();
  for (int first = 16 * Head::warp(); first < head.S; first += 16 * kWindowWarps) {
    typename Head::Own q;
    head.load_own(q, head.of_qkv(qkv, 0), head.qkv_stride(), first);
    typename Head::Sum sum = {};
    float most[2] = {kNothing, kNothing}, total[2] = {0.0F, 0.0F};
    const int end = head.end(first);
    for (int passing = head.begin(first); passing < end; passing += 16) {
      typename Head::Tile tile = {};
      Head::add_products(tile, q, k + passing * Head::kPitch);
      float largest[2] = {most[0], most[1]};
      head.visit(tile, first, passing, [&](float& x, int row, int i, int j, bool together) {
        x = together ? scale * x + (head.of.has_table ? table[i - j + head.of.window - 1] : 0.0F) : kNothing;
        largest[row] = fmaxf(largest[row], x);
      });
      // A row that has seen nothing yet counts ones, which its first token's factor takes to 0.
      float factor[2];
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        largest[row] = max_of_quad(largest[row]);
        factor[row] = fast_exp2(most[row] - largest[row]);
        most[row] = largest[row];
        total[row] *= factor[row];
      }
#pragma unroll
      for (auto& eighth : sum) {
#pragma unroll
        for (int e = 0; e < 4; ++e) eighth[e] *= factor[e / 2];
      }
      head.visit(tile, first, passing, [&](float& x, int row, int, int, bool) {
        x = fast_exp2(x - most[row]);
        total[row] += x;
      });
      Head::add_weighted(sum, tile, v + passing * Head::kPitch);
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      total[row] = sum_of_quad(total[row]);
      const int i = Head::own_row(first, row);
      if (Head::lane() % 4 == 0 && i < head.S) p.log_sum[head.first_row(p.NH) + i] = most[row] + fast_log2(total[row]);
    }
    head.store(head.of_mixed(static_cast<T*>(p.mixed)), head.mixed_stride(), first, sum, 1.0F / total[0],
               1.0F / total[1]);
  }
}

}  // namespace axlstm::kernels
