// The cell on tensor cores, for float16 and bfloat16 with float32 accumulation. No S×S tensor is stored.
//
// All four results are one weighted sum over a strip of 64 tokens and the tiles of 64 tokens that pass by it:
//
//   result │ strip           │ score     │ weight                                             │ sum over
//   h      │ i, passing j ≤ i │ q_i·k_j   │ C_ij  = q_i·k_j exp(g_j − G_i) / √DH               │ v_j, at last / N_i
//   dq     │ i, passing j ≤ i │ dh_i·v_j  │ dS_ij = (dh_i·v_j − s_i δ_i) exp(g_j − G_i) / N_i  │ k_j, at last / √DH
//   dv     │ j, passing i ≥ j │ k_j·q_i   │ C_ij / N_i                                         │ dh_i
//   dk     │ j, passing i ≥ j │ v_j·dh_i  │ dS_ij                                              │ q_i, at last / √DH
//
// A block of four warps has one strip, 16 tokens a warp, and W channels of the result. Scores stay in registers: an
// accumulator of mma has the layout of its left operand, so weights go straight into the second product.
// Shared memory: strip, score tile and sum tile, 64 × (W + 8) elements each; a row is an odd number of 16 bytes, so
// matrix loads meet no bank twice. A head wider than W is scored in slices. Its result has several parts of W channels:
// if the sequence is short, one block computes the weights once, holds them in shared memory and goes over the parts
// (held); else each part gets a block, which computes all weights again (streamed).
#pragma once

#include "mlstm_strip.cuh"

namespace axlstm::kernels {

enum class Result { kH, kDq, kDk, kDv };

/// One strip of one result, on its way through the passing tiles.
template <Result kResult, int W, typename T>
class StripSum {
 public:
  using Scores = float[4][2][4];        // of 16 tokens with 4 groups of 16
  using Weights = std::uint32_t[4][4];  // the same as left operands
  using Sum = float[W / 8][4];

  __device__ StripSum(const SumOperands& operands, std::int64_t pair_index, int block_index)
      : x_(operands),
        pair_(pair_index),
        base_(pair_index * operands.shape.S),
        first_(static_cast<std::int64_t>(block_index) * kStripTokens),
        block_(block_index),
        own_row_(static_cast<int>(threadIdx.x) / kWarp * 16 + static_cast<int>(threadIdx.x) % kWarp / 4),
        scale_(rsqrtf(static_cast<float>(operands.shape.DH))) {
    for (int half = 0; half < 2; ++half)
      mine_[half] = token_terms<kStripIsI, kBackward>(x_, base_, first_ + own_row_ + 8 * half);
    if constexpr (!kStripIsI) {
      const TokenTerms split = split_point(x_, base_, first_);
      for (int half = 0; half < 2; ++half) own_factor_[half] = exponential(mine_[half], split);
    }
  }

  /// W channels of the result; computes all weights for them.
  __device__ void run_streamed(int part) {
    Sum sum = {};
    start_scores(begin(), 0, true);
    copy_async_commit();
    start_sum(tile_at(2), begin(), part);
    copy_async_commit();
    for (int tile = begin(); tile < end(); ++tile) {
      Scores scores = {};
      for (int slice = 0; slice < slices(); ++slice) {
        if (slice == 0) {
          copy_async_wait<1>();  // the sum tile may still be on its way
        } else {
          __syncthreads();  // the slice before is used up
          start_scores(tile, slice, true);
          copy_async_commit();
          copy_async_wait<0>();
        }
        __syncthreads();  // the slice is there, for all
        add_scores(scores, tile);
      }
      __syncthreads();  // the score tile is used up: the next one comes while this one is weighted and summed
      if (tile + 1 < end()) start_scores(tile + 1, 0, slices() > 1);
      copy_async_commit();
      Weights weights;
      weigh(weights, scores, tile);
      copy_async_wait<1>();
      __syncthreads();  // the sum tile is there, for all
      add_sum(sum, weights, tile, tile_at(2));
      __syncthreads();  // the sum tile is used up
      if (tile + 1 < end()) start_sum(tile_at(2), tile + 1, part);
      copy_async_commit();
    }
    finish_rows();
    finish_part(sum, part);
    store_own_sum(part);
  }

  /// The whole result.
  __device__ void run_held() {
    auto* held = reinterpret_cast<std::uint32_t*>(passing() + 2 * kStripTokens) + threadIdx.x;  // [tiles][16][threads]
    const int tiles = end() - begin();
    for (int tile = begin(); tile < end(); ++tile) {
      Scores scores = {};
      for (int slice = 0; slice < slices(); ++slice) {
        __syncthreads();  // the slice before is used up
        start_scores(tile, slice, true);
        copy_async_commit();
        copy_async_wait<0>();
        __syncthreads();  // the slice is there, for all
        add_scores(scores, tile);
      }
      Weights weights = {};
      weigh(weights, scores, tile);
#pragma unroll
      for (int n = 0; n < 16; ++n) held[((tile - begin()) * 16 + n) * kStripThreads] = weights[n / 4][n % 4];
    }
    finish_rows();
    __syncthreads();  // the last slice is used up
    // Score tile and sum tile take turns: one is filled while the other is used.
    const int steps = slices() * tiles;
    start_sum(tile_at(1), begin(), 0);
    copy_async_commit();
    for (int part = 0; part < slices(); ++part) {
      Sum sum = {};
      for (int n = 0; n < tiles; ++n) {
        const int step = part * tiles + n;
        if (step + 1 < steps) {
          start_sum(tile_at(1 + (step + 1) % 2), begin() + (step + 1) % tiles, (step + 1) / tiles);
        }
        copy_async_commit();
        Weights weights;
#pragma unroll
        for (int w = 0; w < 16; ++w) weights[w / 4][w % 4] = held[(n * 16 + w) * kStripThreads];
        copy_async_wait<1>();
        __syncthreads();  // the tile is there, for all
        add_sum(sum, weights, begin() + n, tile_at(1 + step % 2));
        __syncthreads();  // it is used up
      }
      finish_part(sum, part);
    }
    store_own_sum(0);
  }

 private:
  static constexpr bool kStripIsI = kResult == Result::kH || kResult == Result::kDq;
  static constexpr bool kBackward = kResult != Result::kH;
  static constexpr bool kHasOwn = kResult == Result::kDq || kResult == Result::kDk;
  static constexpr int kPitch = kStripPitch<W>;

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
  __device__ int begin() const { return kStripIsI ? 0 : block_; }
  __device__ int end() const {
    return kStripIsI ? block_ + 1 : static_cast<int>((x_.shape.S + kStripTokens - 1) / kStripTokens);
  }
  __device__ int slices() const { return static_cast<int>((x_.shape.DH + W - 1) / W); }
  /// The strip, the score tile, the sum tile.
  __device__ T* tile_at(int n) const { return dynamic_shared<T>() + n * kStripTokens * kPitch; }
  __device__ TokenTerms* passing() const { return reinterpret_cast<TokenTerms*>(tile_at(3)); }  // [2][64]
  // On the diagonal a warp needs the 16-token groups up to its own, or from its own on.
  __device__ bool needs(int group, int tile) const {
    return tile != block_ || (kStripIsI ? group <= warp() : group >= warp());
  }

  __device__ void start_scores(int tile, int slice, bool with_strip) {
    const std::int64_t tile_first = static_cast<std::int64_t>(tile) * kStripTokens;
    if (with_strip) start_tile<W>(tile_at(0), x_.strip, pair_, first_, slice * W, x_.shape);
    start_tile<W>(tile_at(1), x_.score, pair_, tile_first, slice * W, x_.shape);
    const int tid = static_cast<int>(threadIdx.x);
    if (slice > 0 || tid >= kStripTokens) return;
    TokenTerms terms = token_terms<!kStripIsI, kBackward>(x_, base_, tile_first + tid);
    if (tile != block_) {
      terms.high = kStripIsI ? exponential(terms, split_point(x_, base_, tile_first))
                             : exponential(split_point(x_, base_, first_), terms);
    }
    passing()[tile % 2 * kStripTokens + tid] = terms;
  }

  __device__ void start_sum(T* to, int tile, int part) const {
    start_tile<W>(to, x_.sum, pair_, static_cast<std::int64_t>(tile) * kStripTokens, part * W, x_.shape);
  }

  /// scores += strip · score tileᵀ over the W channels at hand.
  __device__ void add_scores(Scores& scores, int tile) const {
    const T* left = tile_at(0) + (warp() * 16 + lane() % 16) * kPitch + lane() / 16 * 8;
    const T* right = tile_at(1) + (lane() % 8 + lane() / 16 * 8) * kPitch + lane() / 8 % 2 * 8;
#pragma unroll
    for (int channel = 0; channel < W; channel += 16) {
      std::uint32_t a[4];
      load_matrices<false>(a, left + channel);
#pragma unroll
      for (int group = 0; group < 4; ++group) {
        if (!needs(group, tile)) continue;
        std::uint32_t b[4];
        load_matrices<false>(b, right + group * 16 * kPitch + channel);
        multiply_add<T>(scores[group][0], a, b[0], b[1]);
        multiply_add<T>(scores[group][1], a, b[2], b[3]);
      }
    }
  }

  /// Scores → weights, as the next product's left operand; h's weights are also summed up.
  __device__ void weigh(Weights& weights, const Scores& scores, int tile) {
    if (tile == block_) return weigh_tile<true>(weights, scores, tile);
    if constexpr (kStripIsI) {
      const TokenTerms split = split_point(x_, base_, static_cast<std::int64_t>(tile) * kStripTokens);
      for (int half = 0; half < 2; ++half) own_factor_[half] = exponential(split, mine_[half]);
    }
    weigh_tile<false>(weights, scores, tile);
  }

  template <bool Diagonal>
  __device__ void weigh_tile(Weights& weights, const Scores& scores, int tile) {
    const TokenTerms* others = passing() + tile % 2 * kStripTokens;
#pragma unroll
    for (int group = 0; group < 4; ++group) {
      if (!needs(group, tile)) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int column = group * 16 + half * 8 + 2 * (lane() % 4);
        float w[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int row = own_row_ + e / 2 * 8;
          const TokenTerms& own = mine_[e / 2];
          const TokenTerms& other = others[column + e % 2];
          float factor;
          if constexpr (Diagonal) {
            const bool causal = kStripIsI ? column + e % 2 <= row : column + e % 2 >= row;
            factor = causal ? exponential(kStripIsI ? other : own, kStripIsI ? own : other) : 0.0F;
          } else {
            factor = own_factor_[e / 2] * other.high;
          }
          const TokenTerms& i = kStripIsI ? own : other;
          const float score = scores[group][half][e];
          if constexpr (kResult == Result::kH) {
            w[e] = score * scale_ * factor;
            n_[e / 2] += w[e];
          } else if constexpr (kResult == Result::kDv) {
            w[e] = score * scale_ * factor * i.inverse;
          } else {
            w[e] = (score - i.signed_delta) * i.inverse * factor;
          }
        }
        weights[group][2 * half] = pack<T>(w[0], w[1]);
        weights[group][2 * half + 1] = pack<T>(w[2], w[3]);
      }
    }
  }

  /// sum += weights · sum tile.
  __device__ void add_sum(Sum& sum, const Weights& weights, int tile, const T* sum_tile) const {
    const T* summed = sum_tile + lane() % 16 * kPitch + lane() / 16 * 8;
#pragma unroll
    for (int group = 0; group < 4; ++group) {
      if (!needs(group, tile)) continue;
#pragma unroll
      for (int channel = 0; channel < W; channel += 16) {
        std::uint32_t b[4];
        load_matrices<true>(b, summed + group * 16 * kPitch + channel);
        multiply_add<T>(sum[channel / 8], weights[group], b[0], b[1]);
        multiply_add<T>(sum[channel / 8 + 1], weights[group], b[2], b[3]);
      }
    }
  }

  /// The rows' last factors, once all weights are known.
  __device__ void finish_rows() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      row_factor_[half] = kResult == Result::kDv ? 1.0F : scale_;
      if constexpr (kResult == Result::kH) {
        n_[half] = sum_of_quad(n_[half]);
        const std::int64_t token = first_ + own_row_ + half * 8;
        if (token >= x_.shape.S) continue;
        row_factor_[half] = normaliser(n_[half], x_.state.bound[base_ + token], x_.shape.eps).inverse;
        if (lane() % 4 == 0) x_.n[base_ + token] = n_[half];  // every part's block_ writes the same
      }
    }
  }

  /// Writes W channels of the result; for dq and dk also takes their product with q and k: Σ_j W_ij = q_i·dq_i and
  /// Σ_i W_ij = k_j·dk_j.
  __device__ void finish_part(const Sum& sum, int part) {
    const auto head_of = [&](const Tensor4& tensor) {
      return static_cast<T*>(tensor.data) + pair_ / x_.shape.NH * tensor.batch_stride +
             pair_ % x_.shape.NH * tensor.head_stride + first_ * tensor.sequence_stride + part * W;
    };
    const int channels = static_cast<int>(x_.shape.DH) - part * W, t = lane() % 4;
    if constexpr (kHasOwn) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const T* own = head_of(x_.own) + (own_row_ + half * 8) * x_.own.sequence_stride;
        if (first_ + own_row_ + half * 8 >= x_.shape.S) continue;
#pragma unroll
        for (int channel = 0; channel < W; channel += 8) {
          if (channel + 2 * t >= channels) continue;
          const float2 both = unpack<T>(*reinterpret_cast<const std::uint32_t*>(own + channel + 2 * t));
          own_dot_[half] += both.x * sum[channel / 8][2 * half] + both.y * sum[channel / 8][2 * half + 1];
        }
      }
    }
    // Out through the warp's own rows of the strip, which no other warp reads, to write whole lines.
    T* strip = tile_at(0);
#pragma unroll
    for (int channel = 0; channel < W; channel += 8) {
      const float(&s)[4] = sum[channel / 8];
      auto* row = reinterpret_cast<std::uint32_t*>(strip + own_row_ * kPitch + channel + 2 * t);
      row[0] = pack<T>(row_factor_[0] * s[0], row_factor_[0] * s[1]);
      row[8 * kPitch / 2] = pack<T>(row_factor_[1] * s[2], row_factor_[1] * s[3]);
    }
    __syncwarp();
    T* out = head_of(x_.out);
    for (int at = lane(); at < 16 * (W / 8); at += kWarp) {
      const int row = warp() * 16 + at / (W / 8), channel = at % (W / 8) * 8;
      if (first_ + row >= x_.shape.S || channel >= channels) continue;
      *reinterpret_cast<uint4*>(out + row * x_.out.sequence_stride + channel) =
          *reinterpret_cast<const uint4*>(strip + row * kPitch + channel);
    }
    __syncwarp();
  }

  __device__ void store_own_sum(int part) {
    if constexpr (kHasOwn) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float total = scale_ * sum_of_quad(own_dot_[half]);
        const std::int64_t token = first_ + own_row_ + half * 8;
        if (lane() % 4 != 0 || token >= x_.shape.S) continue;
        x_.own_sum[part * x_.shape.B * x_.shape.NH * x_.shape.S + base_ + token] = total;
      }
    }
  }

  const SumOperands& x_;
  std::int64_t pair_, base_, first_;
  int block_, own_row_;  // the lane's rows of an accumulator are own_row_ and own_row_ + 8
  float scale_;
  TokenTerms mine_[2];
  float own_factor_[2] = {}, n_[2] = {}, row_factor_[2] = {}, own_dot_[2] = {};
};

template <bool Held, Result kResult, int W, typename T>
__device__ void run_strip(const SumOperands& x, std::int64_t pair, int block, int part) {
  StripSum<kResult, W, T> strip(x, pair, block);
  if constexpr (Held) {
    strip.run_held();
  } else {
    strip.run_streamed(part);
  }
}

/// Blocks in a row for one strip: one, or one for each part.
template <bool Held, int W>
__device__ inline int parts_of(const MlstmShape& shape) {
  return Held ? 1 : static_cast<int>((shape.DH + W - 1) / W);
}

/// h. A one-dimensional grid: the blocks of one head follow each other, those with most tiles first.
template <bool Held, int W, typename T>
__global__ void __launch_bounds__(kStripThreads, W > 144 ? 2 : 3) mma_forward_kernel(ForwardParams params) {
  const MlstmShape& shape = params.shape;
  const int blocks = static_cast<int>((shape.S + kStripTokens - 1) / kStripTokens), parts = parts_of<Held, W>(shape);
  const int place = static_cast<int>(blockIdx.x % (blocks * parts));
  const std::int64_t pair = blockIdx.x / (blocks * parts);
  SumOperands x{shape, params.q, params.k, params.v, params.h, params.state};
  x.n = params.n;
  run_strip<Held, Result::kH, W, T>(x, pair, blocks - 1 - place / parts, place % parts);
}

/// dq, dk, dv and the sums for the gates. The blocks of one head follow each other, so that its tensors stay in the L2
/// cache.
template <bool Held, int W, typename T>
__global__ void __launch_bounds__(kStripThreads, W > 144 ? 2 : 3) mma_backward_kernel(BackwardParams params) {
  const MlstmShape& shape = params.shape;
  const int blocks = static_cast<int>((shape.S + kStripTokens - 1) / kStripTokens), parts = parts_of<Held, W>(shape);
  const int place = static_cast<int>(blockIdx.x % (3 * blocks * parts));
  const std::int64_t pair = blockIdx.x / (3 * blocks * parts);
  const int result = place % 3, part = place / 3 % parts, rank = place / 3 / parts;
  if (result == 0) {
    SumOperands x{shape, params.dh, params.v, params.k, params.dq, params.state, params.rows};
    x.own = params.q;
    x.own_sum = params.row_sum;
    run_strip<Held, Result::kDq, W, T>(x, pair, blocks - 1 - rank, part);
  } else if (result == 1) {
    SumOperands x{shape, params.v, params.dh, params.q, params.dk, params.state, params.rows};
    x.own = params.k;
    x.own_sum = params.column_sum;
    run_strip<Held, Result::kDk, W, T>(x, pair, rank, part);
  } else {
    const SumOperands x{shape, params.k, params.q, params.dh, params.dv, params.state, params.rows};
    run_strip<Held, Result::kDv, W, T>(x, pair, rank, part);
  }
}

}  // namespace axlstm::kernels
