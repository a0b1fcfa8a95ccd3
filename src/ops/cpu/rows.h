// What a block computes between its matrix products on the CPU, for one clip in float32: row by row, by the widest
// vector instructions that the processor has. S tokens, D width, I inner width, NH heads of DH = I / NH channels. All
// tensors are contiguous; q, k, v, h are [NH, S, DH]. D and DH are multiples of kRowMultiple.
#pragma once

#include <cstdint>

namespace axlstm::ops::cpu {

inline constexpr std::int64_t kRowMultiple = 16;     // floats: the widest vector
inline constexpr std::int64_t kConvTaps = 4;         // of the causal convolution
inline constexpr std::int64_t kProjectionBlock = 4;  // channels of one block of the block-diagonal projections

/// sum = x + y and u = LayerNorm(sum) ⊙ (1 + weight); y and u may run backwards in time.
struct NormRows {
  std::int64_t S = 0, D = 0;
  float eps = 1e-5F;
  bool reverse_y = false, reverse_u = false;
  const float* x = nullptr;       ///< [S, D]
  const float* y = nullptr;       ///< [S, D], or null
  const float* weight = nullptr;  ///< [D]
  float* sum = nullptr;           ///< [S, D]; written unless null. May be x
  float* u = nullptr;             ///< [S, D]; written
};

struct NormRowsBackward {
  NormRows forward;             ///< x is the sum; y, sum and u are not used
  const float* dsum = nullptr;  ///< [S, D] gradient that reaches the sum elsewhere, or null
  const float* du = nullptr;    ///< [S, D]
  float* dx = nullptr;          ///< [S, D]; written
  float* dy = nullptr;          ///< [S, D], in y's order; written unless null
  float* dweight = nullptr;     ///< [D]; added to
};

/// A block-diagonal projection as four diagonals [4, I]: row r holds the weight from channel o ^ r to channel o of each
/// block, for shuffles within four lanes bring those channels together.
struct InputWeights {
  const float *conv = nullptr, *conv_bias = nullptr;     ///< [4 (tap), I], [I]
  const float *q = nullptr, *k = nullptr, *v = nullptr;  ///< [4, I]
};

/// c = SiLU(causal convolution of a); q, k = block-diagonal(c), v = block-diagonal(a).
struct InputRows {
  std::int64_t S = 0, I = 0, DH = 0;
  const float* up = nullptr;  ///< [S, 2I]: a, z
  InputWeights weights;
  float* c = nullptr;                              ///< [S, I]; written
  float *q = nullptr, *k = nullptr, *v = nullptr;  ///< written
};

/// Rows of InputRowsBackward::sums.
inline constexpr std::int64_t kConvSums = 0;  // [4 (tap)]
inline constexpr std::int64_t kConvBiasSum = kConvSums + kConvTaps;
inline constexpr std::int64_t kQSums = kConvBiasSum + 1;  // [4]
inline constexpr std::int64_t kKSums = kQSums + kProjectionBlock;
inline constexpr std::int64_t kVSums = kKSums + kProjectionBlock;
inline constexpr std::int64_t kInputSums = kVSums + kProjectionBlock;

struct InputRowsBackward {
  InputRows forward;  ///< c, q, k, v are not used
  const float *dq = nullptr, *dk = nullptr, *dv = nullptr;
  const float* dc = nullptr;  ///< [S, I] what reaches c elsewhere
  float* dup = nullptr;       ///< [S, 2I]: its first half is added to
  float* sums = nullptr;      ///< [kInputSums, I] gradients of the weights; added to
};

/// out = (HeadNorm(h) ⊙ (1 + weight) + skip ⊙ c) ⊙ SiLU(z), the norm over each head.
struct OutputRows {
  std::int64_t S = 0, I = 0, DH = 0;
  float eps = 1e-5F;
  const float *h = nullptr, *c = nullptr, *up = nullptr;  ///< z is up's second half
  const float *weight = nullptr, *skip = nullptr;         ///< [I]
  float* out = nullptr;                                   ///< [S, I]; written
};

struct OutputRowsBackward {
  OutputRows forward;                          ///< out is written again
  const float* dout = nullptr;                 ///< [S, I]
  float *dh = nullptr, *dc = nullptr;          ///< written
  float* dup = nullptr;                        ///< [S, 2I]: its second half is written
  float *dweight = nullptr, *dskip = nullptr;  ///< [I]; added to
};

/// Numbers that grow with the sequence while their differences decide: a float and what that float rounds away.
struct TwoFloats {
  const float *high = nullptr, *low = nullptr;
};

/// Some tokens of one head and all before the last of them; g, G and m as in docs/kernel.md.
struct CellTile {
  std::int64_t first = 0, rows = 0;  ///< tokens first … first + rows − 1 are the rows
  std::int64_t columns = 0;          ///< tokens 0 … columns − 1 are the columns
  std::int64_t stride = 0;           ///< floats from row to row, a multiple of kRowMultiple
  float scale = 1, eps = 1e-6F;
  TwoFloats g;                   ///< [columns], readable up to the stride
  TwoFloats G;                   ///< [rows]
  const float* bound = nullptr;  ///< [rows] exp(−m)
  float* scores = nullptr;       ///< [rows, stride] q·k; becomes C_ij / N_i, 0 where j > i
};

struct CellTileBackward {
  CellTile forward;
  float* products = nullptr;             ///< [rows, stride] dh_i·v_j; becomes the gradient of q·k
  const std::int32_t* record = nullptr;  ///< [rows] the column of G_i
  float* row_sum = nullptr;              ///< [rows] Σ_j ∂L/∂log D_ij; written
  float* column_sum = nullptr;           ///< [columns], up to the stride: Σ_i of it; added to
};

void add_norm(const NormRows& rows, std::int64_t begin, std::int64_t end);  ///< sum's tokens begin … end − 1
void add_norm_backward(const NormRowsBackward& rows);
void block_input(const InputRows& rows, std::int64_t begin, std::int64_t end);  ///< tokens begin … end − 1
void block_input_backward(const InputRowsBackward& rows, std::int64_t begin, std::int64_t end);  ///< channels
void block_output(const OutputRows& rows, std::int64_t begin, std::int64_t end);                 ///< tokens
void block_output_backward(const OutputRowsBackward& rows, std::int64_t head);
void weigh(const CellTile& tile);
void weigh_backward(const CellTileBackward& tile);

}  // namespace axlstm::ops::cpu
