#include "dropout.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

namespace axlstm::hear {
namespace {

/// The numbers of a torch CPU generator, many at a time; the generator goes on behind them when the object ends.
/// The algorithm is Matsumoto & Nishimura's MT19937; torch calls it once a number, which costs more than the
/// arithmetic.
class BulkTwister {
 public:
  explicit BulkTwister(at::CPUGeneratorImpl& generator) : generator_(generator), lock_(generator.mutex_) {
    data_ = generator.engine().data();
  }
  ~BulkTwister() {
    at::mt19937 engine;
    engine.set_data(data_);
    generator_.set_engine(engine);
  }
  BulkTwister(const BulkTwister&) = delete;
  BulkTwister& operator=(const BulkTwister&) = delete;

  void fill(std::uint32_t* out, std::size_t count) {
    while (count > 0) {
      if (data_.left_ == 1) refill();
      const std::size_t part = std::min(count, static_cast<std::size_t>(data_.left_ - 1));
      const std::uint32_t* state = data_.state_.data() + data_.next_;
      for (std::size_t i = 0; i < part; ++i) {
        std::uint32_t y = state[i];
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c5680U;
        y ^= (y << 15) & 0xefc60000U;
        out[i] = y ^ (y >> 18);
      }
      data_.left_ -= static_cast<int>(part);
      data_.next_ += static_cast<std::uint32_t>(part);
      out += part;
      count -= part;
    }
  }

 private:
  static constexpr std::size_t kWords = 624, kShift = 397;

  void refill() {
    auto* s = data_.state_.data();
    const auto twist = [](std::uint32_t u, std::uint32_t v) {
      return (((u & 0x80000000U) | (v & 0x7fffffffU)) >> 1) ^ ((0U - (v & 1U)) & 0x9908b0dfU);
    };
    // Three loops without a modulus, which the compiler turns into vector instructions.
    for (std::size_t i = 0; i < kWords - kShift; ++i) s[i] = s[i + kShift] ^ twist(s[i], s[i + 1]);
    for (std::size_t i = kWords - kShift; i < kWords - 1; ++i) s[i] = s[i + kShift - kWords] ^ twist(s[i], s[i + 1]);
    s[kWords - 1] = s[kShift - 1] ^ twist(s[kWords - 1], s[0]);
    data_.left_ = kWords + 1;  // one more than there are numbers, as torch counts
    data_.next_ = 0;
  }

  at::CPUGeneratorImpl& generator_;
  std::lock_guard<std::mutex> lock_;
  at::mt19937_data_pod data_;
};

// Comparisons of floats, and branches on random bits, would keep the compiler from vector instructions: the loops
// below work on the bits.

/// max(x, 0) that leaves NaN as it is: negative numbers are the smallest integers, NaN with a sign come above them.
float positive_part(float x) {
  constexpr auto kMinusInfinity = static_cast<std::int32_t>(0xff800000U);
  const auto bits = std::bit_cast<std::int32_t>(x);
  const std::int32_t positive = bits > kMinusInfinity;
  return std::bit_cast<float>(bits & (0 - positive));
}

/// One pass over the data instead of torch's five. Torch keeps a value if a 53-bit number made of two draws is below
/// 1 - p.
class DropoutRelu : public torch::autograd::Function<DropoutRelu> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* ctx, const torch::Tensor& input, double p,
                               at::CPUGeneratorImpl* generator) {
    const torch::Tensor x = input.contiguous();
    torch::Tensor y = torch::empty_like(x);
    const auto limit = static_cast<std::uint64_t>(std::ceil(std::ldexp(1.0 - p, 53)));
    const auto limit_high = static_cast<std::uint32_t>(limit >> 32), limit_low = static_cast<std::uint32_t>(limit);
    const float scale = 1.0F / static_cast<float>(1.0 - p);
    const auto scale_bits = std::bit_cast<std::uint32_t>(scale);
    constexpr std::size_t kBlock = 2048;
    std::uint32_t draws[2 * kBlock];
    const float* in = x.const_data_ptr<float>();
    float* out = y.mutable_data_ptr<float>();
    BulkTwister twister(*generator);
    const auto n = static_cast<std::size_t>(x.numel());
    for (std::size_t first = 0; first < n; first += kBlock) {
      const std::size_t count = std::min(kBlock, n - first);
      twister.fill(draws, 2 * count);
      for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t high = draws[2 * i] & 0x1fffffU, low = draws[2 * i + 1];
        const std::uint32_t keep = (high < limit_high) | ((high == limit_high) & (low < limit_low));
        const float dropped = in[first + i] * std::bit_cast<float>(scale_bits & (0U - keep));
        out[first + i] = positive_part(dropped);
      }
    }
    ctx->save_for_backward({y});
    ctx->saved_data["scale"] = static_cast<double>(scale);
    return y;
  }

  /// Where the output is not 0, the input was kept and positive.
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    const torch::Tensor y = ctx->get_saved_variables().front();
    const torch::Tensor gradient = gradients.front().contiguous();
    torch::Tensor result = torch::empty_like(gradient);
    const auto scale = static_cast<float>(ctx->saved_data["scale"].toDouble());
    const float *values = y.const_data_ptr<float>(), *in = gradient.const_data_ptr<float>();
    float* out = result.mutable_data_ptr<float>();
    for (std::int64_t i = 0; i < result.numel(); ++i) {
      const std::uint32_t passed = std::bit_cast<std::uint32_t>(values[i]) != 0;
      out[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(in[i] * scale) & (0U - passed));
    }
    return {result, torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor dropout_relu(const torch::Tensor& x, double p, at::Generator& generator) {
  if (p == 0.0) return torch::relu(x);
  if (x.is_cpu()) return DropoutRelu::apply(x, p, generator.get<at::CPUGeneratorImpl>());
  const torch::Tensor kept = torch::empty_like(x, x.options().requires_grad(false));
  return torch::relu(x * kept.bernoulli_(1.0 - p, generator).div_(1.0 - p));
}

}  // namespace axlstm::hear
