// What a Mamba mixer computes between its matrix products on the CPU, for one clip in float32, by the widest vector
// instructions that the processor has: lanes are channels, tokens follow one another. S tokens, I channels (a multiple
// of kRowMultiple), N states. Formulas: ops/selective_scan.h.
#pragma once

#include <cstdint>

#include "rows.h"

namespace axlstm::ops::cpu {

inline constexpr std::int64_t kMaxStates = 64;
inline constexpr std::int64_t kScanChunk = 16;  // tokens between the states that are kept for the backward pass

/// A matrix whose rows are tokens: of a tensor of its own, or columns of a wider one.
template <typename Float>
struct TokenRows {
  Float* data = nullptr;
  std::int64_t stride = 0;  ///< floats from token to token

  Float* operator[](std::int64_t t) const { return data + t * stride; }
};

struct Scan {
  std::int64_t S = 0, I = 0, N = 0;
  TokenRows<const float> u, delta, z;               ///< I columns
  TokenRows<const float> B, C;                      ///< N columns
  const float* A = nullptr;                         ///< [N, I], all below 0
  const float *D = nullptr, *delta_bias = nullptr;  ///< [I]
  float* states = nullptr;                          ///< [chunks, N, I] h before each chunk; written unless null
  float* y = nullptr;                               ///< [S, I]; written

  std::int64_t chunks() const { return (S + kScanChunk - 1) / kScanChunk; }
};

struct ScanBackward {
  Scan forward;                           ///< states are read; y is not used
  const float* dy = nullptr;              ///< [S, I]
  TokenRows<float> du, ddelta, dz;        ///< written
  TokenRows<float> dB, dC;                ///< written
  float* dA = nullptr;                    ///< [N, I]; added to
  float *dD = nullptr, *dbias = nullptr;  ///< [I]; added to
  float* scratch = nullptr;               ///< scratch_size() floats

  std::int64_t scratch_size() const;
};

/// c = SiLU(causal convolution of a).
struct Convolution {
  std::int64_t S = 0, I = 0;
  TokenRows<const float> a;
  const float *weight = nullptr, *bias = nullptr;  ///< [4 (tap, oldest first), I], [I]
  float* c = nullptr;                              ///< [S, I]; written
};

struct ConvolutionBackward {
  Convolution forward;                         ///< c is not used
  const float* dc = nullptr;                   ///< [S, I]
  TokenRows<float> da;                         ///< written
  float *dweight = nullptr, *dbias = nullptr;  ///< [4, I], [I]; added to
};

void scan(const Scan& scan, std::int64_t begin, std::int64_t end);                    ///< channels begin … end − 1
void scan_backward(const ScanBackward& scan);                                         ///< all channels
void convolve(const Convolution& convolution, std::int64_t begin, std::int64_t end);  ///< channels
void convolve_backward(const ConvolutionBackward& convolution);                       ///< all channels

}  // namespace axlstm::ops::cpu
