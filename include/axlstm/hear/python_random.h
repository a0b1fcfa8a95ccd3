// CPython's `random.Random`, as far as HEAR's tools use it: the official row order of embeddings and the order of
// the hyper-parameter grid come from `random.shuffle`, so equal numbers need the same generator.
//
// Source of the algorithms: Matsumoto & Nishimura, "Mersenne Twister" (1998), with their initialisation by array
// (2002); CPython seeds it with the 32-bit words of the integer and shuffles by rejection sampling of bits.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace axlstm::hear {

class PythonRandom {
 public:
  /// The state after Python's `random.seed(seed)`.
  explicit PythonRandom(std::uint64_t seed);

  /// The generator's next 32 bits, uniform.
  std::uint32_t next_u32();

  /// Uniform in [0, bound), as `Random._randbelow` draws it; 0 < bound < 2^32.
  std::uint32_t below(std::uint32_t bound);

  /// Python's `random.shuffle(items)`, in place; at most 2^32 - 2 items.
  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      using std::swap;
      swap(items[i - 1], items[below(static_cast<std::uint32_t>(i))]);
    }
  }

 private:
  static constexpr std::size_t kStateWords = 624;

  void refill();

  std::array<std::uint32_t, kStateWords> state_{};
  std::size_t next_ = kStateWords;
};

}  // namespace axlstm::hear
