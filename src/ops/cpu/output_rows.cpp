// Head norm, skip and the output gate. Compiled once for each set of vector instructions.
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/output_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "ops/cpu/rows.h"
#include "ops/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace axlstm::ops::cpu::HWY_NAMESPACE {

/// One head of one token: everything that the forward and the backward pass both need of it.
struct OutputRow {
  const OutputRows& p;
  const float *h, *c, *z, *weight, *skip;
  Vector mean, inverse;

  OutputRow(const OutputRows& rows, std::int64_t t, std::int64_t head)
      : p(rows),
        h(rows.h + (head * rows.S + t) * rows.DH),
        c(rows.c + t * rows.I + head * rows.DH),
        z(rows.up + (2 * t + 1) * rows.I + head * rows.DH),
        weight(rows.weight + head * rows.DH),
        skip(rows.skip + head * rows.DH) {
    const Moments found = moments(h, rows.DH, rows.eps);
    mean = hn::Set(Floats(), found.mean);
    inverse = hn::Set(Floats(), found.inverse);
  }

  Vector normed(std::int64_t i) const { return hn::Mul(hn::Sub(hn::LoadU(Floats(), h + i), mean), inverse); }
  Vector gain(std::int64_t i) const { return hn::Add(hn::Set(Floats(), 1.0F), hn::LoadU(Floats(), weight + i)); }
  Vector mix(std::int64_t i) const {
    return hn::MulAdd(hn::LoadU(Floats(), skip + i), hn::LoadU(Floats(), c + i), hn::Mul(normed(i), gain(i)));
  }
};

void BlockOutput(const OutputRows& p, std::int64_t begin, std::int64_t end) {
  const Floats d;
  for (std::int64_t t = begin; t < end; ++t) {
    for (std::int64_t head = 0; head < p.I / p.DH; ++head) {
      const OutputRow row(p, t, head);
      float* out = p.out + t * p.I + head * p.DH;
      for (std::int64_t i = 0; i < p.DH; i += kLanes) {
        const auto z = hn::LoadU(d, row.z + i);
        hn::StoreU(hn::Mul(row.mix(i), hn::Mul(z, sigmoid(z))), d, out + i);
      }
    }
  }
}

void BlockOutputBackward(const OutputRowsBackward& p, std::int64_t head) {
  const Floats d;
  const OutputRows& f = p.forward;
  const auto one = hn::Set(d, 1.0F);
  const auto size = static_cast<float>(f.DH);
  float *dweight = p.dweight + head * f.DH, *dskip = p.dskip + head * f.DH;
  for (std::int64_t t = 0; t < f.S; ++t) {
    const OutputRow row(f, t, head);
    const std::int64_t at = t * f.I + head * f.DH;
    float *dh = p.dh + (head * f.S + t) * f.DH, *dz = p.dup + (2 * t + 1) * f.I + head * f.DH;
    auto sum = hn::Zero(d), dot = hn::Zero(d);
    for (std::int64_t i = 0; i < f.DH; i += kLanes) {
      const auto z = hn::LoadU(d, row.z + i), gate = sigmoid(z), open = hn::Mul(z, gate), mix = row.mix(i);
      const auto dout = hn::LoadU(d, p.dout + at + i);
      hn::StoreU(hn::Mul(mix, open), d, f.out + at + i);
      // SiLU'(z) = σ(z) (1 + z − SiLU(z))
      hn::StoreU(hn::Mul(hn::Mul(dout, mix), hn::Mul(gate, hn::Add(one, hn::Sub(z, open)))), d, dz + i);
      const auto dmix = hn::Mul(dout, open), normed = row.normed(i);
      hn::StoreU(hn::Mul(dmix, hn::LoadU(d, row.skip + i)), d, p.dc + at + i);
      add_to(dskip + i, hn::Mul(dmix, hn::LoadU(d, row.c + i)));
      add_to(dweight + i, hn::Mul(dmix, normed));
      const auto dnormed = hn::Mul(dmix, row.gain(i));
      hn::StoreU(dnormed, d, dh + i);
      sum = hn::Add(sum, dnormed);
      dot = hn::MulAdd(dnormed, normed, dot);
    }
    const auto mean_gradient = hn::Set(d, total(sum) / size), mean_dot = hn::Set(d, total(dot) / size);
    for (std::int64_t i = 0; i < f.DH; i += kLanes) {
      const auto away = hn::NegMulAdd(row.normed(i), mean_dot, hn::Sub(hn::LoadU(d, dh + i), mean_gradient));
      hn::StoreU(hn::Mul(row.inverse, away), d, dh + i);
    }
  }
}

}  // namespace axlstm::ops::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace axlstm::ops::cpu {

HWY_EXPORT(BlockOutput);
HWY_EXPORT(BlockOutputBackward);

void block_output(const OutputRows& rows, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(BlockOutput)(rows, begin, end);
}
void block_output_backward(const OutputRowsBackward& rows, std::int64_t head) {
  HWY_DYNAMIC_DISPATCH(BlockOutputBackward)(rows, head);
}

}  // namespace axlstm::ops::cpu
#endif
