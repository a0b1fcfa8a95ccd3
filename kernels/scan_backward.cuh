// The selective scan's backward pass, chunk by chunk from the last: the states of some tokens at a time are computed
// again from those that were kept before their chunk, and held in shared memory; then it goes back over these tokens.
#pragma once

#include "scan_sums.cuh"
#include "scan_terms.cuh"

namespace axlstm::kernels {

/// What a thread does in the backward pass.
template <int States, typename T>
class ScanBack {
 public:
  using Tiles = BackwardTiles<States, T>;
  using Sums = ScanSums<States, T>;
  using Vectors = Packed<States, T>;

  __device__ ScanBack(const ScanBackwardParams& b, Tiles& tiles)
      : b_(b),
        p_(b.forward),
        tiles_(tiles),
        channel_(p_.shape),
        u_(p_.u, channel_),
        delta_(p_.delta, channel_),
        z_(p_.z, channel_),
        dy_(b.dy, channel_),
        du_(b.du, channel_),
        ddelta_(b.ddelta, channel_),
        dz_(b.dz, channel_),
        skip_(p_.D[channel_.number]),
        bias_(p_.bias[channel_.number]) {
    load_rates(A_, p_, channel_);
#pragma unroll
    for (int n = 0; n < States; ++n) dA_[n] = carried_[n] = 0.0F;
  }

  __device__ void run() {
    int chunk = chunks_of(p_.shape) - 1;
    TileLoader<States, T>(p_, channel_.clip, chunk).store(tiles_.chunks[chunk % 2]);
    for (; chunk >= 0; --chunk) {
      __syncthreads();  // this chunk's tile is there
      const TileLoader<States, T> next_tile(p_, channel_.clip, chunk > 0 ? chunk - 1 : chunk);
      prefetch_chunk(p_.shape, chunk - 1, u_, delta_, z_, dy_);
      if (chunk > 0) prefetch(kept_states<States, T>(p_, channel_, chunk - 1));
      const int tokens = tokens_of(p_.shape, chunk);
      for (int first = (tokens - 1) / Tiles::kHeld * Tiles::kHeld; first >= 0; first -= Tiles::kHeld) {
        const int end = tokens < first + Tiles::kHeld ? tokens : first + Tiles::kHeld;
        compute_again(chunk, first, end);
        __syncthreads();  // the sums of the tokens behind are read
        go_back(chunk, first, end);
        __syncthreads();
        sum_warps(chunk * kScanChunk + first, end - first);
      }
      if (chunk > 0) next_tile.store(tiles_.chunks[(chunk - 1) % 2]);
    }
    store_sums();
  }

 private:
  /// The states from before the chunk's token `first` to behind the last one before `end`.
  __device__ void compute_again(int chunk, int first, int end) {
    const uint4* kept = kept_states<States, T>(p_, channel_, chunk);
#pragma unroll
    for (int v = 0; v < Vectors::kVectors; ++v) Vectors::unpack_states(after_ + v * Vectors::kStates, kept[v]);
    const StateTile<States>& tile = tiles_.chunks[chunk % 2];
    const int token = chunk * kScanChunk;
    struct Inputs {
      T u, delta;
    };
    const auto inputs = [&](int t) {
      const int inside = token + (t < end ? t : end - 1);
      return Inputs{u_.load(inside), delta_.load(inside)};
    };
    Inputs ahead[2] = {inputs(0), inputs(1)};
#pragma unroll 2
    for (int t = 0; t < end; ++t) {
      const float step = softplus(static_cast<float>(ahead[0].delta) + bias_);
      const float inflow = step * static_cast<float>(ahead[0].u);
      ahead[0] = ahead[1];
      ahead[1] = inputs(t + 2);
      if (t >= first) {
#pragma unroll
        for (int v = 0; v < Vectors::kVectors; ++v)
          tiles_.h[t - first][v][threadIdx.x] = Vectors::pack_states(after_ + v * Vectors::kStates);
        tiles_.step[t - first][threadIdx.x] = step;
      }
      advance(after_, A_, step, inflow, tile.B[t]);
    }
  }

  /// Loaded while two tokens are computed, converted when they are needed: that would wait for them.
  struct Inputs {
    T u, delta, z, dout;
  };
  __device__ Inputs inputs(int token) const {
    return {u_.load(token), delta_.load(token), z_.load(token), dy_.load(token)};
  }

  /// Over the chunk's tokens end − 1 to `first`, whose states are held.
  __device__ void go_back(int chunk, int first, int end) {
    const auto earlier = [&](int t) { return inputs(chunk * kScanChunk + (t > first ? t : first)); };
    Inputs ahead[2] = {earlier(end - 1), earlier(end - 2)};
#pragma unroll 2
    for (int t = end - 1; t >= first; --t) {
      const Inputs now = ahead[0];
      ahead[0] = ahead[1];
      ahead[1] = earlier(t - 2);
      back_over(chunk, t, t - first, now);
    }
  }

  /// Token t of the chunk, whose state before it is number `at` of those held; after_ is the state behind it.
  __device__ void back_over(int chunk, int t, int at, const Inputs& in) {
    const int token = chunk * kScanChunk + t;
    const auto u = static_cast<float>(in.u), z = static_cast<float>(in.z);
    const float dout = channel_.exists ? static_cast<float>(in.dout) : 0.0F;  // else nothing counts
    const float open = fast_sigmoid(z), dy = dout * z * open;
    const float step = tiles_.step[at][threadIdx.x], inflow = step * u;
    float y = skip_ * u, dinflow = 0.0F, dstep = 0.0F;
    const StateTile<States>& tile = tiles_.chunks[chunk % 2];
    Sums sums(chooses_);
#pragma unroll
    for (int v = 0; v < Vectors::kVectors; ++v) {
      constexpr int kCount = Vectors::kStates;
      float before[kCount];
      Vectors::unpack_states(before, tiles_.h[at][v][threadIdx.x]);
#pragma unroll
      for (int m = 0; m < kCount; m += 4) {
        const Four B = load_floats(tile.B[t] + v * kCount + m);
        const Four C = load_floats(tile.C[t] + v * kCount + m);
        float of_B[4], of_C[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          const int n = v * kCount + m + k;
          const float dh = carried_[n] + dy * C.v[k];
          y += after_[n] * C.v[k];
          of_B[k] = dh * inflow;
          of_C[k] = dy * after_[n];
          dinflow += dh * B.v[k];
          carried_[n] = dh * fast_exp2(step * A_[n]);
          const float dexponent = carried_[n] * before[m + k];
          dstep += dexponent * A_[n];
          dA_[n] += dexponent * step;
          after_[n] = before[m + k];
        }
        sums.add_four(v * kCount + m, of_B, of_C);
      }
    }
    sums.store(tiles_.dBC[threadIdx.x / kWarp][at]);
    const float ddelta = (kLn2 * dstep + dinflow * u) * fast_sigmoid(static_cast<float>(in.delta) + bias_);
    if (channel_.exists) {
      du_.store(token, dinflow * step + dy * skip_);
      ddelta_.store(token, ddelta);
      dz_.store(token, dout * y * silu_slope(z, open));
    }
    dskip_ += dy * u;
    dbias_ += ddelta;
  }

  /// dB and dC of `count` tokens, each warp's added up in their order.
  __device__ void sum_warps(int first, int count) const {
    const int N = static_cast<int>(p_.shape.N);
    float* part = b_.dBC_parts + ((blockIdx.x * p_.shape.B + channel_.clip) * p_.shape.S + first) * 2 * N;
    for (int at = static_cast<int>(threadIdx.x); at < count * 2 * States; at += kScanThreads) {
      const int t = at / (2 * States), of_C = at / States % 2, n = at % States;
      if (n >= N) continue;
      float sum = 0.0F;
      for (const auto& warp : tiles_.dBC) sum += warp[t][Sums::place(n, of_C)];
      part[t * 2 * N + of_C * N + n] = sum;
    }
  }

  __device__ void store_sums() const {
    if (!channel_.exists) return;
    const std::int64_t I = p_.shape.I;
#pragma unroll
    for (int n = 0; n < States; ++n) {
      if (n < p_.shape.N) b_.dA_parts[(channel_.clip * p_.shape.N + n) * I + channel_.number] = dA_[n];
    }
    float* vectors = b_.vector_parts + channel_.clip * 2 * I + channel_.number;
    vectors[0] = dskip_;
    vectors[I] = dbias_;
  }

  const ScanBackwardParams& b_;
  const ScanParams& p_;
  Tiles& tiles_;
  const Channel channel_;
  const Column<T> u_, delta_, z_, dy_, du_, ddelta_, dz_;
  const float skip_, bias_;
  float A_[States], dA_[States], carried_[States], after_[States];
  float dskip_ = 0.0F, dbias_ = 0.0F;
  const typename Sums::Chooses chooses_{};
};

/// CTAs whose registers a multiprocessor shall hold at once.
constexpr int backward_ctas(int states) { return states <= 24 ? 2 : 1; }

template <int States, typename T>
__global__ void __launch_bounds__(kScanThreads, backward_ctas(States)) scan_backward_kernel(ScanBackwardParams b) {
  ScanBack<States, T>(b, *dynamic_shared<BackwardTiles<States, T>>()).run();
}

}  // namespace axlstm::kernels
