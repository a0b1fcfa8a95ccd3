#include "axlstm/hear/python_random.h"

#include <bit>

#include "axlstm/core/error.h"

namespace axlstm::hear {

PythonRandom::PythonRandom(std::uint64_t seed) {
  std::vector<std::uint32_t> key{static_cast<std::uint32_t>(seed)};
  if (seed >> 32 != 0) key.push_back(static_cast<std::uint32_t>(seed >> 32));

  const auto mixed = [this](std::size_t i) { return state_[i - 1] ^ (state_[i - 1] >> 30); };
  state_[0] = 19650218U;
  for (std::size_t i = 1; i < kStateWords; ++i) state_[i] = 1812433253U * mixed(i) + static_cast<std::uint32_t>(i);

  std::size_t i = 1;
  const auto advance = [&] {
    if (++i == kStateWords) {
      state_[0] = state_[kStateWords - 1];
      i = 1;
    }
  };
  for (std::size_t step = 0; step < kStateWords; ++step) {
    const std::size_t j = step % key.size();
    state_[i] = (state_[i] ^ (mixed(i) * 1664525U)) + key[j] + static_cast<std::uint32_t>(j);
    advance();
  }
  for (std::size_t step = 1; step < kStateWords; ++step) {
    state_[i] = (state_[i] ^ (mixed(i) * 1566083941U)) - static_cast<std::uint32_t>(i);
    advance();
  }
  state_[0] = 0x80000000U;
}

void PythonRandom::refill() {
  constexpr std::size_t kShift = 397;
  for (std::size_t i = 0; i < kStateWords; ++i) {
    const std::uint32_t joined = (state_[i] & 0x80000000U) | (state_[(i + 1) % kStateWords] & 0x7fffffffU);
    state_[i] = state_[(i + kShift) % kStateWords] ^ (joined >> 1) ^ ((joined & 1U) != 0 ? 0x9908b0dfU : 0U);
  }
  next_ = 0;
}

std::uint32_t PythonRandom::next_u32() {
  if (next_ == kStateWords) refill();
  std::uint32_t y = state_[next_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

std::uint32_t PythonRandom::below(std::uint32_t bound) {
  AXLSTM_CHECK(bound > 0, "a random number below 0 is asked for");
  const int bits = std::bit_width(bound);
  std::uint32_t value = bound;
  while (value >= bound) value = next_u32() >> (32 - bits);
  return value;
}

}  // namespace axlstm::hear
