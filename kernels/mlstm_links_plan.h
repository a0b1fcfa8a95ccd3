// Launch plans of the kernels between chunks (mlstm_links.h).
#pragma once

#include "launch.h"
#include "mlstm_links.h"

namespace axlstm::kernels {

inline constexpr int kLinkThreads = 256;
inline constexpr int kLinkWarps = kLinkThreads / kWarp;
inline constexpr int kLinkTokens = 4 * kLinkWarps;  // of a CTA

/// For each link of every head `parts` CTAs.
inline Launch plan_links(const Links& links, unsigned parts, int shared_bytes = 0) {
  const MlstmShape& shape = links.shape;
  return {{static_cast<unsigned>(shape.B * shape.NH * link_count(shape)), parts}, kLinkThreads, shared_bytes};
}

/// split_links, dot_links, merge_links: the tokens of a chunk.
inline Launch plan_link_tokens(const Links& links) {
  return plan_links(links, ceil_div(links.shape.chunk, kLinkTokens));
}

/// Two channels a lane; the warps' sums meet in shared memory.
inline Launch plan_sum_links(const Links& links) {
  return plan_links(links, ceil_div(links.shape.DH, 2 * kWarp), kLinkThreads * 2 * static_cast<int>(sizeof(float)));
}

/// For each head, two numbers of the state [DH, DH] or of the sum [DH] a thread.
inline Launch plan_pass_states(const Links& links) {
  const MlstmShape& shape = links.shape;
  return {{static_cast<unsigned>(shape.B * shape.NH), ceil_div((shape.DH * shape.DH + shape.DH) / 2, kLinkThreads)},
          kLinkThreads};
}

inline Launch plan_total_links(const Links& links) {
  return plan_links(links, 1, kLinkWarps * static_cast<int>(sizeof(float)));
}

}  // namespace axlstm::kernels
