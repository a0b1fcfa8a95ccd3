// The selective scan, token after token: a CTA some channels of a clip, whose states stay in registers.
#pragma once

#include "scan_terms.cuh"

namespace axlstm::kernels {

template <int States, typename T>
__global__ void __launch_bounds__(kScanThreads) scan_forward_kernel(ScanParams p) {
  using Tiles = ForwardTiles<States>;
  constexpr int kChannels = Tiles::kChannels;
  Tiles& tiles = *dynamic_shared<Tiles>();
  const std::int64_t clip = blockIdx.y, channel = static_cast<std::int64_t>(blockIdx.x) * Tiles::kWidth;
  const int own = first_channel<kChannels>();
  const bool exists = channel + own < p.shape.I;
  Lane<kChannels, States> A, h, decay;
  load_rates(A, p, channel + own);
#pragma unroll
  for (auto& of_channel : h) {
#pragma unroll
    for (float& state : of_channel) state = 0.0F;
  }

  for (std::int64_t chunk = 0; chunk < chunks_of(p.shape); ++chunk) {
    const std::int64_t first = chunk * kScanChunk, left = p.shape.S - first;
    const int tokens = left < kScanChunk ? static_cast<int>(left) : kScanChunk;
    load_chunk<T>(p, tiles, clip, first, tokens, channel);
    if (p.states != nullptr && exists) {
      T* kept = kept_states<T>(p, clip, chunk, channel + own);
#pragma unroll
      for (int k = 0; k < States; ++k) {
        if (state_of(k) >= p.shape.N) continue;
#pragma unroll
        for (int c = 0; c < kChannels; ++c) kept[state_of(k) * p.shape.I + c] = static_cast<T>(h[c][k]);
      }
    }
    __syncthreads();
    for (int t = 0; t < tokens; ++t) {
      float step[kChannels], inflow[kChannels], B[States], C[States], y[kChannels];
      load_shared(step, &tiles.step[t][own]);
      load_shared(inflow, &tiles.inflow[t][own]);
      load_states(B, tiles.B[t]);
      load_states(C, tiles.C[t]);
      advance<kChannels, States>(h, decay, h, A, step, inflow, B);
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        y[c] = 0.0F;
#pragma unroll
        for (int k = 0; k < States; ++k) y[c] += h[c][k] * C[k];
      }
      const float sum = sum_of_states(y);
      // Of four channels two lanes have the same sum.
      if (kChannels == kStateLanes || threadIdx.x % 2 == 0) tiles.y[t][own + summed_channel<kChannels>()] = sum;
    }
    __syncthreads();
    // The next chunk's steps are written meanwhile, its y only behind the next barrier.
    each_pair<Tiles::kWidth>(tokens, p.shape.I - channel, [&](int t, int column, bool inside) {
      if (!inside) return;
      const std::int64_t at = channel + column;
      const float2 u = load_two<T>(p.u, clip, first + t, at), z = load_two<T>(p.z, clip, first + t, at);
      const float2 skip = *reinterpret_cast<const float2*>(p.D + at);
      const float2 y = *reinterpret_cast<const float2*>(&tiles.y[t][column]);
      store_two<T>(p.y, clip, first + t, at,
                   {(y.x + skip.x * u.x) * z.x * fast_sigmoid(z.x), (y.y + skip.y * u.y) * z.y * fast_sigmoid(z.y)});
    });
  }
}

}  // namespace axlstm::kernels
