#include "axlstm/ops/mlstm_block.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/ops/mlstm.h"
#include "mlstm_backends.h"

namespace axlstm::ops {

Backend resolve_backend(Backend wanted, const torch::Device& device, torch::ScalarType dtype, std::int64_t dim,
                        std::int64_t inner_dim, std::int64_t heads) {
  if (wanted == Backend::kReference || wanted == Backend::kRecurrent) return wanted;
  const std::string of_fused = fused_block_obstacle(device, dtype, dim, inner_dim, heads);
  const std::string of_cell = cell_kernel_obstacle(device, dtype, inner_dim / heads);
  if (wanted == Backend::kAuto) {
    if (of_fused.empty()) return Backend::kFused;
    const bool gains = device.is_cpu() || dtype == torch::kFloat16 || dtype == torch::kBFloat16;
    return gains && of_cell.empty() ? Backend::kCell : Backend::kReference;
  }
  const std::string& obstacle = wanted == Backend::kFused ? of_fused : of_cell;
  if (!obstacle.empty()) {
    throw UsageError(
        str("kernel.backend ", enum_name(wanted), " cannot be used: ", obstacle, "; set kernel.backend=auto"));
  }
  return wanted;
}

std::string fused_block_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t dim,
                                 std::int64_t inner_dim, std::int64_t heads) {
  return device.is_cpu() ? cpu_block_obstacle(dtype, dim, inner_dim, heads)
                         : cuda_block_obstacle(device, dtype, dim, inner_dim, heads);
}

ResidualStream fused_mlstm_block(const ResidualStream& stream, const BlockWeights& weights,
                                 const BlockOptions& options) {
  constexpr std::int64_t kHeads = 4, kWidth = 4;
  const std::int64_t I = weights.skip.size(0);
  const auto check = [](const char* name, const torch::Tensor& x, at::IntArrayRef sizes) {
    AXLSTM_CHECK(x.sizes() == sizes, "mlstm block: ", name, " must be ", sizes, ", got ", x.sizes());
  };
  check("q_proj", weights.q_proj, {I / kWidth, kWidth, kWidth});
  check("k_proj", weights.k_proj, {I / kWidth, kWidth, kWidth});
  check("v_proj", weights.v_proj, {I / kWidth, kWidth, kWidth});
  check("igate_weight", weights.igate_weight, {kHeads, 3 * I});
  check("fgate_weight", weights.fgate_weight, {kHeads, 3 * I});
  return options.dtype == torch::kFloat32 ? cpu_mlstm_block(stream, weights, options)
                                          : cuda_mlstm_block(stream, weights, options);
}

}  // namespace axlstm::ops
