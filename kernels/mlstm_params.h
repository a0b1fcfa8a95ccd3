// What the mLSTM kernels read and write. B batch, S sequence, NH heads, DH head dim; everything else is float32.
#pragma once

#include <cstdint>

namespace axlstm::kernels {

enum class DataType { kFloat32, kFloat16, kBFloat16 };

/// A tensor [B, S, NH, DH] whose last dimension is contiguous; strides in elements.
struct Tensor4 {
  void* data = nullptr;
  std::int64_t batch_stride = 0, sequence_stride = 0, head_stride = 0;
};

/// Gate preactivations, [B, S, NH] contiguous. The log input gate is i itself or, for a sigmoid gate, logsigmoid(i);
/// log_f = logsigmoid(f).
struct Gates {
  const float* i = nullptr;
  const float* f = nullptr;
  bool sigmoid_input = false;
};

/// Per token and head, [B, NH, S] contiguous. With F_t = Σ_{s≤t} log_f_s and g_t = log_i_t − F_t: log D_ij = F_i + g_j
/// and m_i = F_i + G_i, so that D_ij exp(−m_i) = exp(g_j − G_i): the stabiliser needs no pass over S×S. g and G grow
/// with the sequence while their differences decide, so both are kept as a float and what that float rounds away, and
/// in units of ln 2, for exp2.
struct GateState {
  float* g_high = nullptr;
  float* g_low = nullptr;
  float* G_high = nullptr;  ///< max_{j≤t} g_j
  float* G_low = nullptr;
  float* bound = nullptr;          ///< exp(−m_t), the normaliser's lower bound
  std::int32_t* record = nullptr;  ///< the (first) j of that maximum
};

struct MlstmShape {
  std::int64_t B = 0, S = 0, NH = 0, DH = 0;
  std::int64_t chunk = 0;  ///< tokens of a chunk, chunk_tokens(); 0: not in chunks
  bool hopper = false;     ///< by the Hopper kernels, which take chunks of up to 256 tokens
  float eps = 1e-6F;
};

/// Block-diagonal weights that q and v are still to be multiplied by, or null; as pack_weights() writes them. In a
/// layer, with c and a as block_params.h has them, scores are (W_q c)·(W_k c) = (W_kᵀ W_q c)·c and values W_v a: with q
/// = k = c, v = a and the weights W_kᵀ W_q and W_v, q, k and v need no memory. Only by the Hopper kernels, of one
/// chunk.
struct CellWeights {
  const std::uint32_t* q = nullptr;
  const std::uint32_t* v = nullptr;
};

/// Channels of a slice of the Hopper kernels that have such weights: 48 where that leaves none of them empty and 64
/// would, as of the head dims 96, 144 and 288.
constexpr std::int64_t hopper_width(std::int64_t DH) { return DH % 48 == 0 && DH % 64 != 0 ? 48 : 64; }
constexpr std::int64_t hopper_eighths(std::int64_t DH) {
  const std::int64_t width = hopper_width(DH);
  return (DH + width - 1) / width * width / 8;
}

/// Elements of such weights. [NH, hopper_eighths(), 32 lanes]: a lane's b in products by multiply_add() with eight
/// channels each, zeros behind a head's last; and 64 channels more, which may be read but do not count.
constexpr std::int64_t packed_weights(std::int64_t NH, std::int64_t DH) { return (NH * hopper_eighths(DH) + 8) * 32; }

struct ForwardParams {
  MlstmShape shape;
  Tensor4 q, k, v;
  CellWeights weights;  ///< with them q must be k
  Gates gates;
  GateState state;                  ///< written
  float* n = nullptr;               ///< [B, NH, S] Σ_j C_ij, with its sign; written
  Tensor4 h;                        ///< written: what a chunk's own tokens give
  const float* n_before = nullptr;  ///< [B, NH, S] what the tokens before a chunk add to n, or null
};

/// With N_i = max(|n_i|, exp(−m_i)) + eps, δ_i = dh_i·h_i and s_i = sign(n_i) where |n_i| decides N_i, else 0. Scratch.
struct RowTerms {
  float* delta = nullptr;         ///< [B, NH, S] δ
  float* inverse = nullptr;       ///< [B, NH, S] 1 / N
  float* signed_delta = nullptr;  ///< [B, NH, S] s δ
};

struct BackwardParams {
  MlstmShape shape;
  Tensor4 q, k, v, dh;
  CellWeights weights;
  Gates gates;
  GateState state;
  const float* n = nullptr;
  RowTerms rows;
  const float* delta_before = nullptr;  ///< [B, NH, S] what the tokens before a chunk add to δ, or null
  int sum_parts = 1;                    ///< sum_parts()
  float* row_sum = nullptr;             ///< [sum_parts, B, NH, S], Σ_j ∂L/∂log D_ij
  float* column_sum = nullptr;          ///< [sum_parts, B, NH, S], Σ_i ∂L/∂log D_ij
  const float* link_totals = nullptr;   ///< [B, NH, links] Σ of it over pairs before and behind each link; or null
  Tensor4 dq, dk, dv;                   ///< written. With weights: dq of q = k, dk nothing, dv of v's product
  /// With weights, zeros [weight_parts(), kWeightWarps, NH, DH / 4, 4, 4]; the sum over parts and warps of what is
  /// added there is the gradient of q's.
  float* dq_weight_parts = nullptr;
  float* di = nullptr;  ///< [B, S, NH]; written
  float* df = nullptr;  ///< [B, S, NH]; written
};

}  // namespace axlstm::kernels
