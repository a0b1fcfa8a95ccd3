#include "mlstm_links.h"

#include "mlstm_links.cuh"

namespace axlstm::kernels {
namespace {

/// A block for each link and `parts` parts of it.
dim3 link_blocks(const MlstmShape& shape, unsigned parts) {
  return {static_cast<unsigned>(shape.B * shape.NH * link_count(shape)), parts, 1};
}

dim3 token_blocks(const Links& links) { return link_blocks(links.shape, ceil_div(links.shape.chunk, kLinkTokens)); }

/// Calls launch(element of the type), for generic lambdas.
template <typename Launch>
cudaError_t by_type(DataType type, const Launch& launch) {
  if (type == DataType::kFloat32) return cudaErrorInvalidValue;
  type == DataType::kFloat16 ? launch(__half{}) : launch(__nv_bfloat16{});
  return cudaGetLastError();
}

}  // namespace

cudaError_t split_links(const SplitParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    split_kernel<decltype(element)><<<token_blocks(params.links), kLinkThreads, 0, stream>>>(params);
  });
}

cudaError_t sum_links(const LinkSumParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    const dim3 blocks = link_blocks(params.links.shape, ceil_div(params.links.shape.DH, 2 * kWarp));
    link_sum_kernel<decltype(element)><<<blocks, kLinkThreads, kLinkThreads * sizeof(float2), stream>>>(params);
  });
}

cudaError_t pass_states(const PassParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    const MlstmShape& shape = params.links.shape;
    const dim3 blocks(static_cast<unsigned>(shape.B * shape.NH),
                      ceil_div((shape.DH * shape.DH + shape.DH) / 2, kLinkThreads));
    pass_kernel<decltype(element)><<<blocks, kLinkThreads, 0, stream>>>(params);
  });
}

cudaError_t total_links(const LinkTotalParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    link_total_kernel<decltype(element)>
        <<<link_blocks(params.links.shape, 1), kLinkThreads, kLinkWarps * sizeof(float), stream>>>(params);
  });
}

cudaError_t dot_links(const DotParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    dot_kernel<decltype(element)><<<token_blocks(params.links), kLinkThreads, 0, stream>>>(params);
  });
}

cudaError_t merge_links(const MergeParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    merge_kernel<decltype(element)><<<token_blocks(params.links), kLinkThreads, 0, stream>>>(params);
  });
}

}  // namespace axlstm::kernels
