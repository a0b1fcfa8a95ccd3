// The cell on Hopper's tensor cores, for float16 and bfloat16: the sums of mlstm_chunk_kernels.cuh, but each score is
// computed once, since wgmma reads the weights from shared memory by rows and by columns. Thread blocks stay and
// go on to other heads, so that the next head's slices arrive while this one's results are written.
#pragma once

#include "mlstm_hopper_weights.cuh"

namespace axlstm::kernels {

struct HopperForward {
  ForwardParams cell;
  TensorMap q, k, v;
};
struct HopperBackward {
  BackwardParams cell;
  TensorMap q, k, v, dh;
};

template <typename T, bool kWeighted, int kWidth>
using HopperChunkFor = std::conditional_t<kWeighted, WeightedChunk<T, kWidth>, HopperChunk<T, kWidth>>;

/// In place of a stream of weights where there are none.
struct NoWeights {
  template <typename Chunk>
  __device__ NoWeights(const Chunk&, const std::uint32_t*) {}
};
template <typename T, bool kWeighted, int kWidth>
using WeightsFor = std::conditional_t<kWeighted, typename WeightedChunk<T, kWidth>::Stream, NoWeights>;

/// kWeighted: with CellWeights, so that k's slices serve as q's too.
template <typename T, bool kWeighted, int kWidth>
__global__ void __launch_bounds__(HopperLayout::kThreads, 1)
    hopper_forward_kernel(const __grid_constant__ HopperForward params) {
  using Chunk = HopperChunkFor<T, kWeighted, kWidth>;
  const ForwardParams& cell = params.cell;
  Chunk chunk(cell.shape);
  if (!chunk.consumes()) {
    give_registers<24>();
    if (threadIdx.x != Chunk::kConsumers) return;
    for (unsigned number = blockIdx.x; number < chunk.count(); number += gridDim.x) {
      chunk.begin(number);
      chunk.send(params.q, kWeighted ? nullptr : &params.k);
      chunk.send(params.v);
    }
    return;
  }
  take_registers<240>();
  const typename Chunk::Rows ones = {{1.0F, 1.0F}, {1.0F, 1.0F}};
  for (unsigned number = blockIdx.x; number < chunk.count(); number += gridDim.x) {
    chunk.begin(number);
    const TokenGates gates = chunk.gates(cell.state, nullptr);
    const TokenRow row = chunk.row(cell.state, nullptr, cell.n_before);
    typename Chunk::Rows factor = {};  // first n, then 1 / N
    {
      typename Chunk::Scores scores;
      if constexpr (kWeighted) {
        chunk.make_scores(scores, {chunk, cell.weights.q});
      } else {
        chunk.make_scores(scores);
      }
      chunk.fill(gates, row);
      const int place = Chunk::lane_place();
      chunk.visit(chunk.scale(), [&](int slot, int eighth, int half, int, const float(&gate)[2]) {
        const float x = scores[slot][eighth][2 * half] * gate[0], y = scores[slot][eighth][2 * half + 1] * gate[1];
        chunk.weight(place, slot, eighth, half) = pack<T>(x, y);
        chunk.add_to_row(factor, slot, half, x + y);
      });
    }
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = chunk.template own_token<false>(strip, half);
        const float n = sum_of_quad(factor[strip][half]) + Chunk::terms().before[token];
        factor[strip][half] = normaliser(n, Chunk::terms().bound[token], cell.shape.eps).inverse;
        if (Chunk::lane() % 4 == 0 && chunk.inside(token)) cell.n[chunk.at(token)] = n;
      }
    }
    Chunk::weights_done();
    WeightsFor<T, kWeighted, kWidth> weights(chunk, cell.weights.v);
    for (int slice = 0; slice < chunk.slices(); ++slice) {
      typename Chunk::Sums h;
      const T* v = chunk.receive();
      Chunk::begin_sums(h);
      chunk.template add_products<false>(h, v);
      wgmma_commit();
      wgmma_wait<0>();
      hold(h);
      chunk.release(1);
      if constexpr (kWeighted) {
        typename Chunk::Weights of_slice;
        weights.next(of_slice);
        Chunk::project(h, factor, of_slice);
        chunk.template store<false>(cell.h, slice, h, ones);
      } else {
        chunk.template store<false>(cell.h, slice, h, factor);
      }
    }
  }
}

/// s δ of this thread's rows, from P = C / N in shared memory and dA = dh vᵀ; stores δ for the next kernels.
template <typename T, int kWidth>
__device__ void row_delta(typename HopperChunk<T, kWidth>::Rows& signed_delta, const HopperChunk<T, kWidth>& chunk,
                          const BackwardParams& params, const typename HopperChunk<T, kWidth>::Rows& P_sum,
                          const typename HopperChunk<T, kWidth>::Scores& dA) {
  using Chunk = HopperChunk<T, kWidth>;
  const int place = Chunk::lane_place();
  typename Chunk::Rows delta = {}, rounded_sum = {};
#pragma unroll
  for (int slot = 0; slot < Chunk::kSlots; ++slot) {
#pragma unroll
    for (int eighth = 0; eighth < 8; ++eighth) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float2 p = unpack<T>(chunk.weight(place, slot, eighth, half));
        chunk.add_to_row(delta, slot, half, p.x * dA[slot][eighth][2 * half] + p.y * dA[slot][eighth][2 * half + 1]);
        chunk.add_to_row(rounded_sum, slot, half, p.x + p.y);
      }
    }
  }
#pragma unroll
  for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int token = chunk.template own_token<false>(strip, half);
      const float sum = without_rounding(sum_of_quad(delta[strip][half]), sum_of_quad(P_sum[strip][half]),
                                         sum_of_quad(rounded_sum[strip][half])) +
                        Chunk::terms().before[token];
      const Normaliser norm{Chunk::terms().inverse[token], Chunk::terms().sign[token]};
      signed_delta[strip][half] = norm.sign * sum;
      if (Chunk::lane() % 4 == 0 && chunk.inside(token)) store_row_terms(params.rows, chunk.at(token), sum, norm);
    }
  }
}

template <typename T, bool kWeighted, int kWidth>
__global__ void __launch_bounds__(HopperLayout::kThreads, 1)
    hopper_backward_kernel(const __grid_constant__ HopperBackward params) {
  using Chunk = HopperChunkFor<T, kWeighted, kWidth>;
  const BackwardParams& cell = params.cell;
  Chunk chunk(cell.shape);
  if (!chunk.consumes()) {
    give_registers<24>();
    if (threadIdx.x != Chunk::kConsumers) return;
    for (unsigned number = blockIdx.x; number < chunk.count(); number += gridDim.x) {
      chunk.begin(number);
      chunk.send(params.q, kWeighted ? nullptr : &params.k);
      chunk.send(params.dh);
      chunk.send(params.dh, &params.v);
      chunk.send(params.k, kWeighted ? nullptr : &params.q);
    }
    return;
  }
  take_registers<240>();
  const float scale = chunk.scale();
  const typename Chunk::Rows ones = {{1.0F, 1.0F}, {1.0F, 1.0F}}, scales = {{scale, scale}, {scale, scale}};
  for (unsigned number = blockIdx.x; number < chunk.count(); number += gridDim.x) {
    chunk.begin(number);
    const TokenGates gates = chunk.gates(cell.state, cell.n);
    const TokenRow row = chunk.row(cell.state, cell.n, cell.delta_before);
    typename Chunk::Rows P_sum = {};
    {
      typename Chunk::Scores scores;
      if constexpr (kWeighted) {
        chunk.make_scores(scores, {chunk, cell.weights.q});
      } else {
        chunk.make_scores(scores);
      }
      chunk.fill(gates, row);
      const int place = Chunk::lane_place();
      chunk.visit(scale, [&](int slot, int eighth, int half, int, const float(&gate)[2]) {
        const float x = scores[slot][eighth][2 * half] * gate[0], y = scores[slot][eighth][2 * half + 1] * gate[1];
        chunk.weight(place, slot, eighth, half) = pack<T>(x, y);
        chunk.add_to_row(P_sum, slot, half, x + y);
      });
    }
    Chunk::weights_done();
    for (int slice = 0; slice < chunk.slices(); ++slice) {
      typename Chunk::Sums dv;
      const T* dh = chunk.receive();
      Chunk::begin_sums(dv);
      chunk.template add_products<true>(dv, dh);
      wgmma_commit();
      wgmma_wait<0>();
      hold(dv);
      chunk.release(1);
      chunk.template store<true>(cell.dv, slice, dv, ones);
    }

    {
      typename Chunk::Scores dA;
      if constexpr (kWeighted) {
        chunk.make_scores_back(dA, {chunk, cell.weights.v});
      } else {
        chunk.make_scores(dA);
      }
      typename Chunk::Rows own;  // s δ
      row_delta<T, kWidth>(own, chunk, cell, P_sum, dA);
      const int place = Chunk::lane_place();
      Chunk::sync();  // P has been multiplied by both warpgroups; dS takes its place
      chunk.visit(1.0F, [&](int slot, int eighth, int half, int strip, const float(&gate)[2]) {
        const float mine = strip != 0 ? own[1][half] : own[0][half];
        chunk.weight(place, slot, eighth, half) =
            pack<T>((dA[slot][eighth][2 * half] - mine) * gate[0], (dA[slot][eighth][2 * half + 1] - mine) * gate[1]);
      });
    }
    Chunk::weights_done();
    // Σ_j W_ij = q_i·dq_i and Σ_i W_ij = k_j·dk_j, whose roundings belong together: df adds up their differences.
    typename Chunk::Rows row_sum = {}, column_sum = {};
    WeightsFor<T, kWeighted, kWidth> weights(chunk, cell.weights.q);
    for (int slice = 0; slice < chunk.slices(); ++slice) {
      typename Chunk::Sums dq, dk;
      const T* k = chunk.receive();
      const T* q = kWeighted ? k : chunk.receive();
      Chunk::begin_sums(dq, dk);
      chunk.template add_products<false>(dq, k);
      chunk.template add_products<true>(dk, q);
      wgmma_commit();
      wgmma_wait<0>();
      hold(dq);
      hold(dk);
      if constexpr (kWeighted) {
        const typename Chunk::Join join(chunk, weights, scale, cell.dq_weight_parts, slice);
        chunk.join(dq, dk, k, join, row_sum, column_sum, chunk.channels(slice));
        chunk.release(1);
        chunk.template store<false>(cell.dq, slice, dq, ones);
      } else {
        chunk.template add_dots<false>(row_sum, dq, q);
        chunk.template add_dots<true>(column_sum, dk, k);
        chunk.release(2);
        chunk.template store<false>(cell.dq, slice, dq, scales);
        chunk.template store<true>(cell.dk, slice, dk, scales);
      }
    }
    chunk.template store_dots<false>(row_sum, scale, cell.row_sum);
    chunk.template store_dots<true>(column_sum, scale, cell.column_sum);
  }
}

/// The kernel for these parameters.
template <typename T>
auto hopper_forward_for(const ForwardParams& params) {
  if (params.weights.q == nullptr) return hopper_forward_kernel<T, false, kTileWidth>;
  return hopper_width(params.shape.DH) == 48 ? hopper_forward_kernel<T, true, 48>
                                             : hopper_forward_kernel<T, true, kTileWidth>;
}
template <typename T>
auto hopper_backward_for(const BackwardParams& params) {
  if (params.weights.q == nullptr) return hopper_backward_kernel<T, false, kTileWidth>;
  return hopper_width(params.shape.DH) == 48 ? hopper_backward_kernel<T, true, 48>
                                             : hopper_backward_kernel<T, true, kTileWidth>;
}

}  // namespace axlstm::kernels
