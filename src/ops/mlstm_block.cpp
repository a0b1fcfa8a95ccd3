#include "axlstm/ops/mlstm_block.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/ops/mlstm.h"

namespace axlstm::ops {

Backend resolve_backend(Backend wanted, const torch::Device& device, torch::ScalarType dtype, std::int64_t dim,
                        std::int64_t inner_dim, std::int64_t heads) {
  if (wanted == Backend::kReference || wanted == Backend::kRecurrent) return wanted;
  const std::string of_fused = fused_block_obstacle(device, dtype, dim, inner_dim, heads);
  const std::string of_cell = cell_kernel_obstacle(device, dtype, inner_dim / heads);
  if (wanted == Backend::kAuto) {
    if (of_fused.empty()) return Backend::kFused;
    const bool narrow = dtype == torch::kFloat16 || dtype == torch::kBFloat16;
    return narrow && of_cell.empty() ? Backend::kCell : Backend::kReference;
  }
  const std::string& obstacle = wanted == Backend::kFused ? of_fused : of_cell;
  if (!obstacle.empty()) {
    throw UsageError(
        str("kernel.backend ", enum_name(wanted), " cannot be used: ", obstacle, "; set kernel.backend=auto"));
  }
  return wanted;
}

}  // namespace axlstm::ops
