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
// matrix loads meet no bank twice. Head dims above W are scored in slices, and each W channels of the result get a
// block.
#pragma once

#include "mlstm_gates.cuh"
#include "warp.cuh"

namespace axlstm::kernels {

constexpr int kStripTokens = 64;
constexpr int kStripThreads = 128;

enum class Result { kH, kDq, kDk, kDv };

/// What a strip's tokens and the passing tokens bring along besides their channels.
struct TokenTerms {
  float high, low;     // g of a j, G of an i; out of range such that exp(g − G) is 0
  float inverse;       // of an i: 1 / N
  float signed_delta;  // of an i: s δ
};

/// Where a result's parts come from and go to.
struct SumOperands {
  MlstmShape shape;
  Tensor4 strip, score, sum, out;
  GateState state;
  RowTerms rows{};           // dq, dk, dv
  float* n = nullptr;        // h: written
  Tensor4 own{};             // dq, dk: the q or k that the gradient belongs to
  float* own_sum = nullptr;  // dq, dk: Σ ∂L/∂log D_ij over the passing tokens; written
};

template <int W>
constexpr int kStripPitch = W + 8;

/// Bytes of shared memory of a block.
template <int W>
constexpr int kStripBytes = 3 * kStripTokens* kStripPitch<W> * 2 +
                            2 * kStripTokens* static_cast<int>(sizeof(TokenTerms));

/// Starts copying 64 tokens, W channels from `from`, of one head; zeros outside.
template <int W, typename T>
__device__ void start_tile(T* tile, const Tensor4& x, std::int64_t pair, std::int64_t first, int from,
                           const MlstmShape& shape) {
  constexpr int kChunks = W / 8;
  const T* head = static_cast<const T*>(x.data) + pair / shape.NH * x.batch_stride + pair % shape.NH * x.head_stride;
#pragma unroll 1  // unrolled, the compiler keeps every address in registers
  for (int at = static_cast<int>(threadIdx.x); at < kStripTokens * kChunks; at += kStripThreads) {
    const int row = at / kChunks, channel = at % kChunks * 8;
    const bool inside = first + row < shape.S && from + channel < shape.DH;
    copy_async_16(tile + row * kStripPitch<W> + channel,
                  inside ? head + (first + row) * x.sequence_stride + from + channel : head, inside);
  }
}

/// The terms of one token, an i or a j.
template <bool IsI, bool Backward>
__device__ TokenTerms token_terms(const SumOperands& x, std::int64_t base, std::int64_t token) {
  TokenTerms terms{IsI ? INFINITY : -INFINITY, 0.0F, 0.0F, 0.0F};
  if (token >= x.shape.S) return terms;
  terms.high = IsI ? x.state.G_high[base + token] : x.state.g_high[base + token];
  terms.low = IsI ? x.state.G_low[base + token] : x.state.g_low[base + token];
  if (IsI && Backward) {
    terms.inverse = x.rows.inverse[base + token];
    terms.signed_delta = x.rows.signed_delta[base + token];
  }
  return terms;
}

/// The weight of one score; `mine` are the terms of the strip's token, `other` those of the passing one.
template <Result kResult>
__device__ inline float weight_of(float score, const TokenTerms& mine, const TokenTerms& other, bool causal,
                                  float scale) {
  constexpr bool kStripIsI = kResult == Result::kH || kResult == Result::kDq;
  const TokenTerms& i = kStripIsI ? mine : other;
  const TokenTerms& j = kStripIsI ? other : mine;
  const float exponent = (j.high - i.high) + (j.low - i.low);
  const float factor = causal ? exp2f(exponent) : 0.0F;
  if constexpr (kResult == Result::kH) return score * scale * factor;
  if constexpr (kResult == Result::kDv) return score * scale * factor * i.inverse;
  return (score - i.signed_delta) * i.inverse * factor;
}

/// Sums over the four lanes that share a row of an accumulator.
__device__ inline float sum_of_quad(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

/// One strip's W channels of one result.
template <Result kResult, int W, typename T>
__device__ void weighted_sum(const SumOperands& x, std::int64_t pair, int block, int part) {
  constexpr bool kStripIsI = kResult == Result::kH || kResult == Result::kDq;
  constexpr bool kBackward = kResult != Result::kH;
  constexpr int kPitch = kStripPitch<W>;
  T* strip = dynamic_shared<T>();
  T* score_tile = strip + kStripTokens * kPitch;
  T* sum_tile = score_tile + kStripTokens * kPitch;
  auto* passing = reinterpret_cast<TokenTerms*>(sum_tile + kStripTokens * kPitch);  // [2][64]

  const MlstmShape& shape = x.shape;
  const int tid = threadIdx.x, warp = tid / kWarp, lane = tid % kWarp, g = lane / 4, t = lane % 4;
  const std::int64_t base = pair * shape.S, first = static_cast<std::int64_t>(block) * kStripTokens;
  const int tiles = static_cast<int>((shape.S + kStripTokens - 1) / kStripTokens);
  const int begin = kStripIsI ? 0 : block, end = kStripIsI ? block + 1 : tiles;
  const int slices = static_cast<int>((shape.DH + W - 1) / W);
  const float scale = rsqrtf(static_cast<float>(shape.DH));

  const auto start_scores = [&](int tile, int slice, bool with_strip) {
    if (with_strip) start_tile<W>(strip, x.strip, pair, first, slice * W, shape);
    start_tile<W>(score_tile, x.score, pair, static_cast<std::int64_t>(tile) * kStripTokens, slice * W, shape);
    if (slice == 0 && tid < kStripTokens) {
      passing[tile % 2 * kStripTokens + tid] =
          token_terms<!kStripIsI, kBackward>(x, base, static_cast<std::int64_t>(tile) * kStripTokens + tid);
    }
  };
  const auto start_sum = [&](int tile) {
    start_tile<W>(sum_tile, x.sum, pair, static_cast<std::int64_t>(tile) * kStripTokens, part * W, shape);
  };

  const int own_row = warp * 16 + g;  // and own_row + 8
  const TokenTerms mine[2] = {token_terms<kStripIsI, kBackward>(x, base, first + own_row),
                              token_terms<kStripIsI, kBackward>(x, base, first + own_row + 8)};
  // Where a lane's row of each kind of fragment begins.
  const T* left = strip + (warp * 16 + lane % 16) * kPitch + lane / 16 * 8;
  const T* right = score_tile + (lane % 8 + lane / 16 * 8) * kPitch + lane / 8 % 2 * 8;
  const T* summed = sum_tile + lane % 16 * kPitch + lane / 16 * 8;

  float sum[W / 8][4] = {};
  float n[2] = {};
  start_scores(begin, 0, true);
  copy_async_commit();
  start_sum(begin);
  copy_async_commit();
  for (int tile = begin; tile < end; ++tile) {
    // On the diagonal a warp needs the 16-token groups up to its own, or from its own on.
    const bool diagonal = tile == block;
    const int first_group = diagonal && !kStripIsI ? warp : 0, last_group = diagonal && kStripIsI ? warp : 3;

    float scores[4][2][4] = {};
    for (int slice = 0; slice < slices; ++slice) {
      if (slice == 0) {
        copy_async_wait<1>();  // the sum tile may still be on its way
      } else {
        __syncthreads();  // the slice before is used up
        start_scores(tile, slice, true);
        copy_async_commit();
        copy_async_wait<0>();
      }
      __syncthreads();  // the slice is there, for all
#pragma unroll
      for (int channel = 0; channel < W; channel += 16) {
        std::uint32_t a[4];
        load_matrices<false>(a, left + channel);
#pragma unroll
        for (int group = 0; group < 4; ++group) {
          if (group < first_group || group > last_group) continue;
          std::uint32_t b[4];
          load_matrices<false>(b, right + group * 16 * kPitch + channel);
          multiply_add<T>(scores[group][0], a, b[0], b[1]);
          multiply_add<T>(scores[group][1], a, b[2], b[3]);
        }
      }
    }
    __syncthreads();  // the score tile is used up: the next one comes while this one is weighted and summed
    if (tile + 1 < end) start_scores(tile + 1, 0, slices > 1);
    copy_async_commit();

    std::uint32_t weights[4][4];
    const TokenTerms* others = passing + tile % 2 * kStripTokens;
#pragma unroll
    for (int group = 0; group < 4; ++group) {
      if (group < first_group || group > last_group) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int column = group * 16 + half * 8 + 2 * t;
        float w[4];
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const int row = own_row + e / 2 * 8, other = column + e % 2;
          const bool causal = !diagonal || (kStripIsI ? other <= row : other >= row);
          w[e] = weight_of<kResult>(scores[group][half][e], mine[e / 2], others[other], causal, scale);
          if constexpr (kResult == Result::kH) n[e / 2] += w[e];
        }
        weights[group][2 * half] = pack<T>(w[0], w[1]);
        weights[group][2 * half + 1] = pack<T>(w[2], w[3]);
      }
    }

    copy_async_wait<1>();
    __syncthreads();  // the sum tile is there, for all
#pragma unroll
    for (int group = 0; group < 4; ++group) {
      if (group < first_group || group > last_group) continue;
#pragma unroll
      for (int channel = 0; channel < W; channel += 16) {
        std::uint32_t b[4];
        load_matrices<true>(b, summed + group * 16 * kPitch + channel);
        multiply_add<T>(sum[channel / 8], weights[group], b[0], b[1]);
        multiply_add<T>(sum[channel / 8 + 1], weights[group], b[2], b[3]);
      }
    }
    __syncthreads();  // the sum tile is used up
    if (tile + 1 < end) start_sum(tile + 1);
    copy_async_commit();
  }

  float factor[2] = {kResult == Result::kDv ? 1.0F : scale, kResult == Result::kDv ? 1.0F : scale};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::int64_t token = first + own_row + half * 8;
    if constexpr (kResult == Result::kH) {
      n[half] = sum_of_quad(n[half]);
      if (token < shape.S) {
        factor[half] = normaliser(n[half], x.state.bound[base + token], shape.eps).inverse;
        if (t == 0 && part == 0) x.n[base + token] = n[half];
      }
    }
    if constexpr (kResult == Result::kDq || kResult == Result::kDk) {  // Σ_j W_ij = q_i·dq_i, Σ_i W_ij = k_j·dk_j
      const T* own = static_cast<const T*>(x.own.data) + pair / shape.NH * x.own.batch_stride +
                     pair % shape.NH * x.own.head_stride + token * x.own.sequence_stride;
      float dot = 0.0F;
      if (token < shape.S) {
#pragma unroll
        for (int channel = 0; channel < W; channel += 8) {
          const int at = part * W + channel + 2 * t;
          if (at >= shape.DH) continue;
          const float2 both = unpack<T>(*reinterpret_cast<const std::uint32_t*>(own + at));
          dot += both.x * sum[channel / 8][2 * half] + both.y * sum[channel / 8][2 * half + 1];
        }
      }
      dot = sum_of_quad(dot);
      if (t == 0 && token < shape.S) x.own_sum[part * shape.B * shape.NH * shape.S + base + token] = scale * dot;
    }
  }

  // Out through the warp's own rows of the strip, to write whole lines.
#pragma unroll
  for (int channel = 0; channel < W; channel += 8) {
    const float(&s)[4] = sum[channel / 8];
    auto* row = reinterpret_cast<std::uint32_t*>(strip + own_row * kPitch + channel + 2 * t);
    row[0] = pack<T>(factor[0] * s[0], factor[0] * s[1]);
    row[8 * kPitch / 2] = pack<T>(factor[1] * s[2], factor[1] * s[3]);
  }
  __syncwarp();
  T* head = static_cast<T*>(x.out.data) + pair / shape.NH * x.out.batch_stride + pair % shape.NH * x.out.head_stride;
  for (int at = lane; at < 16 * (W / 8); at += kWarp) {
    const int row = warp * 16 + at / (W / 8), channel = at % (W / 8) * 8;
    if (first + row >= shape.S || part * W + channel >= shape.DH) continue;
    *reinterpret_cast<uint4*>(head + (first + row) * x.out.sequence_stride + part * W + channel) =
        *reinterpret_cast<const uint4*>(strip + row * kPitch + channel);
  }
}

/// h. A one-dimensional grid: the blocks of one head follow each other, those with most tiles first.
template <int W, typename T>
__global__ void __launch_bounds__(kStripThreads, W > 144 ? 2 : 3) mma_forward_kernel(ForwardParams params) {
  const MlstmShape& shape = params.shape;
  const int blocks = static_cast<int>((shape.S + kStripTokens - 1) / kStripTokens);
  const int parts = static_cast<int>((shape.DH + W - 1) / W);
  const int place = static_cast<int>(blockIdx.x % (blocks * parts));
  const std::int64_t pair = blockIdx.x / (blocks * parts);
  SumOperands x{shape, params.q, params.k, params.v, params.h, params.state};
  x.n = params.n;
  weighted_sum<Result::kH, W, T>(x, pair, blocks - 1 - place / parts, place % parts);
}

/// dq, dk, dv and the sums for the gates. The blocks of one head follow each other, so that its tensors stay in the L2
/// cache.
template <int W, typename T>
__global__ void __launch_bounds__(kStripThreads, W > 144 ? 2 : 3) mma_backward_kernel(BackwardParams params) {
  const MlstmShape& shape = params.shape;
  const int blocks = static_cast<int>((shape.S + kStripTokens - 1) / kStripTokens);
  const int parts = static_cast<int>((shape.DH + W - 1) / W);
  const int place = static_cast<int>(blockIdx.x % (3 * blocks * parts));
  const std::int64_t pair = blockIdx.x / (3 * blocks * parts);
  const int result = place % 3, part = place / 3 % parts, rank = place / 3 / parts;
  if (result == 0) {
    SumOperands x{shape, params.dh, params.v, params.k, params.dq, params.state, params.rows};
    x.own = params.q;
    x.own_sum = params.row_sum;
    weighted_sum<Result::kDq, W, T>(x, pair, blocks - 1 - rank, part);
  } else if (result == 1) {
    SumOperands x{shape, params.v, params.dh, params.q, params.dk, params.state, params.rows};
    x.own = params.k;
    x.own_sum = params.column_sum;
    weighted_sum<Result::kDk, W, T>(x, pair, rank, part);
  } else {
    const SumOperands x{shape, params.k, params.q, params.dh, params.dv, params.state, params.rows};
    weighted_sum<Result::kDv, W, T>(x, pair, rank, part);
  }
}

}  // namespace axlstm::kernels
