#include "mlstm_links.h"

#include "launch.cuh"
#include "mlstm_links.cuh"
#include "mlstm_links_plan.h"

namespace axlstm::kernels {

cudaError_t split_links(const SplitParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    return enqueue(split_kernel<decltype(element)>, plan_link_tokens(params.links), stream, params);
  });
}

cudaError_t sum_links(const LinkSumParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    return enqueue(link_sum_kernel<decltype(element)>, plan_sum_links(params.links), stream, params);
  });
}

cudaError_t pass_states(const PassParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    return enqueue(pass_kernel<decltype(element)>, plan_pass_states(params.links), stream, params);
  });
}

cudaError_t total_links(const LinkTotalParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    return enqueue(link_total_kernel<decltype(element)>, plan_total_links(params.links), stream, params);
  });
}

cudaError_t dot_links(const DotParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    return enqueue(dot_kernel<decltype(element)>, plan_link_tokens(params.links), stream, params);
  });
}

cudaError_t merge_links(const MergeParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    return enqueue(merge_kernel<decltype(element)>, plan_link_tokens(params.links), stream, params);
  });
}

}  // namespace axlstm::kernels
