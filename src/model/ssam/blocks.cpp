#include "axlstm/model/blocks.h"
#include "architecture.h"
#include "axlstm/core/error.h"
#include "axlstm/nn/mamba_block.h"
#include "axlstm/ops/selective_scan.h"

namespace axlstm::model {

std::shared_ptr<nn::Block> Ssam::block(const EncoderOptions& options, std::int64_t) {
  return std::make_shared<nn::MambaBlockImpl>(nn::MambaBlockOptions{.dim = options.dim,
                                                                    .expansion = options.expansion,
                                                                    .state = options.state,
                                                                    .depth = options.depth,
                                                                    .backend = options.backend});
}

KernelPlan Ssam::plan(const EncoderOptions& options, const runtime::Arithmetic& arithmetic) {
  const auto& device = arithmetic.device;
  const auto dtype = arithmetic.dtype();
  const std::int64_t width = options.expansion * options.dim;
  const auto backend = ops::resolve_mixer_backend(options.backend, device, dtype, width, options.state);
  KernelPlan plan;
  plan.summary = str("scan backend ", enum_name(backend));
  if (options.backend == ops::Backend::kAuto && backend == ops::Backend::kReference) {
    plan.warning =
        str("slow: LibTorch's operators compute the selective scan, step by step, for own code cannot be used: ",
            ops::scan_kernel_obstacle(device, dtype, width, options.state));
  }
  return plan;
}

}  // namespace axlstm::model
