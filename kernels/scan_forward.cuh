// The selective scan, token after token: a thread a channel of a clip, whose states stay in its registers.
#pragma once

#include "scan_terms.cuh"

namespace axlstm::kernels {

/// CTAs whose registers a multiprocessor shall hold at once.
constexpr int forward_ctas(int states) { return states <= 32 ? 3 : 1; }

template <int States, typename T>
__global__ void __launch_bounds__(kScanThreads, forward_ctas(States)) scan_forward_kernel(ScanParams p) {
  using Vectors = Packed<States, T>;
  auto& tiles = *dynamic_shared<ForwardTiles<States>>();
  const Channel channel(p.shape);
  const Column<T> u(p.u, channel), delta(p.delta, channel), z(p.z, channel), y(p.y, channel);
  const float skip = p.D[channel.number], bias = p.bias[channel.number];
  float A[States], h[States];
  load_rates(A, p, channel);
#pragma unroll
  for (float& state : h) state = 0.0F;

  const int chunks = chunks_of(p.shape), last = static_cast<int>(p.shape.S) - 1;
  struct Inputs {
    T u, delta, z;
  };
  const auto inputs = [&](int token) {
    const int inside = token < last ? token : last;
    return Inputs{u.load(inside), delta.load(inside), z.load(inside)};
  };
  Inputs ahead[2] = {inputs(0), inputs(1)};  // on their way while two tokens are computed
  TileLoader<States, T>(p, channel.clip, 0).store(tiles[0]);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    __syncthreads();  // this chunk's tile is there, and nobody reads the other one
    prefetch_chunk(p.shape, chunk + 1, u, delta, z);
    const TileLoader<States, T> next_tile(p, channel.clip, chunk + 1 < chunks ? chunk + 1 : chunk);
    if (p.states != nullptr && channel.exists) {
      uint4* kept = kept_states<States, T>(p, channel, chunk);
#pragma unroll
      for (int v = 0; v < Vectors::kVectors; ++v) kept[v] = Vectors::pack_states(h + v * Vectors::kStates);
    }
    const StateTile<States>& tile = tiles[chunk % 2];
    const int tokens = tokens_of(p.shape, chunk);
#pragma unroll 2
    for (int t = 0; t < tokens; ++t) {
      const int token = chunk * kScanChunk + t;
      const auto now_u = static_cast<float>(ahead[0].u), now_z = static_cast<float>(ahead[0].z);
      const float step = softplus(static_cast<float>(ahead[0].delta) + bias);
      ahead[0] = ahead[1];
      ahead[1] = inputs(token + 2);
      advance(h, A, step, step * now_u, tile.B[t]);
      float sums[4] = {skip * now_u, 0.0F, 0.0F, 0.0F};
#pragma unroll
      for (int n = 0; n < States; n += 4) {
        const Four C = load_floats(tile.C[t] + n);
#pragma unroll
        for (int m = 0; m < 4; ++m) sums[m] += h[n + m] * C.v[m];
      }
      const float out = (sums[0] + sums[1] + (sums[2] + sums[3])) * now_z * fast_sigmoid(now_z);
      if (channel.exists) y.store(token, out);
    }
    next_tile.store(tiles[(chunk + 1) % 2]);
  }
}

}  // namespace axlstm::kernels
