// What the kernels around the cell read and write: everything of a layer but its two matrix products. B batch, S
// sequence, I inner width, NH heads, D width. "narrow" tensors are float16 or bfloat16, everything else is float32;
// all are contiguous unless a stride is given.
#pragma once

#include <vector_types.h>

#include <cstdint>

#include "mlstm_params.h"

namespace axlstm::kernels {

inline constexpr int kGates = 8;            // input and forget gate of four heads
inline constexpr int kConvTaps = 4;         // of the causal convolution
inline constexpr int kProjectionBlock = 4;  // channels of a block of the block-diagonal projections

struct BlockShape {
  std::int64_t B = 0, S = 0, I = 0, NH = 0;
};

/// sum = x + y and u = LayerNorm(sum) ⊙ (weight_offset + weight) + bias; y and u may run backwards in time.
struct AddNormParams {
  std::int64_t B = 0, S = 0, D = 0;
  float eps = 1e-5F, weight_offset = 1.0F;
  bool reverse_y = false, reverse_u = false;
  const float* x = nullptr;       ///< [B, S, D]
  const void* y = nullptr;        ///< [B, S, D] narrow, or null
  const float* weight = nullptr;  ///< [D]
  const float* bias = nullptr;    ///< [D], or null: 0
  float* sum = nullptr;           ///< [B, S, D]; written
  void* u = nullptr;              ///< [B, S, D] narrow; written
};

struct AddNormBackwardParams {
  AddNormParams forward;           ///< its x, y and u are not used
  const float* dsum = nullptr;     ///< [B, S, D] gradient that reaches `sum` elsewhere, or null
  const void* du = nullptr;        ///< [B, S, D] narrow
  float* dx = nullptr;             ///< [B, S, D]; written
  void* dy = nullptr;              ///< [B, S, D] narrow, in y's order; written unless null
  float* dweight_parts = nullptr;  ///< [parts, D], to be summed; written
  float* dbias_parts = nullptr;    ///< [parts, D], to be summed; written unless null
  int parts = 0;
};

struct GateWeights {
  std::int64_t I = 0;
  const float *i_weight = nullptr, *f_weight = nullptr;                       ///< [4, 3I]: of q, k, v
  const float *q_weight = nullptr, *k_weight = nullptr, *v_weight = nullptr;  ///< [I/4, 4 (out), 4 (in)]
};

/// The gates' weights seen from c and a: W_q B_q + W_k B_k and W_v B_v, with B block-diagonal.
struct FoldGatesParams {
  GateWeights weights;
  float *c_weight = nullptr, *a_weight = nullptr;  ///< [8, I]: i, then f; written
};

/// The weights with which the cell makes scores of c and values of a: CellWeights.
struct PackWeightsParams {
  GateWeights weights;
  std::int64_t NH = 0;
  std::int64_t eighths = 0;                            ///< hopper_eighths()
  std::uint32_t *scores = nullptr, *values = nullptr;  ///< [packed_weights()]: W_kᵀ W_q and W_v; written
};

struct FoldGatesBackwardParams {
  GateWeights weights;
  const float *dc_weight = nullptr, *da_weight = nullptr;                  ///< [8, I]
  float *di_weight = nullptr, *df_weight = nullptr;                        ///< [4, 3I]; written
  const float* dscore_weight = nullptr;                                    ///< [I/4, 4, 4], or null
  float *dq_weight = nullptr, *dk_weight = nullptr, *dv_weight = nullptr;  ///< [I/4, 4, 4]; added to
};

/// From the up-projection [a, z]: c = SiLU(causal conv(a)); q, k = block-diagonal(c), v = block-diagonal(a); and the
/// gates' preactivations from the gate weights folded with those projections: c_weight c + a_weight a + bias.
struct BlockInputParams {
  BlockShape shape;
  const void* up = nullptr;                                                   ///< [B, S, 2I] narrow
  const float *conv_weight = nullptr, *conv_bias = nullptr;                   ///< [I, 4], [I]
  const float *q_weight = nullptr, *k_weight = nullptr, *v_weight = nullptr;  ///< [I/4, 4 (out), 4 (in)]
  const float *c_weight = nullptr, *a_weight = nullptr;                       ///< [8, I]: i, then f
  const float *i_bias = nullptr, *f_bias = nullptr;                           ///< [4]
  void *c = nullptr, *q = nullptr, *k = nullptr, *v = nullptr;                ///< [B, S, I] narrow; written unless null
  float* gates = nullptr;                                                     ///< [2, B, S, 4]: i, f; written
};

/// Rows of BlockInputBackwardParams::parts, each [I].
inline constexpr int kConvRows = 0;  // four rows that are dconv_weight [I, 4 (tap)]
inline constexpr int kConvBiasRow = kConvRows + kConvTaps;
inline constexpr int kSkipRow = kConvBiasRow + 1;
inline constexpr int kNormRow = kSkipRow + 1;
inline constexpr int kQRows = kNormRow + 1;  // four rows that are [I/4, 4 (out), 4 (in)]
inline constexpr int kKRows = kQRows + kProjectionBlock;
inline constexpr int kVRows = kKRows + kProjectionBlock;
inline constexpr int kCGateRows = kVRows + kProjectionBlock;  // [8]
inline constexpr int kAGateRows = kCGateRows + kGates;        // [8]
inline constexpr int kInputRows = kAGateRows + kGates;

struct BlockInputBackwardParams {
  BlockInputParams forward;                                ///< c, q, k, v, gates are not used
  const void *dq = nullptr, *dk = nullptr, *dv = nullptr;  ///< [B, S, I] narrow; without dk, dq is c's, of the scores
  const float* dgates = nullptr;                           ///< [2, B, S, 4]
  const void* dmix = nullptr;                              ///< [B, S, I] narrow: gradient of norm(h) + skip ⊙ c
  const void* h = nullptr;                                 ///< [B, S, I] narrow
  const float2* h_norm = nullptr;                          ///< [B, S, NH] mean and 1 / deviation of h's heads
  const float* skip = nullptr;                             ///< [I]
  void* dup = nullptr;                                     ///< [B, S, 2I] narrow: its first half is written
  float* parts = nullptr;                                  ///< [part_count, kInputRows, I], to be summed; written
  int part_count = 0;
};

/// out = (GroupNorm(h) ⊙ (1 + weight) + skip ⊙ c) ⊙ SiLU(z), the norm over each head.
struct BlockOutputParams {
  BlockShape shape;
  float eps = 1e-5F;
  const void *h = nullptr, *c = nullptr, *up = nullptr;  ///< narrow; z is up's second half
  const float *weight = nullptr, *skip = nullptr;        ///< [I]
  void* out = nullptr;                                   ///< [B, S, I] narrow; written
};

struct BlockOutputBackwardParams {
  BlockOutputParams forward;  ///< out is written again, for the down-projection's weight, or null
  const void* dout = nullptr;
  void *dh = nullptr, *dmix = nullptr;  ///< [B, S, I] narrow; written. dmix may be dout
  void* dup = nullptr;                  ///< [B, S, 2I] narrow: its second half is written
  float2* h_norm = nullptr;             ///< [B, S, NH]; written
};

}  // namespace axlstm::kernels
