#include "axlstm/ops/window_attention.h"

#include <torch/torch.h>

#include <cmath>

#include "axlstm/core/error.h"
#include "window_backends.h"

namespace axlstm::ops {
namespace {

/// q, k, v [B, H, S, DH] of heads that share a window → [B, H, S, DH].
torch::Tensor attend_within(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                            const torch::Tensor& table) {
  const std::int64_t window = (table.size(0) + 1) / 2;
  const auto windows = [&](const torch::Tensor& x) { return x.unflatten(2, {-1, window}); };  // [B, H, S/w, w, DH]
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(-1)));
  const auto scores = windows(q * scale).matmul(windows(k).transpose(-1, -2)) + relative_bias(table);
  return scores.softmax(-1).to(v.scalar_type()).matmul(windows(v)).flatten(2, 3);
}

void check_inputs(const torch::Tensor& qkv, const WindowHeads& heads) {
  const auto count = static_cast<std::int64_t>(heads.windows.size());
  AXLSTM_CHECK(qkv.dim() == 3 && qkv.numel() > 0 && count > 0 && qkv.size(2) % (3 * count) == 0,
               "window attention: q, k and v of ", count, " heads must be [batch, sequence, width] and not empty, got ",
               qkv.sizes());
  AXLSTM_CHECK(heads.tables.size() == heads.windows.size(), "window attention: ", heads.tables.size(), " tables for ",
               count, " heads");
  for (std::size_t head = 0; head < heads.windows.size(); ++head) {
    const std::int64_t window = heads.windows[head];
    const auto& table = heads.tables[head];
    AXLSTM_CHECK(window == 0 || (window > 0 && qkv.size(1) % window == 0), "window attention: a window of ", window,
                 " does not divide the sequence of ", qkv.size(1));
    AXLSTM_CHECK(window == 0 ? !table.defined() : table.defined() && table.numel() == 2 * window - 1,
                 "window attention: head ", head, " with a window of ", window, " has not the table for it");
  }
}

}  // namespace

torch::Tensor relative_bias(const torch::Tensor& table) {
  // Rows of a matrix 2w wide, all alike, read as if it were 2w − 1 wide: each is turned on by one. Views alone, so that
  // the gradient is a sum, and the same every time.
  const std::int64_t w = (table.size(0) + 1) / 2;
  const auto row = torch::constant_pad_nd(table.flatten().flip(0), {0, 1});
  const auto sheared = row.expand({w, 2 * w}).reshape({-1}).narrow(0, 0, w * (2 * w - 1)).view({w, 2 * w - 1});
  return sheared.narrow(1, w - 1, w);
}

torch::Tensor window_attention_reference(const torch::Tensor& qkv, const WindowHeads& heads) {
  const std::size_t count = heads.windows.size();
  std::vector<std::int64_t> groups;  // heads of each: neighbours without a window go together
  for (std::size_t head = 0; head < count; ++head) {
    const bool joins = head > 0 && heads.windows[head] == 0 && heads.windows[head - 1] == 0;
    if (joins) ++groups.back();
    if (!joins) groups.push_back(1);
  }
  // All groups of q, k and v by one split: its gradient is one concatenation, as the matrix product wants it. That of
  // a slice would be a tensor of zeros of the whole size, and an addition, for each slice.
  std::vector<std::int64_t> sizes;
  for (int of = 0; of < 3; ++of) sizes.insert(sizes.end(), groups.begin(), groups.end());
  const auto parts = qkv.unflatten(-1, {3 * static_cast<std::int64_t>(count), -1})  // [B, S, 3·NH, DH]
                         .split_with_sizes(sizes, 2);
  std::vector<torch::Tensor> mixed;
  std::size_t head = 0;
  for (std::size_t group = 0; group < groups.size(); ++group) {
    const auto of = [&](std::size_t n) { return parts[n * groups.size() + group].transpose(1, 2); };
    const auto found = heads.windows[head] == 0 ? torch::scaled_dot_product_attention(of(0), of(1), of(2))
                                                : attend_within(of(0), of(1), of(2), heads.tables[head]);
    mixed.push_back(found.transpose(1, 2));
    head += static_cast<std::size_t>(groups[group]);
  }
  return torch::cat(mixed, 2).flatten(-2);
}

torch::Tensor window_attention(const torch::Tensor& qkv, const WindowHeads& heads, Backend backend) {
  check_inputs(qkv, heads);
  const bool own = backend != Backend::kReference && window_kernel_obstacle(qkv, heads).empty();
  return own ? window_attention_cuda(qkv, heads) : window_attention_reference(qkv, heads);
}

std::string window_kernel_obstacle(const torch::Tensor& qkv, const WindowHeads& heads) {
  if (!qkv.is_cuda()) return str("the tensors are on ", qkv.device().str(), ", not on a GPU");
  return cuda_window_obstacle(qkv, heads);
}

}  // namespace axlstm::ops
