// Attention of which every head sees within windows of its own length (MW-MAE), whatever computes it.
//
//   head h: mixed_i = Σ_j softmax_j(q_i·k_j / √DH + table_h[i − j + w_h − 1]) v_j,  over the j in i's window of w_h
//   tokens
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "axlstm/ops/options.h"

namespace axlstm::ops {

struct WindowHeads {
  std::vector<std::int64_t> windows;  ///< of each head: tokens, which divide the sequence; 0: all, without a table
  std::vector<torch::Tensor> tables;  ///< of each head: [2w − 1] or [2w − 1, 1]; undefined without a window
};

/// qkv [B, S, 3·NH·DH]: q, k and v side by side, of each the heads → [B, S, NH·DH] in qkv's dtype. Softmax in float32,
/// or wider. Own CUDA kernels where they can run, unless `backend` is kReference: LibTorch's operators. Gradients are
/// exact; those of the kernels the same every time.
torch::Tensor window_attention(const torch::Tensor& qkv, const WindowHeads& heads, Backend backend = Backend::kAuto);

/// Why the kernels cannot take qkv; empty if they can. They need a build with CUDA, a GPU, float16 or bfloat16, up to
/// 32 heads of 16, 32, 48 or 64 channels, and 99 KB of shared memory for a head's tokens (some 290 of 48 channels).
std::string window_kernel_obstacle(const torch::Tensor& qkv, const WindowHeads& heads);

/// What is added to the scores of a window: [w, w] with table[i − j + w − 1] at (i, j), of a table [2w − 1].
torch::Tensor relative_bias(const torch::Tensor& table);

}  // namespace axlstm::ops
