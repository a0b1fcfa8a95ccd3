// Convolution, SiLU and the block-diagonal projections. Compiled once for each set of vector instructions.
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/input_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "ops/cpu/convolution-inl.h"
#include "ops/cpu/rows.h"
#include "ops/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace axlstm::ops::cpu::HWY_NAMESPACE {

/// Where channels of [NH, S, DH] begin.
inline std::int64_t of_heads(std::int64_t channel, std::int64_t S, std::int64_t DH) {
  return channel / DH * S * DH + channel % DH;
}

void BlockInput(const InputRows& p, std::int64_t begin, std::int64_t end) {
  const Floats d;
  const std::int64_t stride = 2 * p.I;
  for (std::int64_t channel = 0; channel < p.I; channel += kLanes) {
    const Taps taps(p.weights.conv, p.weights.conv_bias, channel, p.I);
    const Diagonals q(p.weights.q + channel, p.I), k(p.weights.k + channel, p.I), v(p.weights.v + channel, p.I);
    const float* a = p.up + channel;
    const std::int64_t head = of_heads(channel, p.S, p.DH);
    auto a3 = token(a, begin - 3, stride), a2 = token(a, begin - 2, stride), a1 = token(a, begin - 1, stride);
    for (std::int64_t t = begin; t < end; ++t) {
      const auto a0 = hn::LoadU(d, a + t * stride);
      const auto before = taps.of(a3, a2, a1, a0);
      const auto c = hn::Mul(before, sigmoid(before));
      hn::StoreU(c, d, p.c + t * p.I + channel);
      hn::StoreU(q.times(c), d, p.q + head + t * p.DH);
      hn::StoreU(k.times(c), d, p.k + head + t * p.DH);
      hn::StoreU(v.times(a0), d, p.v + head + t * p.DH);
      a3 = a2;
      a2 = a1;
      a1 = a0;
    }
  }
}

inline void add_diagonals(const DiagonalSums& sums, float* to, std::int64_t I) {
  add_to(to, sums.s0);
  add_to(to + I, sums.s1);
  add_to(to + 2 * I, sums.s2);
  add_to(to + 3 * I, sums.s3);
}

void BlockInputBackward(const InputRowsBackward& p, std::int64_t begin, std::int64_t end) {
  const Floats d;
  const InputRows& f = p.forward;
  const std::int64_t stride = 2 * f.I;
  for (std::int64_t channel = begin; channel < end; channel += kLanes) {
    const Taps taps(f.weights.conv, f.weights.conv_bias, channel, f.I);
    TapsBackward back(taps);
    const Diagonals q(f.weights.q + channel, f.I), k(f.weights.k + channel, f.I), v(f.weights.v + channel, f.I);
    DiagonalSums q_sums, k_sums, v_sums;
    const float* a = f.up + channel;
    const std::int64_t head = of_heads(channel, f.S, f.DH);
    for (std::int64_t t = f.S - 1; t >= 0; --t) {
      const auto a0 = token(a, t, stride), a1 = token(a, t - 1, stride), a2 = token(a, t - 2, stride),
                 a3 = token(a, t - 3, stride);
      const auto before = taps.of(a3, a2, a1, a0);
      const auto gate = sigmoid(before), c = hn::Mul(before, gate);
      const auto dq = hn::LoadU(d, p.dq + head + t * f.DH), dk = hn::LoadU(d, p.dk + head + t * f.DH),
                 dv = hn::LoadU(d, p.dv + head + t * f.DH);
      q_sums.add(dq, c);
      k_sums.add(dk, c);
      v_sums.add(dv, a0);

      const auto dc =
          hn::Add(hn::LoadU(d, p.dc + t * f.I + channel), hn::Add(q.transposed_times(dq), k.transposed_times(dk)));
      const auto da = back.at(dc, before, gate, a3, a2, a1, a0);
      add_to(p.dup + t * stride + channel, hn::Add(da, v.transposed_times(dv)));
    }
    float* sums = p.sums + channel;
    back.add(sums + kConvSums * f.I, sums + kConvBiasSum * f.I, f.I);
    add_diagonals(q_sums, sums + kQSums * f.I, f.I);
    add_diagonals(k_sums, sums + kKSums * f.I, f.I);
    add_diagonals(v_sums, sums + kVSums * f.I, f.I);
  }
}

}  // namespace axlstm::ops::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace axlstm::ops::cpu {

HWY_EXPORT(BlockInput);
HWY_EXPORT(BlockInputBackward);

void block_input(const InputRows& rows, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(BlockInput)(rows, begin, end);
}
void block_input_backward(const InputRowsBackward& rows, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(BlockInputBackward)(rows, begin, end);
}

}  // namespace axlstm::ops::cpu
#endif
