// What follows the cell: out = (GroupNorm(h) ⊙ (1 + w) + skip ⊙ c) ⊙ SiLU(z). `Lanes` lanes share one head of one
// token, each with up to three vectors of eight channels.
#pragma once

#include "block_plan.h"
#include "block_vectors.cuh"

namespace axlstm::kernels {

/// Σ over the lanes that share a head.
template <int Lanes>
__device__ inline float sum_of_lanes(float x) {
#pragma unroll
  for (int step = Lanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

/// A lane's vectors of eight channels of one head as they lie in memory, so that all of a kernel's inputs can be on
/// their way at once.
template <int Lanes>
struct HeadVectors {
  uint4 bits[kOutputVectors];

  template <typename T>
  __device__ HeadVectors(const T* from, int lane, std::int64_t DH) {
#pragma unroll
    for (int n = 0; n < kOutputVectors; ++n) {
      const int channel = 8 * (n * Lanes + lane);
      bits[n] = channel < DH ? *reinterpret_cast<const uint4*>(from + channel) : uint4{};
    }
  }
};

/// A head's normalised channels, this lane's vectors of them; returns mean and 1 / deviation.
template <typename T, int Lanes>
__device__ float2 normalise(Eight (&h)[kOutputVectors], const HeadVectors<Lanes>& from, int lane, std::int64_t DH,
                            float eps) {
  float sum = 0.0F;
#pragma unroll
  for (int n = 0; n < kOutputVectors; ++n) {
    h[n] = unpack_eight<T>(from.bits[n]);  // zeros beyond the head
#pragma unroll
    for (const float x : h[n].v) sum += x;
  }
  const float mean = sum_of_lanes<Lanes>(sum) / static_cast<float>(DH);
  float squares = 0.0F;
#pragma unroll
  for (int n = 0; n < kOutputVectors; ++n) {
    if (8 * (n * Lanes + lane) >= DH) continue;
#pragma unroll
    for (float& x : h[n].v) {
      x -= mean;
      squares += x * x;
    }
  }
  const float inverse = rsqrtf(sum_of_lanes<Lanes>(squares) / static_cast<float>(DH) + eps);
#pragma unroll
  for (Eight& eight : h) {
#pragma unroll
    for (float& x : eight.v) x *= inverse;
  }
  return {mean, inverse};
}

template <int Lanes, typename T>
__global__ void __launch_bounds__(kOutputThreads) block_output_kernel(BlockOutputParams p) {
  const BlockShape& shape = p.shape;
  const std::int64_t DH = shape.I / shape.NH, heads = shape.B * shape.S * shape.NH;
  const std::int64_t place = static_cast<std::int64_t>(blockIdx.x) * (kOutputThreads / Lanes) + threadIdx.x / Lanes;
  const int lane = threadIdx.x % Lanes;
  const std::int64_t row = place < heads ? place : heads - 1;  // all lanes take part in the sums
  const std::int64_t token = row / shape.NH, first = row % shape.NH * DH;
  const HeadVectors<Lanes> h_vectors(static_cast<const T*>(p.h) + token * shape.I + first, lane, DH),
      c_vectors(static_cast<const T*>(p.c) + token * shape.I + first, lane, DH),
      z_vectors(static_cast<const T*>(p.up) + token * 2 * shape.I + shape.I + first, lane, DH);
  Eight h[kOutputVectors];
  normalise<T>(h, h_vectors, lane, DH, p.eps);
  if (place >= heads) return;
  T* out_row = static_cast<T*>(p.out) + token * shape.I + first;
#pragma unroll
  for (int n = 0; n < kOutputVectors; ++n) {
    const int channel = 8 * (n * Lanes + lane);
    if (channel >= DH) continue;
    const Eight c = unpack_eight<T>(c_vectors.bits[n]), z = unpack_eight<T>(z_vectors.bits[n]);
    const Eight weight = load_eight_floats(p.weight + first + channel),
                skip = load_eight_floats(p.skip + first + channel);
    Eight out;
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      const float mix = h[n].v[e] * (1.0F + weight.v[e]) + skip.v[e] * c.v[e];
      out.v[e] = mix * z.v[e] * fast_sigmoid(z.v[e]);
    }
    store_eight(out_row + channel, out);
  }
}

/// dz, the gradient of the mix and dh. With ĥ the normalised h and ŵ = 1 + w:
/// dh = (dĥ − mean(dĥ) − ĥ mean(dĥ ĥ)) / deviation, dĥ = dmix ŵ.
template <int Lanes, typename T>
__global__ void __launch_bounds__(kOutputThreads) block_output_backward_kernel(BlockOutputBackwardParams b) {
  const BlockOutputParams& p = b.forward;
  const BlockShape& shape = p.shape;
  const std::int64_t DH = shape.I / shape.NH, heads = shape.B * shape.S * shape.NH;
  const std::int64_t place = static_cast<std::int64_t>(blockIdx.x) * (kOutputThreads / Lanes) + threadIdx.x / Lanes;
  const int lane = threadIdx.x % Lanes;
  const bool inside = place < heads;
  const std::int64_t row = inside ? place : heads - 1;
  const std::int64_t token = row / shape.NH, first = row % shape.NH * DH, at = token * shape.I + first;
  const std::int64_t read = inside ? DH : 0;  // what dout has there may become dmix meanwhile
  const HeadVectors<Lanes> h_vectors(static_cast<const T*>(p.h) + at, lane, read),
      dout_vectors(static_cast<const T*>(b.dout) + at, lane, read),
      c_vectors(static_cast<const T*>(p.c) + at, lane, read),
      z_vectors(static_cast<const T*>(p.up) + token * 2 * shape.I + shape.I + first, lane, read);
  Eight h[kOutputVectors], dh[kOutputVectors];
  const float2 norm = normalise<T>(h, h_vectors, lane, DH, p.eps);
  float mean = 0.0F, mean_h = 0.0F;
#pragma unroll
  for (int n = 0; n < kOutputVectors; ++n) {
    const int channel = 8 * (n * Lanes + lane);
    dh[n] = {};
    if (!inside || channel >= DH) continue;
    const Eight dout = unpack_eight<T>(dout_vectors.bits[n]), c = unpack_eight<T>(c_vectors.bits[n]),
                z = unpack_eight<T>(z_vectors.bits[n]);
    const Eight weight = load_eight_floats(p.weight + first + channel),
                skip = load_eight_floats(p.skip + first + channel);
    Eight out, dz, dmix;
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      const float mix = h[n].v[e] * (1.0F + weight.v[e]) + skip.v[e] * c.v[e];
      const float sigmoid_z = fast_sigmoid(z.v[e]), silu = z.v[e] * sigmoid_z;
      out.v[e] = mix * silu;
      dz.v[e] = dout.v[e] * mix * sigmoid_z * (1.0F + z.v[e] - silu);
      dmix.v[e] = dout.v[e] * silu;
      dh[n].v[e] = dmix.v[e] * (1.0F + weight.v[e]);
      mean += dh[n].v[e];
      mean_h += dh[n].v[e] * h[n].v[e];
    }
    if (p.out != nullptr) store_eight(static_cast<T*>(p.out) + at + channel, out);
    store_eight(static_cast<T*>(b.dmix) + at + channel, dmix);
    store_eight(static_cast<T*>(b.dup) + token * 2 * shape.I + shape.I + first + channel, dz);
  }
  mean = sum_of_lanes<Lanes>(mean) / static_cast<float>(DH);
  mean_h = sum_of_lanes<Lanes>(mean_h) / static_cast<float>(DH);

  if (!inside) return;
#pragma unroll
  for (int n = 0; n < kOutputVectors; ++n) {
    const int channel = 8 * (n * Lanes + lane);
    if (channel >= DH) continue;
    Eight result;
#pragma unroll
    for (int e = 0; e < 8; ++e) result.v[e] = norm.y * (dh[n].v[e] - mean - h[n].v[e] * mean_h);
    store_eight(static_cast<T*>(b.dh) + at + channel, result);
  }
  if (lane == 0) b.h_norm[row] = norm;
}

}  // namespace axlstm::kernels
