// What the kernels of Mamba's mixer read and write. B batch, S sequence, I channels, N states of a channel. Tensors of
// tokens are all of one type, float32, float16 or bfloat16; everything else is float32.
#pragma once

#include <cstdint>

#include "mlstm_params.h"

namespace axlstm::kernels {

struct ScanShape {
  std::int64_t B = 0, S = 0, I = 0, N = 0;
};

/// A tensor [B, S, columns] whose columns are contiguous; strides in elements, even.
struct TokenRows {
  void* data = nullptr;
  std::int64_t clip_stride = 0, token_stride = 0;
};

/// y of ops/selective_scan.h.
struct ScanParams {
  ScanShape shape;
  TokenRows u, delta, z;        ///< [B, S, I]
  TokenRows B, C;               ///< [B, S, N]
  const float* A = nullptr;     ///< [N, I], below 0
  const float* D = nullptr;     ///< [I]
  const float* bias = nullptr;  ///< [I] of delta
  void* states = nullptr;       ///< of the tokens' type: h before each chunk; written unless null
  TokenRows y;                  ///< [B, S, I]; written
};

struct ScanBackwardParams {
  ScanParams forward;             ///< states are read; y is not used
  TokenRows dy;                   ///< [B, S, I]
  TokenRows du, ddelta, dz;       ///< [B, S, I]; written
  float* dBC_parts = nullptr;     ///< [parts, B, S, 2N]: of B, then of C, to be summed; written
  float* dA_parts = nullptr;      ///< [B, N, I], to be summed; written
  float* vector_parts = nullptr;  ///< [B, 2, I]: of D and bias, to be summed; written
};

/// c = SiLU(causal depthwise convolution of a).
struct ConvolutionParams {
  ScanShape shape;
  TokenRows a;                                     ///< [B, S, I]
  const float *weight = nullptr, *bias = nullptr;  ///< [4 (tap, oldest first), I], [I]
  TokenRows c;                                     ///< [B, S, I]; written
};

struct ConvolutionBackwardParams {
  ConvolutionParams forward;  ///< c is not used
  TokenRows dc;               ///< [B, S, I]
  TokenRows da;               ///< [B, S, I]; written
  float* parts = nullptr;     ///< [B · stretches, 5, I]: of the four taps and the bias, to be summed; written
};

}  // namespace axlstm::kernels
