// The causal convolution of some channels, once for each set of vector instructions (hence no ordinary include guard).
#if defined(AXLSTM_OPS_CPU_CONVOLUTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef AXLSTM_OPS_CPU_CONVOLUTION_INL_H_
#undef AXLSTM_OPS_CPU_CONVOLUTION_INL_H_
#else
#define AXLSTM_OPS_CPU_CONVOLUTION_INL_H_
#endif

#include "ops/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace axlstm::ops::cpu::HWY_NAMESPACE {

/// Taps go from the oldest token to the present one.
struct Taps {
  Vector w0, w1, w2, w3, bias;

  /// Of `channel` and those after it; weights [4, I], biases [I].
  Taps(const float* weights, const float* biases, std::int64_t channel, std::int64_t I)
      : w0(hn::LoadU(Floats(), weights + channel)),
        w1(hn::LoadU(Floats(), weights + I + channel)),
        w2(hn::LoadU(Floats(), weights + 2 * I + channel)),
        w3(hn::LoadU(Floats(), weights + 3 * I + channel)),
        bias(hn::LoadU(Floats(), biases + channel)) {}

  Vector of(Vector a3, Vector a2, Vector a1, Vector a0) const {
    return hn::MulAdd(w3, a0, hn::MulAdd(w2, a1, hn::MulAdd(w1, a2, hn::MulAdd(w0, a3, bias))));
  }
};

/// Some channels of token t, 0 before the first.
inline Vector token(const float* a, std::int64_t t, std::int64_t stride) {
  return t < 0 ? hn::Zero(Floats()) : hn::LoadU(Floats(), a + t * stride);
}

/// The backward pass of SiLU and taps, from the last token to the first.
class TapsBackward {
 public:
  explicit TapsBackward(const Taps& taps)
      : taps_(taps),
        w0_(hn::Zero(Floats())),
        w1_(w0_),
        w2_(w0_),
        w3_(w0_),
        bias_(w0_),
        later1_(w0_),
        later2_(w0_),
        later3_(w0_) {}

  /// The gradient of a at a token, from that of its c = SiLU(before) and the token with the three before it.
  Vector at(Vector dc, Vector before, Vector gate, Vector a3, Vector a2, Vector a1, Vector a0) {
    const Floats d;
    // SiLU'(x) = σ(x) (1 + x (1 − σ(x)))
    const auto slope = hn::Mul(gate, hn::Add(hn::Set(d, 1.0F), hn::Sub(before, hn::Mul(before, gate))));
    const auto now = hn::Mul(dc, slope);
    w0_ = hn::MulAdd(now, a3, w0_);
    w1_ = hn::MulAdd(now, a2, w1_);
    w2_ = hn::MulAdd(now, a1, w2_);
    w3_ = hn::MulAdd(now, a0, w3_);
    bias_ = hn::Add(bias_, now);
    const auto da = hn::MulAdd(
        taps_.w3, now, hn::MulAdd(taps_.w2, later1_, hn::MulAdd(taps_.w1, later2_, hn::Mul(taps_.w0, later3_))));
    later3_ = later2_;
    later2_ = later1_;
    later1_ = now;
    return da;
  }

  /// Adds to dweights [4, I] and dbiases [I], at the channel.
  void add(float* dweights, float* dbiases, std::int64_t I) const {
    add_to(dweights, w0_);
    add_to(dweights + I, w1_);
    add_to(dweights + 2 * I, w2_);
    add_to(dweights + 3 * I, w3_);
    add_to(dbiases, bias_);
  }

 private:
  Taps taps_;
  Vector w0_, w1_, w2_, w3_, bias_;  // sums
  Vector later1_, later2_, later3_;  // gradients of the convolution at the next three tokens
};

}  // namespace axlstm::ops::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
