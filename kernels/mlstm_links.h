// What the chunks of a long sequence hand on to each other. Link c joins what chunks 0 … c have to the tokens of chunk
// c + 1 and later. With G_c the last G of chunk c, a_j = exp(g_j − G_c) for its tokens j, and b_i = exp(G_c − G_i) for
// the tokens i of chunk c + 1: exp(g_j − G_i) for j in chunk c' ≤ c is a_j exp(G_c' − G_c) b_i, factors of at most 1.
// So what earlier tokens add is a product with a state of the head, Σ_c' exp(G_c' − G_c) Σ_j a_j k_j v_jᵀ, and the
// gradient that later ones send back a product with another, Σ_c' exp(G_c − G_c') Σ_i b_i / N_i q_i dh_iᵀ over c' ≥ c.
// The caller runs the matrix products; these kernels prepare their inputs and apply their results.
//
// "Rows" are tensors [B·NH, links, L, DH] narrow, contiguous: for each link the tokens of the chunk before or behind
// it, L = shape.chunk, zeros behind the last token. All entry points enqueue on `stream`, allocate nothing and return
// the launch's error; the element type is float16 or bfloat16.
#pragma once

#include <cuda_runtime_api.h>

#include "mlstm_params.h"

namespace axlstm::kernels {

/// The tokens of a link: of the chunk before it, keys, or of that behind it, queries.
enum class Side { kKeys, kQueries };
/// What a token is multiplied by: 1; its a or, among queries, b; b / N.
enum class Fade { kNone, kFaded, kNormalised };

/// Links between the chunks of a sequence.
__host__ __device__ constexpr std::int64_t link_count(const MlstmShape& shape) { return (shape.S - 1) / shape.chunk; }

struct Links {
  MlstmShape shape;
  GateState state;
  const float* n = nullptr;  ///< [B, NH, S], for N
};

/// rows = fade · scale · x
struct SplitParams {
  Links links;
  Side side = Side::kKeys;
  Fade fade = Fade::kNone;
  float scale = 1.0F;
  Tensor4 x;
  void* rows = nullptr;  ///< written
};

/// sums = Σ over the tokens of a link of weight · rows
struct LinkSumParams {
  Links links;
  Side side = Side::kKeys;
  const void* rows = nullptr;
  const float* weight = nullptr;  ///< [B, NH, S], or null: 1
  float* sums = nullptr;          ///< [B·NH, links, DH]; written
};

/// In place, what each link has of its own becomes the sum, faded, over it and those before it, for keys, or those
/// behind it.
struct PassParams {
  Links links;
  Side side = Side::kKeys;
  void* states = nullptr;  ///< [B·NH, links, DH, DH] narrow
  float* sums = nullptr;   ///< [B·NH, links, DH]
};

/// W = ∂L/∂log D summed over all pairs of tokens before and behind a link: scale · (states·later_states −
/// sums·later_sums) from what pass_states() left for keys and queries.
struct LinkTotalParams {
  Links links;
  float scale = 1.0F;
  const void *states = nullptr, *later_states = nullptr;  ///< [B·NH, links, DH, DH] narrow
  const float *sums = nullptr, *later_sums = nullptr;     ///< [B·NH, links, DH]
  float* totals = nullptr;                                ///< [B·NH, links]; written
};

/// dots = fade · scale · x·y for the queries of all links
struct DotParams {
  Links links;
  Fade fade = Fade::kNone;
  float scale = 1.0F;
  Tensor4 x;
  const float* products = nullptr;  ///< y: products,
  const float* sums = nullptr;      ///< or, where these are null, one vector for each link [B·NH, links, DH]
  float* dots = nullptr;            ///< [B, NH, S]; written but for the first chunk
};

/// to += z and dots = x·z for z = fade · scale · (products − weight · sums)
struct MergeParams {
  Links links;
  Side side = Side::kKeys;
  Fade fade = Fade::kNone;
  float scale = 1.0F;
  const float* products = nullptr;
  const float* sums = nullptr;    ///< [B·NH, links, DH], or null: 0
  const float* weight = nullptr;  ///< [B, NH, S], or null: 1
  Tensor4 to;
  Tensor4 x;              ///< not used where dots is null
  float* dots = nullptr;  ///< [B, NH, S]; written unless null, where there are such tokens
};

cudaError_t split_links(const SplitParams& params, DataType type, cudaStream_t stream);
cudaError_t sum_links(const LinkSumParams& params, DataType type, cudaStream_t stream);
cudaError_t pass_states(const PassParams& params, DataType type, cudaStream_t stream);
cudaError_t total_links(const LinkTotalParams& params, DataType type, cudaStream_t stream);
cudaError_t dot_links(const DotParams& params, DataType type, cudaStream_t stream);
cudaError_t merge_links(const MergeParams& params, DataType type, cudaStream_t stream);

}  // namespace axlstm::kernels
