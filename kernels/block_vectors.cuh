// Four and eight neighbouring channels at once.
#pragma once

#include "warp.cuh"

namespace axlstm::kernels {

struct Four {
  float v[4];
};
struct Eight {
  float v[8];
};

__device__ inline Four load_floats(const float* from) {
  const auto x = *reinterpret_cast<const float4*>(from);
  return {x.x, x.y, x.z, x.w};
}

template <typename T>
__device__ inline Eight unpack_eight(const uint4& bits) {
  const float2 a = unpack<T>(bits.x), b = unpack<T>(bits.y), c = unpack<T>(bits.z), d = unpack<T>(bits.w);
  return {a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y};
}
template <typename T>
__device__ inline void store_eight(T* to, const Eight& x) {
  *reinterpret_cast<uint4*>(to) = {pack<T>(x.v[0], x.v[1]), pack<T>(x.v[2], x.v[3]), pack<T>(x.v[4], x.v[5]),
                                   pack<T>(x.v[6], x.v[7])};
}
__device__ inline Eight load_eight_floats(const float* from) {
  const Four low = load_floats(from), high = load_floats(from + 4);
  return {low.v[0], low.v[1], low.v[2], low.v[3], high.v[0], high.v[1], high.v[2], high.v[3]};
}

/// 1 / (1 + exp(−x)), a few units in the last place of float32.
__device__ inline float fast_sigmoid(float x) {
  constexpr float kLog2E = 1.44269504F;
  return fast_inverse(1.0F + fast_exp2(-kLog2E * x));
}

}  // namespace axlstm::kernels
