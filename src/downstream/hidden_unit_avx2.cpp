#include "hidden_unit_avx2.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#ifdef __x86_64__
#include <immintrin.h>
#endif

// Fused multiply-adds stand just where ATen's AVX2 kernels have them: each changes the last digit.

namespace axlstm::downstream::avx2 {

#ifdef __x86_64__

#define AXLSTM_AVX2 __attribute__((target("avx2,fma")))

namespace {

constexpr std::int64_t kLanes = 8;

/// The raw words of a torch CPU generator's MT19937 (Matsumoto & Nishimura) state, many at a time; the generator goes
/// on behind them when the object ends. Torch calls its generator once a number, which costs more than the arithmetic.
class RawTwister {
 public:
  explicit RawTwister(at::CPUGeneratorImpl& generator) : generator_(generator), lock_(generator.mutex_) {
    data_ = generator.engine().data();
  }
  ~RawTwister() {
    at::mt19937 engine;
    engine.set_data(data_);
    generator_.set_engine(engine);
  }
  RawTwister(const RawTwister&) = delete;
  RawTwister& operator=(const RawTwister&) = delete;

  /// The next `count` words, not yet tempered.
  void fill(std::uint32_t* out, std::size_t count) {
    while (count > 0) {
      if (data_.left_ == 1) refill();
      const std::size_t part = std::min(count, static_cast<std::size_t>(data_.left_ - 1));
      std::copy_n(data_.state_.data() + data_.next_, part, out);
      data_.left_ -= static_cast<int>(part);
      data_.next_ += static_cast<std::uint32_t>(part);
      out += part;
      count -= part;
    }
  }

 private:
  static constexpr std::size_t kWords = 624, kShift = 397;

  AXLSTM_AVX2 static std::uint32_t twist(std::uint32_t u, std::uint32_t v) {
    return (((u & 0x80000000U) | (v & 0x7fffffffU)) >> 1) ^ ((0U - (v & 1U)) & 0x9908b0dfU);
  }

  AXLSTM_AVX2 void refill() {
    auto* s = data_.state_.data();
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

std::uint32_t temper(std::uint32_t y) {
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

AXLSTM_AVX2 inline __m256i all_lanes(std::uint32_t bits) { return _mm256_set1_epi32(static_cast<int>(bits)); }

AXLSTM_AVX2 inline __m256i temper(__m256i y) {
  y = _mm256_xor_si256(y, _mm256_srli_epi32(y, 11));
  y = _mm256_xor_si256(y, _mm256_and_si256(_mm256_slli_epi32(y, 7), all_lanes(0x9d2c5680U)));
  y = _mm256_xor_si256(y, _mm256_and_si256(_mm256_slli_epi32(y, 15), all_lanes(0xefc60000U)));
  return _mm256_xor_si256(y, _mm256_srli_epi32(y, 18));
}

/// Torch keeps a value if a 53-bit number, 21 bits of one draw above the 32 of the next, is below 1 - p.
struct KeepLimit {
  explicit KeepLimit(double p) : limit(static_cast<std::uint64_t>(std::ceil(std::ldexp(1.0 - p, 53)))) {}

  std::uint64_t limit;
  std::uint32_t high() const { return static_cast<std::uint32_t>(limit >> 32); }
  bool keeps(const std::uint32_t* words) const {
    const std::uint64_t number = std::uint64_t{temper(words[0]) & 0x1fffffU} << 32 | temper(words[1]);
    return number < limit;
  }
};

/// All bits of a lane are set if the value is kept; `words` are the 16 draws of eight values.
AXLSTM_AVX2 inline __m256 kept_lanes(const std::uint32_t* words, const KeepLimit& limit) {
  const __m256 first = _mm256_loadu_ps(reinterpret_cast<const float*>(words));
  const __m256 second = _mm256_loadu_ps(reinterpret_cast<const float*>(words + kLanes));
  const __m256 even = _mm256_shuffle_ps(first, second, 0x88);  // draws 0 2 8 10, 4 6 12 14
  const __m256i high_words = _mm256_permute4x64_epi64(_mm256_castps_si256(even), 0xd8);
  const __m256i high = _mm256_and_si256(temper(high_words), all_lanes(0x1fffffU));
  const __m256i bound = all_lanes(limit.high());
  if (_mm256_testz_si256(_mm256_cmpeq_epi32(high, bound), _mm256_set1_epi32(-1)) == 0) {
    // One in 260,000 times the low bits decide.
    alignas(32) std::int32_t kept[kLanes];
    for (std::int64_t i = 0; i < kLanes; ++i) kept[i] = limit.keeps(words + 2 * i) ? -1 : 0;
    return _mm256_castsi256_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(kept)));
  }
  return _mm256_castsi256_ps(_mm256_cmpgt_epi32(bound, high));
}

/// All bits of lane i are set if bit i is.
AXLSTM_AVX2 inline __m256 lanes_of(std::uint8_t bits) {
  const __m256i lane_bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i chosen = _mm256_and_si256(_mm256_set1_epi32(bits), lane_bit);
  return _mm256_castsi256_ps(_mm256_cmpeq_epi32(chosen, lane_bit));
}

/// Of eight normalised values, from those of the outputs.
AXLSTM_AVX2 inline __m256 gradient(const float* grad_y, std::uint8_t passed, __m256 scale) {
  return _mm256_and_ps(_mm256_mul_ps(_mm256_loadu_ps(grad_y), scale), lanes_of(passed));
}

/// From the sums of squares. Never inlined, so that it has no fused multiply-adds: this part of ATen has none.
__attribute__((noinline)) void finish_statistics(const Shape& shape, const std::vector<float>& squares,
                                                 const float* mean, float* invstd, double eps, double momentum,
                                                 float* running_mean, float* running_var) {
  const auto rows = static_cast<float>(shape.B);
  const auto share = static_cast<float>(momentum);
  for (std::int64_t c = 0; c < shape.C; ++c) {
    const double variance = squares[c] / rows, unbiased = squares[c] / (rows - 1.0F);
    invstd[c] = static_cast<float>(1.0 / std::sqrt(variance + eps));
    running_mean[c] = share * mean[c] + (1.0F - share) * running_mean[c];
    running_var[c] = static_cast<float>(share * unbiased + (1.0F - share) * running_var[c]);
  }
}

float scale_of(double p) { return 1.0F / static_cast<float>(1.0 - p); }

}  // namespace

bool supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

AXLSTM_AVX2 void batch_statistics(const Shape& shape, const float* x, float* mean, float* invstd, double eps,
                                  double momentum, float* running_mean, float* running_var) {
  const auto [B, C] = shape;
  const auto rows = static_cast<float>(B);
  std::vector<float> sums(static_cast<std::size_t>(C), 0.0F), squares(static_cast<std::size_t>(C), 0.0F);
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t c = 0; c < C; c += kLanes) {
      _mm256_storeu_ps(&sums[c], _mm256_add_ps(_mm256_loadu_ps(&sums[c]), _mm256_loadu_ps(x + b * C + c)));
    }
  }
  for (std::int64_t c = 0; c < C; ++c) mean[c] = sums[c] / rows;
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t c = 0; c < C; c += kLanes) {
      const __m256 centred = _mm256_sub_ps(_mm256_loadu_ps(x + b * C + c), _mm256_loadu_ps(mean + c));
      _mm256_storeu_ps(&squares[c], _mm256_fmadd_ps(centred, centred, _mm256_loadu_ps(&squares[c])));
    }
  }
  finish_statistics(shape, squares, mean, invstd, eps, momentum, running_mean, running_var);
}

AXLSTM_AVX2 void forward(const Shape& shape, const float* x, const Normalisation& norm, double p,
                         at::CPUGeneratorImpl& generator, float* y, std::uint8_t* passed) {
  const auto [B, C] = shape;
  std::vector<float> factor(static_cast<std::size_t>(C)), offset(static_cast<std::size_t>(C));
  for (std::int64_t c = 0; c < C; ++c) {
    factor[c] = norm.invstd[c] * norm.weight[c];
    offset[c] = std::fma(-norm.mean[c], factor[c], norm.bias[c]);
  }
  const KeepLimit limit(p);
  const __m256 scale = _mm256_set1_ps(scale_of(p)), zero = _mm256_setzero_ps();
  std::vector<std::uint32_t> words(static_cast<std::size_t>(2 * C));
  RawTwister twister(generator);
  for (std::int64_t b = 0; b < B; ++b) {
    twister.fill(words.data(), words.size());
    for (std::int64_t c = 0; c < C; c += kLanes) {
      const __m256 value =
          _mm256_fmadd_ps(_mm256_loadu_ps(x + b * C + c), _mm256_loadu_ps(&factor[c]), _mm256_loadu_ps(&offset[c]));
      const __m256 kept = kept_lanes(&words[2 * c], limit);
      const __m256 dropped = _mm256_mul_ps(value, _mm256_and_ps(scale, kept));
      const __m256 result = _mm256_max_ps(zero, dropped);  // the second operand if one is NaN: NaN stays
      _mm256_storeu_ps(y + b * C + c, result);
      *passed++ = static_cast<std::uint8_t>(_mm256_movemask_ps(_mm256_cmp_ps(result, zero, _CMP_NEQ_UQ)));
    }
  }
}

AXLSTM_AVX2 void backward(const Shape& shape, const float* x, const Normalisation& norm, double p,
                          const std::uint8_t* passed, const float* grad_y, float* grad_x, float* grad_weight,
                          float* grad_bias) {
  const auto [B, C] = shape;
  const __m256 scale = _mm256_set1_ps(scale_of(p)), rows = _mm256_set1_ps(static_cast<float>(B));
  std::vector<float> dots(static_cast<std::size_t>(C), 0.0F), slope(static_cast<std::size_t>(C)),
      shift(static_cast<std::size_t>(C));
  std::fill_n(grad_bias, C, 0.0F);
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t c = 0; c < C; c += kLanes) {
      const __m256 dy = gradient(grad_y + b * C + c, passed[(b * C + c) / kLanes], scale);
      const __m256 centred = _mm256_sub_ps(_mm256_loadu_ps(x + b * C + c), _mm256_loadu_ps(norm.mean + c));
      _mm256_storeu_ps(grad_bias + c, _mm256_add_ps(_mm256_loadu_ps(grad_bias + c), dy));
      _mm256_storeu_ps(&dots[c], _mm256_fmadd_ps(centred, dy, _mm256_loadu_ps(&dots[c])));
    }
  }
  for (std::int64_t c = 0; c < C; c += kLanes) {
    const __m256 dot = _mm256_loadu_ps(&dots[c]), invstd = _mm256_loadu_ps(norm.invstd + c);
    _mm256_storeu_ps(&slope[c], _mm256_div_ps(_mm256_mul_ps(_mm256_mul_ps(dot, invstd), invstd), rows));
    _mm256_storeu_ps(&shift[c], _mm256_div_ps(_mm256_loadu_ps(grad_bias + c), rows));
    _mm256_storeu_ps(grad_weight + c, _mm256_mul_ps(dot, invstd));
  }
  for (std::int64_t b = 0; b < B; ++b) {
    for (std::int64_t c = 0; c < C; c += kLanes) {
      const __m256 centred = _mm256_sub_ps(_mm256_loadu_ps(x + b * C + c), _mm256_loadu_ps(norm.mean + c));
      const __m256 dy =
          _mm256_sub_ps(gradient(grad_y + b * C + c, passed[(b * C + c) / kLanes], scale), _mm256_loadu_ps(&shift[c]));
      const __m256 inner = _mm256_fnmadd_ps(centred, _mm256_loadu_ps(&slope[c]), dy);
      const __m256 scaled = _mm256_mul_ps(inner, _mm256_loadu_ps(norm.invstd + c));
      _mm256_storeu_ps(grad_x + b * C + c, _mm256_mul_ps(scaled, _mm256_loadu_ps(norm.weight + c)));
    }
  }
}

#else

bool supported() { return false; }
void batch_statistics(const Shape&, const float*, float*, float*, double, double, float*, float*) {}
void forward(const Shape&, const float*, const Normalisation&, double, at::CPUGeneratorImpl&, float*, std::uint8_t*) {}
void backward(const Shape&, const float*, const Normalisation&, double, const std::uint8_t*, const float*, float*,
              float*, float*) {}

#endif

}  // namespace axlstm::downstream::avx2
