// The selective scan's way back, chunk by chunk from the last: the states of a chunk are computed again from those that
// were kept before it, first to its subchunks, then token by token.
#pragma once

#include "scan_terms.cuh"

namespace axlstm::kernels {

/// A lane's part of the way back.
template <int States, typename T>
class ScanBack {
 public:
  using Tiles = BackwardTiles<States>;
  static constexpr int kChannels = Tiles::kChannels;
  using Own = Lane<kChannels, States>;

  __device__ ScanBack(const ScanBackwardParams& b, Tiles& tiles, std::int64_t clip, std::int64_t channel)
      : b_(b), p_(b.forward), tiles_(tiles), clip_(clip), channel_(channel), own_(first_channel<kChannels>()) {
    load_rates(A_, p_, channel + own_);
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
#pragma unroll
      for (int k = 0; k < States; ++k) dA_[c][k] = carried_[c][k] = 0.0F;
    }
  }

  /// Of a chunk whose tiles are loaded: y, dinflow and dstep into the tiles, dB and dC to their parts.
  __device__ void run(std::int64_t chunk, int tokens) {
    const int last = (tokens - 1) / kSubChunk;
    Own h, decay;
    load_kept(h, chunk);
    for (int sub = 0; sub < last; ++sub) {
      for (int t = sub * kSubChunk; t < (sub + 1) * kSubChunk; ++t) step_to(h, decay, h, t);
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
#pragma unroll
        for (int k = 0; k < States; ++k) tiles_.kept[sub][c * States + k][threadIdx.x] = h[c][k];
      }
    }
    for (int sub = last; sub >= 0; --sub) {
      back(chunk, sub, tokens);
      if (Tiles::kSumTokens == kScanChunk && sub > 0) continue;
      const int from = Tiles::kSumTokens == kScanChunk ? 0 : sub * kSubChunk;
      const int count = tokens - from < Tiles::kSumTokens ? tokens - from : Tiles::kSumTokens;
      __syncthreads();
      sum_warps(chunk * kScanChunk + from, count);
      if (sub > 0) __syncthreads();  // else the caller waits
    }
  }

  __device__ void store_rates() const {
#pragma unroll
    for (int k = 0; k < States; ++k) {
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        if (!exists() || state_of(k) >= p_.shape.N) continue;
        b_.dA_parts[(clip_ * p_.shape.N + state_of(k)) * p_.shape.I + channel_ + own_ + c] = dA_[c][k];
      }
    }
  }

 private:
  __device__ bool exists() const { return channel_ + own_ < p_.shape.I; }

  __device__ void load_kept(Own& h, std::int64_t chunk) const {
    const T* kept = exists() ? kept_states<T>(p_, clip_, chunk, channel_ + own_) : nullptr;
#pragma unroll
    for (int k = 0; k < States; ++k) {
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        const bool inside = kept != nullptr && state_of(k) < p_.shape.N;
        h[c][k] = inside ? static_cast<float>(kept[state_of(k) * p_.shape.I + c]) : 0.0F;
      }
    }
  }

  __device__ void step_to(Own& after, Own& decay, const Own& before, int t) const {
    float step[kChannels], inflow[kChannels], B[States];
    load_shared(step, &tiles_.step[t][own_]);
    load_shared(inflow, &tiles_.inflow[t][own_]);
    load_states(B, tiles_.B[t]);
    advance<kChannels, States>(after, decay, before, A_, step, inflow, B);
  }

  __device__ void back(std::int64_t chunk, int sub, int tokens) {
    const int first = sub * kSubChunk;
    Own h[kSubChunk + 1], decay[kSubChunk];  // h[0] is before the subchunk
    if (sub == 0) {
      load_kept(h[0], chunk);
    } else {
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
#pragma unroll
        for (int k = 0; k < States; ++k) h[0][c][k] = tiles_.kept[sub - 1][c * States + k][threadIdx.x];
      }
    }
#pragma unroll
    for (int j = 0; j < kSubChunk; ++j) {
      if (first + j < tokens) step_to(h[j + 1], decay[j], h[j], first + j);
    }
#pragma unroll
    for (int j = kSubChunk - 1; j >= 0; --j) {
      if (first + j < tokens) back_over(h[j], h[j + 1], decay[j], first + j);
    }
  }

  /// Token t of the chunk, with h before and after it.
  __device__ void back_over(const Own& before, const Own& after, const Own& decay, int t) {
    float step[kChannels], inflow[kChannels], dy[kChannels], B[States], C[States];
    load_shared(step, &tiles_.step[t][own_]);
    load_shared(inflow, &tiles_.inflow[t][own_]);
    load_shared(dy, &tiles_.dy[t][own_]);
    load_states(B, tiles_.B[t]);
    load_states(C, tiles_.C[t]);
    float y[kChannels], dinflow[kChannels], dstep[kChannels], dBC[2 * States];
#pragma unroll
    for (float& sum : dBC) sum = 0.0F;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      y[c] = dinflow[c] = dstep[c] = 0.0F;
#pragma unroll
      for (int k = 0; k < States; ++k) {
        const float dh = carried_[c][k] + dy[c] * C[k];
        y[c] += after[c][k] * C[k];
        dBC[k] += dh * inflow[c];
        dBC[States + k] += dy[c] * after[c][k];
        dinflow[c] += dh * B[k];
        carried_[c][k] = dh * decay[c][k];
        const float dexponent = carried_[c][k] * before[c][k];
        dstep[c] += dexponent * A_[c][k];
        dA_[c][k] += dexponent * step[c];
      }
    }
    const int column = own_ + summed_channel<kChannels>();
    const float y_sum = sum_of_states(y), dinflow_sum = sum_of_states(dinflow), dstep_sum = sum_of_states(dstep);
    if (threadIdx.x % (kStateLanes / kChannels) == 0) {  // of the lanes that have the same sum the first
      tiles_.y[t][column] = y_sum;
      tiles_.dinflow[t][column] = dinflow_sum;
      tiles_.dstep[t][column] = kLn2 * dstep_sum;
    }
    const ChannelSums<2 * States> sums(dBC);
    if (!sums.stores) return;
    float* token = tiles_.dBC[threadIdx.x / kWarp][t % Tiles::kSumTokens];
#pragma unroll
    for (int n = 0; n < ChannelSums<2 * States>::kLeft; ++n) {
      const int number = sums.first + n, of_C = number >= States;
      token[of_C * States * kStateLanes + state_of(number - of_C * States)] = dBC[n];
    }
  }

  /// dB and dC of `count` tokens, each warp's added up in their order.
  __device__ void sum_warps(std::int64_t first, int count) const {
    const int N = static_cast<int>(p_.shape.N);
    for (int at = static_cast<int>(threadIdx.x); at < count * 2 * N; at += kScanThreads) {
      const int t = at / (2 * N), column = at % (2 * N), of_C = column >= N;
      float sum = 0.0F;
      for (const auto& warp : tiles_.dBC) sum += warp[t][of_C * States * kStateLanes + column - of_C * N];
      b_.dBC_parts[((blockIdx.x * p_.shape.B + clip_) * p_.shape.S + first + t) * 2 * N + column] = sum;
    }
  }

  const ScanBackwardParams& b_;
  const ScanParams& p_;
  Tiles& tiles_;
  std::int64_t clip_, channel_;
  int own_;  ///< first of this lane's channels in the CTA's
  Own A_, dA_, carried_;
};

/// Two CTAs have a multiprocessor's registers to themselves.
template <int States, typename T>
__global__ void __launch_bounds__(kScanThreads, 2) scan_backward_kernel(ScanBackwardParams b) {
  using Tiles = BackwardTiles<States>;
  constexpr int kWidth = Tiles::kWidth;
  Tiles& tiles = *dynamic_shared<Tiles>();
  const ScanParams& p = b.forward;
  const std::int64_t S = p.shape.S, I = p.shape.I;
  const std::int64_t clip = blockIdx.y, channel = static_cast<std::int64_t>(blockIdx.x) * kWidth;
  ScanBack<States, T> back(b, tiles, clip, channel);
  float2 dskip{0.0F, 0.0F}, dbias{0.0F, 0.0F};  // of this thread's pair

  for (std::int64_t chunk = chunks_of(p.shape) - 1; chunk >= 0; --chunk) {
    const std::int64_t first = chunk * kScanChunk;
    const int tokens = S - first < kScanChunk ? static_cast<int>(S - first) : kScanChunk;
    load_chunk<T>(p, tiles, clip, first, tokens, channel);
    each_pair<kWidth>(tokens, I - channel, [&](int t, int column, bool inside) {
      float2 dy{0.0F, 0.0F};
      if (inside) {
        const float2 z = load_two<T>(p.z, clip, first + t, channel + column);
        dy = load_two<T>(b.dy, clip, first + t, channel + column);
        dy = {dy.x * z.x * fast_sigmoid(z.x), dy.y * z.y * fast_sigmoid(z.y)};
      }
      *reinterpret_cast<float2*>(&tiles.dy[t][column]) = dy;
    });
    __syncthreads();
    back.run(chunk, tokens);
    __syncthreads();

    each_pair<kWidth>(tokens, I - channel, [&](int t, int column, bool inside) {
      if (!inside) return;
      const std::int64_t at = channel + column, token = first + t;
      const float2 u = load_two<T>(p.u, clip, token, at), delta = load_two<T>(p.delta, clip, token, at);
      const float2 z = load_two<T>(p.z, clip, token, at), dout = load_two<T>(b.dy, clip, token, at);
      const float2 skip = *reinterpret_cast<const float2*>(p.D + at);
      const float2 bias = *reinterpret_cast<const float2*>(p.bias + at);
      const auto tile = [&](const float(&of)[kScanChunk][kWidth]) {
        return *reinterpret_cast<const float2*>(&of[t][column]);
      };
      const float2 step = tile(tiles.step), dy = tile(tiles.dy), y = tile(tiles.y);
      const float2 dinflow = tile(tiles.dinflow), dstep = tile(tiles.dstep);
      store_two<T>(b.du, clip, token, at, {dinflow.x * step.x + dy.x * skip.x, dinflow.y * step.y + dy.y * skip.y});
      const float2 ddelta{(dstep.x + dinflow.x * u.x) * fast_sigmoid(delta.x + bias.x),
                          (dstep.y + dinflow.y * u.y) * fast_sigmoid(delta.y + bias.y)};
      store_two<T>(b.ddelta, clip, token, at, ddelta);
      store_two<T>(b.dz, clip, token, at,
                   {dout.x * (y.x + skip.x * u.x) * silu_slope(z.x, fast_sigmoid(z.x)),
                    dout.y * (y.y + skip.y * u.y) * silu_slope(z.y, fast_sigmoid(z.y))});
      dskip = {dskip.x + dy.x * u.x, dskip.y + dy.y * u.y};
      dbias = {dbias.x + ddelta.x, dbias.y + ddelta.y};
    });
    __syncthreads();  // before the next chunk's tiles are written
  }
  back.store_rates();

  // Each pair of channels was summed up by several threads, a row of tokens each.
  constexpr int kPairs = kWidth / 2, kRows = kScanThreads / kPairs;
  float2(*rows)[kScanThreads] = reinterpret_cast<float2(*)[kScanThreads]>(&tiles);
  rows[0][threadIdx.x] = dskip;
  rows[1][threadIdx.x] = dbias;
  __syncthreads();
  const int pair = static_cast<int>(threadIdx.x);
  if (pair >= kPairs || channel + 2 * pair >= I) return;
#pragma unroll
  for (int of = 0; of < 2; ++of) {
    float2 sum{0.0F, 0.0F};
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      sum.x += rows[of][row * kPairs + pair].x;
      sum.y += rows[of][row * kPairs + pair].y;
    }
    *reinterpret_cast<float2*>(&b.vector_parts[(clip * 2 + of) * I + channel + 2 * pair]) = sum;
  }
}

}  // namespace axlstm::kernels
