// The selective scan and the convolution before it. Compiled once for each set of vector instructions.
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/scan_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>

#include "ops/cpu/convolution-inl.h"
#include "ops/cpu/scan.h"
#include "ops/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace axlstm::ops::cpu::HWY_NAMESPACE {

/// What autograd's softplus computes: beyond 20 the number itself.
inline Vector softplus(Vector x) {
  const Floats d;
  const auto far = hn::Set(d, 20.0F);
  return hn::IfThenElse(hn::Gt(x, far), x, hn::Log1p(d, hn::Exp(d, hn::Min(x, far))));
}

/// What the states of some channels see of a token.
struct Step {
  Vector u, raw, step, inflow;  ///< raw: before the softplus; inflow: Δ u

  Step(const Scan& p, std::int64_t t, std::int64_t channel, Vector bias)
      : u(hn::LoadU(Floats(), p.u[t] + channel)),
        raw(hn::Add(hn::LoadU(Floats(), p.delta[t] + channel), bias)),
        step(softplus(raw)),
        inflow(hn::Mul(step, u)) {}
};

/// Vectors of all states of some channels, [N, kLanes].
class States {
 public:
  explicit States(std::int64_t N) : N_(N) {}

  Vector get(std::int64_t n) const { return hn::Load(Floats(), data_ + n * kLanes); }
  void set(std::int64_t n, Vector x) { hn::Store(x, Floats(), data_ + n * kLanes); }

  void clear() { std::fill_n(data_, N_ * kLanes, 0.0F); }
  void load(const float* from, std::int64_t I) {  // of [N, I]
    for (std::int64_t n = 0; n < N_; ++n) set(n, hn::LoadU(Floats(), from + n * I));
  }
  void store(float* to, std::int64_t I) const {
    for (std::int64_t n = 0; n < N_; ++n) hn::StoreU(get(n), Floats(), to + n * I);
  }

 private:
  std::int64_t N_;
  HWY_ALIGN float data_[static_cast<std::size_t>(kMaxStates * kLanes)];
};

void RunScan(const Scan& p, std::int64_t begin, std::int64_t end) {
  const Floats d;
  States A(p.N), h(p.N);
  for (std::int64_t channel = begin; channel < end; channel += kLanes) {
    A.load(p.A + channel, p.I);
    h.clear();
    const auto skip = hn::LoadU(d, p.D + channel), bias = hn::LoadU(d, p.delta_bias + channel);
    for (std::int64_t t = 0; t < p.S; ++t) {
      if (p.states != nullptr && t % kScanChunk == 0) h.store(p.states + t / kScanChunk * p.N * p.I + channel, p.I);
      const Step now(p, t, channel, bias);
      const float *B = p.B[t], *C = p.C[t];
      auto y = hn::Mul(skip, now.u);
      for (std::int64_t n = 0; n < p.N; ++n) {
        const auto decay = hn::Exp(d, hn::Mul(now.step, A.get(n)));
        const auto next = hn::MulAdd(decay, h.get(n), hn::Mul(now.inflow, hn::Set(d, B[n])));
        h.set(n, next);
        y = hn::MulAdd(next, hn::Set(d, C[n]), y);
      }
      const auto z = hn::LoadU(d, p.z[t] + channel);
      hn::StoreU(hn::Mul(y, hn::Mul(z, sigmoid(z))), d, p.y + t * p.I + channel);
    }
  }
}

/// The backward pass, chunk by chunk from the last: the states of a chunk are computed again from that before it.
class Back {
 public:
  explicit Back(const ScanBackward& p)
      : p_(p),
        f_(p.forward),
        plane_(f_.N * kLanes),
        carried_(p.scratch),
        h_(carried_ + f_.N * f_.I),
        decay_(h_ + (kScanChunk + 1) * plane_),
        dB_(decay_ + kScanChunk * plane_),
        dC_(dB_ + kScanChunk * plane_) {}

  void run() {
    std::fill_n(carried_, f_.N * f_.I, 0.0F);
    for (std::int64_t chunk = f_.chunks() - 1; chunk >= 0; --chunk) {
      first_ = chunk * kScanChunk;
      tokens_ = std::min(kScanChunk, f_.S - first_);
      std::fill_n(dB_, 2 * kScanChunk * plane_, 0.0F);
      for (std::int64_t channel = 0; channel < f_.I; channel += kLanes) {
        again(chunk, channel);
        back(channel);
      }
      for (std::int64_t t = 0; t < tokens_; ++t) {
        for (std::int64_t n = 0; n < f_.N; ++n) {
          p_.dB[first_ + t][n] = total(hn::LoadU(Floats(), at(dB_, t, n)));
          p_.dC[first_ + t][n] = total(hn::LoadU(Floats(), at(dC_, t, n)));
        }
      }
    }
  }

 private:
  float* at(float* plane, std::int64_t t, std::int64_t n) const { return plane + t * plane_ + n * kLanes; }

  /// h_ (from the state before the chunk on) and decay_ of the chunk's tokens.
  void again(std::int64_t chunk, std::int64_t channel) {
    const Floats d;
    const float* kept = f_.states + chunk * f_.N * f_.I + channel;
    for (std::int64_t n = 0; n < f_.N; ++n) {
      A_.set(n, hn::LoadU(d, f_.A + n * f_.I + channel));
      hn::StoreU(hn::LoadU(d, kept + n * f_.I), d, at(h_, 0, n));
    }
    const auto bias = hn::LoadU(d, f_.delta_bias + channel);
    for (std::int64_t t = 0; t < tokens_; ++t) {
      const Step now(f_, first_ + t, channel, bias);
      const float* B = f_.B[first_ + t];
      for (std::int64_t n = 0; n < f_.N; ++n) {
        const auto decay = hn::Exp(d, hn::Mul(now.step, A_.get(n)));
        hn::StoreU(decay, d, at(decay_, t, n));
        const auto inflow = hn::Mul(now.inflow, hn::Set(d, B[n]));
        hn::StoreU(hn::MulAdd(decay, hn::LoadU(d, at(h_, t, n)), inflow), d, at(h_, t + 1, n));
      }
    }
  }

  void back(std::int64_t channel) {
    const Floats d;
    dA_.load(p_.dA + channel, f_.I);
    dh_.load(carried_ + channel, f_.I);
    const auto skip = hn::LoadU(d, f_.D + channel), bias = hn::LoadU(d, f_.delta_bias + channel);
    auto skip_sum = hn::LoadU(d, p_.dD + channel), bias_sum = hn::LoadU(d, p_.dbias + channel);
    for (std::int64_t t = tokens_ - 1; t >= 0; --t) {
      const std::int64_t token = first_ + t;
      const Step now(f_, token, channel, bias);
      const float *B = f_.B[token], *C = f_.C[token];
      const auto z = hn::LoadU(d, f_.z[token] + channel), gate = sigmoid(z), silu = hn::Mul(z, gate);
      const auto dout = hn::LoadU(d, p_.dy + token * f_.I + channel), dy = hn::Mul(dout, silu);

      auto y = hn::Mul(skip, now.u);
      auto dinflow = hn::Zero(d), dstep = hn::Zero(d);
      for (std::int64_t n = 0; n < f_.N; ++n) {
        const auto before = hn::LoadU(d, at(h_, t, n)), h = hn::LoadU(d, at(h_, t + 1, n));
        const auto decay = hn::LoadU(d, at(decay_, t, n));
        const auto c = hn::Set(d, C[n]);
        y = hn::MulAdd(h, c, y);
        add_product(at(dC_, t, n), dy, h);
        const auto dh = hn::MulAdd(dy, c, dh_.get(n));
        add_product(at(dB_, t, n), dh, now.inflow);
        dinflow = hn::MulAdd(dh, hn::Set(d, B[n]), dinflow);
        const auto carried = hn::Mul(dh, decay), dexponent = hn::Mul(carried, before);
        dstep = hn::MulAdd(dexponent, A_.get(n), dstep);
        dA_.set(n, hn::MulAdd(dexponent, now.step, dA_.get(n)));
        dh_.set(n, carried);
      }

      dstep = hn::MulAdd(dinflow, now.u, dstep);
      hn::StoreU(hn::MulAdd(dinflow, now.step, hn::Mul(dy, skip)), d, p_.du[token] + channel);
      const auto draw = hn::Mul(dstep, sigmoid(now.raw));  // softplus' is the sigmoid
      hn::StoreU(draw, d, p_.ddelta[token] + channel);
      bias_sum = hn::Add(bias_sum, draw);
      skip_sum = hn::MulAdd(dy, now.u, skip_sum);
      // SiLU'(x) = σ(x) (1 + x (1 − σ(x)))
      const auto slope = hn::Mul(gate, hn::Add(hn::Set(d, 1.0F), hn::Sub(z, silu)));
      hn::StoreU(hn::Mul(hn::Mul(dout, y), slope), d, p_.dz[token] + channel);
    }
    dA_.store(p_.dA + channel, f_.I);
    dh_.store(carried_ + channel, f_.I);
    hn::StoreU(skip_sum, d, p_.dD + channel);
    hn::StoreU(bias_sum, d, p_.dbias + channel);
  }

  static void add_product(float* to, Vector a, Vector b) {
    hn::StoreU(hn::MulAdd(a, b, hn::LoadU(Floats(), to)), Floats(), to);
  }

  const ScanBackward& p_;
  const Scan& f_;
  std::int64_t plane_;                   ///< floats of all states of some channels
  float* carried_;                       ///< [N, I] the gradient that the chunk behind hands to the states before it
  float* h_;                             ///< [1 + tokens, N, kLanes]
  float* decay_;                         ///< [tokens, N, kLanes]
  float *dB_, *dC_;                      ///< [tokens, N, kLanes] sums over channels, lane by lane
  std::int64_t first_ = 0, tokens_ = 0;  ///< of the chunk
  States A_{f_.N}, dA_{f_.N}, dh_{f_.N};
};

void RunBack(const ScanBackward& p) { Back(p).run(); }

void Convolve(const Convolution& p, std::int64_t begin, std::int64_t end) {
  const Floats d;
  for (std::int64_t channel = begin; channel < end; channel += kLanes) {
    const Taps taps(p.weight, p.bias, channel, p.I);
    auto a3 = hn::Zero(d), a2 = a3, a1 = a3;
    for (std::int64_t t = 0; t < p.S; ++t) {
      const auto a0 = hn::LoadU(d, p.a[t] + channel);
      const auto before = taps.of(a3, a2, a1, a0);
      hn::StoreU(hn::Mul(before, sigmoid(before)), d, p.c + t * p.I + channel);
      a3 = a2;
      a2 = a1;
      a1 = a0;
    }
  }
}

void ConvolveBackward(const ConvolutionBackward& p) {
  const Floats d;
  const Convolution& f = p.forward;
  for (std::int64_t channel = 0; channel < f.I; channel += kLanes) {
    const Taps taps(f.weight, f.bias, channel, f.I);
    TapsBackward back(taps);
    const float* a = f.a.data + channel;
    for (std::int64_t t = f.S - 1; t >= 0; --t) {
      const auto a0 = token(a, t, f.a.stride), a1 = token(a, t - 1, f.a.stride), a2 = token(a, t - 2, f.a.stride),
                 a3 = token(a, t - 3, f.a.stride);
      const auto before = taps.of(a3, a2, a1, a0);
      const auto dc = hn::LoadU(d, p.dc + t * f.I + channel);
      hn::StoreU(back.at(dc, before, sigmoid(before), a3, a2, a1, a0), d, p.da[t] + channel);
    }
    back.add(p.dweight + channel, p.dbias + channel, f.I);
  }
}

}  // namespace axlstm::ops::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace axlstm::ops::cpu {

HWY_EXPORT(RunScan);
HWY_EXPORT(RunBack);
HWY_EXPORT(Convolve);
HWY_EXPORT(ConvolveBackward);

std::int64_t ScanBackward::scratch_size() const {
  return forward.N * (forward.I + (4 * kScanChunk + 1) * kRowMultiple);
}

void scan(const Scan& scan, std::int64_t begin, std::int64_t end) { HWY_DYNAMIC_DISPATCH(RunScan)(scan, begin, end); }
void scan_backward(const ScanBackward& scan) { HWY_DYNAMIC_DISPATCH(RunBack)(scan); }
void convolve(const Convolution& convolution, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(Convolve)(convolution, begin, end);
}
void convolve_backward(const ConvolutionBackward& convolution) { HWY_DYNAMIC_DISPATCH(ConvolveBackward)(convolution); }

}  // namespace axlstm::ops::cpu
#endif
