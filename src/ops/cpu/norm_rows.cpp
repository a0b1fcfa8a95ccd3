// Residual addition and layer norm. Compiled once for each set of vector instructions.
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/norm_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "ops/cpu/rows.h"
#include "ops/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace axlstm::ops::cpu::HWY_NAMESPACE {

void AddNorm(const NormRows& p, std::int64_t begin, std::int64_t end) {
  const Floats d;
  for (std::int64_t t = begin; t < end; ++t) {
    const float* x = p.x + t * p.D;
    const float* sum = x;
    if (p.sum != nullptr) {
      float* out = p.sum + t * p.D;
      const float* y = p.y == nullptr ? nullptr : p.y + (p.reverse_y ? p.S - 1 - t : t) * p.D;
      for (std::int64_t i = 0; i < p.D; i += kLanes) {
        auto value = hn::LoadU(d, x + i);
        if (y != nullptr) value = hn::Add(value, hn::LoadU(d, y + i));
        hn::StoreU(value, d, out + i);
      }
      sum = out;
    }
    const Moments found = moments(sum, p.D, p.eps);
    const auto mean = hn::Set(d, found.mean), inverse = hn::Set(d, found.inverse), one = hn::Set(d, 1.0F);
    float* u = p.u + (p.reverse_u ? p.S - 1 - t : t) * p.D;
    for (std::int64_t i = 0; i < p.D; i += kLanes) {
      const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, sum + i), mean), inverse);
      hn::StoreU(hn::Mul(normed, hn::Add(one, hn::LoadU(d, p.weight + i))), d, u + i);
    }
  }
}

void AddNormBackward(const NormRowsBackward& p) {
  const Floats d;
  const NormRows& f = p.forward;
  const auto one = hn::Set(d, 1.0F);
  for (std::int64_t t = 0; t < f.S; ++t) {
    const float* x = f.x + t * f.D;
    const float* du = p.du + (f.reverse_u ? f.S - 1 - t : t) * f.D;
    const Moments found = moments(x, f.D, f.eps);
    const auto mean = hn::Set(d, found.mean), inverse = hn::Set(d, found.inverse);
    auto sum = hn::Zero(d), dot = hn::Zero(d);
    for (std::int64_t i = 0; i < f.D; i += kLanes) {
      const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, x + i), mean), inverse), gradient = hn::LoadU(d, du + i);
      hn::StoreU(hn::MulAdd(gradient, normed, hn::LoadU(d, p.dweight + i)), d, p.dweight + i);
      const auto dnormed = hn::Mul(gradient, hn::Add(one, hn::LoadU(d, f.weight + i)));
      sum = hn::Add(sum, dnormed);
      dot = hn::MulAdd(dnormed, normed, dot);
    }
    const auto size = static_cast<float>(f.D);
    const auto mean_gradient = hn::Set(d, total(sum) / size), mean_dot = hn::Set(d, total(dot) / size);
    float* dx = p.dx + t * f.D;
    float* dy = p.dy == nullptr ? nullptr : p.dy + (f.reverse_y ? f.S - 1 - t : t) * f.D;
    for (std::int64_t i = 0; i < f.D; i += kLanes) {
      const auto normed = hn::Mul(hn::Sub(hn::LoadU(d, x + i), mean), inverse);
      const auto dnormed = hn::Mul(hn::LoadU(d, du + i), hn::Add(one, hn::LoadU(d, f.weight + i)));
      auto value = hn::Mul(inverse, hn::Sub(hn::NegMulAdd(normed, mean_dot, dnormed), mean_gradient));
      if (p.dsum != nullptr) value = hn::Add(value, hn::LoadU(d, p.dsum + t * f.D + i));
      hn::StoreU(value, d, dx + i);
      if (dy != nullptr) hn::StoreU(value, d, dy + i);
    }
  }
}

}  // namespace axlstm::ops::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace axlstm::ops::cpu {

HWY_EXPORT(AddNorm);
HWY_EXPORT(AddNormBackward);

void add_norm(const NormRows& rows, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(AddNorm)(rows, begin, end);
}
void add_norm_backward(const NormRowsBackward& rows) { HWY_DYNAMIC_DISPATCH(AddNormBackward)(rows); }

}  // namespace axlstm::ops::cpu
#endif
