// What the kernels beside the products of linear layers read and write. Tensors of tokens are float16 or bfloat16 and
// contiguous, their widths multiples of kLinearVector; sums are float32.
#pragma once

#include <cstdint>

#include "mlstm_params.h"

namespace axlstm::kernels {

inline constexpr int kLinearVector = 8;  // channels that a thread reads at once

/// The GELU behind a product: none, x Φ(x), or that with tanh in place of the error function.
enum class Gelu { kNone, kErf, kTanh };

struct GeluParams {
  std::int64_t count = 0;  ///< of elements
  Gelu gelu = Gelu::kErf;
  const void* x = nullptr;
  void* y = nullptr;  ///< written
};

/// The way back of gelu(x W + b): dx = dy · gelu'(x), and the sums of dx over tokens, b's gradient, in parts. Without a
/// GELU dx is dy, and is not written.
struct BiasGradientParams {
  std::int64_t tokens = 0, N = 0;
  Gelu gelu = Gelu::kNone;
  const void* dy = nullptr;  ///< [tokens, N]
  const void* x = nullptr;   ///< [tokens, N], what went through the GELU
  void* dx = nullptr;        ///< [tokens, N]; written
  int part_count = 0;
  float* parts = nullptr;  ///< [part_count, N]; written
};

struct SumPartsParams {
  std::int64_t parts = 0, N = 0;
  const float* from = nullptr;  ///< [parts, N]
  float* to = nullptr;          ///< [N]; written
};

}  // namespace axlstm::kernels
