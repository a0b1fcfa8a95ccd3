// What the kernels of attention within windows read and write. B batch, S sequence, NH heads, DH head dim. Tensors of
// tokens are float16 or bfloat16 and contiguous; everything else is float32.
#pragma once

#include <cstdint>

#include "mlstm_params.h"

namespace axlstm::kernels {

inline constexpr int kMaxWindowHeads = 32;

/// A head's tokens see those of their own window, with table[i − j + window − 1] added to the score of i and j.
struct WindowHeadParams {
  std::int32_t window = 0;    ///< tokens, which divide S; S where a head sees all
  std::int32_t table_at = 0;  ///< where its 2·window − 1 numbers begin
  bool has_table = false;
};

struct WindowParams {
  std::int64_t B = 0, S = 0, NH = 0, DH = 0;
  WindowHeadParams heads[kMaxWindowHeads];
  std::int64_t table_size = 0;   ///< of all heads
  const float* table = nullptr;  ///< [table_size]
  const void* qkv = nullptr;     ///< [B, S, 3, NH, DH]
  void* mixed = nullptr;         ///< [B, S, NH, DH]; written
  float* log_sum = nullptr;      ///< [B, NH, S] log₂ Σ_j exp(score_ij); written
};

struct WindowBackwardParams {
  WindowParams forward;          ///< mixed and log_sum are read
  const void* dmixed = nullptr;  ///< [B, S, NH, DH]
  void* dqkv = nullptr;          ///< [B, S, 3, NH, DH]; written
  float* table_parts = nullptr;  ///< [B, table_size], to be summed; written
};

}  // namespace axlstm::kernels
