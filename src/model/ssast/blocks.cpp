#include "axlstm/model/blocks.h"
#include "architecture.h"
#include "axlstm/core/error.h"
#include "axlstm/nn/attention_block.h"
#include "axlstm/ops/add_norm.h"

namespace axlstm::model {

std::shared_ptr<nn::Block> Ssast::block(const EncoderOptions& options, std::int64_t) {
  return std::make_shared<nn::AttentionBlockImpl>(
      nn::AttentionBlockOptions{.dim = options.dim, .heads = options.attention_heads, .backend = options.backend});
}

/// Its fused part is the sum with its layer norm.
KernelPlan Ssast::plan(const EncoderOptions& options, const runtime::Arithmetic& arithmetic) {
  const std::string obstacle = options.backend == ops::Backend::kFused
                                   ? ops::add_norm_obstacle(arithmetic.device, arithmetic.dtype(), options.dim)
                                   : "";
  if (!obstacle.empty())
    throw UsageError("kernel.backend fused cannot be used: " + obstacle + "; set kernel.backend=auto");
  return {};
}

}  // namespace axlstm::model
