// Words of the row kernels, once for each set of vector instructions (hence no ordinary include guard).
#if defined(AXLSTM_OPS_CPU_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AXLSTM_OPS_CPU_VECTORS_INL_H_
#undef AXLSTM_OPS_CPU_VECTORS_INL_H_
#else
#define AXLSTM_OPS_CPU_VECTORS_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>

#include "ops/cpu/rows.h"

HWY_BEFORE_NAMESPACE();
namespace axlstm::ops::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kRowMultiple>;
using Vector = hn::Vec<Floats>;
inline constexpr std::int64_t kLanes = hn::MaxLanes(Floats());  // no target has vectors of unknown length

inline float total(Vector x) { return hn::GetLane(hn::SumOfLanes(Floats(), x)); }

/// Of `size` floats.
struct Moments {
  float mean = 0, inverse = 0;  ///< inverse of the deviation
};

inline Moments moments(const float* row, std::int64_t size, float eps) {
  const Floats d;
  auto sum = hn::Zero(d);
  for (std::int64_t i = 0; i < size; i += kLanes) sum = hn::Add(sum, hn::LoadU(d, row + i));
  Moments found;
  found.mean = total(sum) / static_cast<float>(size);
  const auto mean = hn::Set(d, found.mean);
  auto squares = hn::Zero(d);
  for (std::int64_t i = 0; i < size; i += kLanes) {
    const auto away = hn::Sub(hn::LoadU(d, row + i), mean);
    squares = hn::MulAdd(away, away, squares);
  }
  found.inverse = 1 / std::sqrt(total(squares) / static_cast<float>(size) + eps);
  return found;
}

inline Vector sigmoid(Vector x) {
  const Floats d;
  const auto one = hn::Set(d, 1.0F);
  const auto decay = hn::Exp(d, hn::Neg(hn::Max(x, hn::Set(d, -88.0F))));  // beyond that exp leaves float32
  return hn::Div(one, hn::Add(one, decay));
}

/// The channels o ^ r of each block of four, in place of o.
template <int r>
Vector turned(Vector x) {
  if constexpr (r == 0) return x;
  if constexpr (r == 1) return hn::Shuffle2301(x);
  if constexpr (r == 2) return hn::Shuffle1032(x);
  if constexpr (r == 3) return hn::Shuffle0123(x);
}

/// A block-diagonal projection of some channels, from its diagonals.
struct Diagonals {
  Vector w0, w1, w2, w3;

  Diagonals(const float* weights, std::int64_t I)
      : w0(hn::LoadU(Floats(), weights)),
        w1(hn::LoadU(Floats(), weights + I)),
        w2(hn::LoadU(Floats(), weights + 2 * I)),
        w3(hn::LoadU(Floats(), weights + 3 * I)) {}

  Vector times(Vector x) const {
    const auto low = hn::MulAdd(w1, turned<1>(x), hn::Mul(w0, x));
    return hn::Add(low, hn::MulAdd(w3, turned<3>(x), hn::Mul(w2, turned<2>(x))));
  }
  Vector transposed_times(Vector y) const {
    const auto low = hn::Add(hn::Mul(w0, y), turned<1>(hn::Mul(w1, y)));
    return hn::Add(low, hn::Add(turned<2>(hn::Mul(w2, y)), turned<3>(hn::Mul(w3, y))));
  }
};

/// Gradients of a projection's diagonals: Σ dy ⊙ turned(x).
struct DiagonalSums {
  Vector s0, s1, s2, s3;

  DiagonalSums() : s0(hn::Zero(Floats())), s1(s0), s2(s0), s3(s0) {}

  void add(Vector dy, Vector x) {
    s0 = hn::MulAdd(dy, x, s0);
    s1 = hn::MulAdd(dy, turned<1>(x), s1);
    s2 = hn::MulAdd(dy, turned<2>(x), s2);
    s3 = hn::MulAdd(dy, turned<3>(x), s3);
  }
};

inline void add_to(float* to, Vector x) {
  const Floats d;
  hn::StoreU(hn::Add(hn::LoadU(d, to), x), d, to);
}

}  // namespace axlstm::ops::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
