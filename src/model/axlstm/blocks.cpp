#include "axlstm/model/blocks.h"
#include "architecture.h"
#include "axlstm/core/error.h"
#include "axlstm/nn/mlstm_block.h"
#include "axlstm/ops/mlstm_block.h"

namespace axlstm::model {

std::shared_ptr<nn::Block> Axlstm::block(const EncoderOptions& options, std::int64_t index) {
  return std::make_shared<nn::MlstmBlockImpl>(nn::MlstmBlockOptions{
      .dim = options.dim,
      .expansion = options.expansion,
      .reverse = options.flip && index % 2 == 1,
      .recompute = options.recompute,
      .cell = {.input_gate = options.input_gate, .backend = options.backend, .isa = options.isa}});
}

KernelPlan Axlstm::plan(const EncoderOptions& options, const runtime::Arithmetic& arithmetic) {
  const auto& device = arithmetic.device;
  const auto dtype = arithmetic.dtype();
  const std::int64_t inner_dim = options.expansion * options.dim;
  const auto backend = ops::resolve_backend(options.backend, device, dtype, options.dim, inner_dim, nn::kHeads);
  const auto isa = ops::resolve_isa(options.isa, device, dtype, options.patches() + options.class_tokens());
  const bool kernels = device.is_cuda() && (backend == ops::Backend::kCell || backend == ops::Backend::kFused);
  KernelPlan plan;
  plan.summary = str("mLSTM backend ", enum_name(backend), kernels ? str(" (", enum_name(isa), ")") : "");
  if (options.backend == ops::Backend::kAuto && backend == ops::Backend::kReference && device.is_cuda()) {
    plan.warning = str("slow: LibTorch's operators compute the mLSTM, for the kernels cannot be used: ",
                       ops::fused_block_obstacle(device, dtype, options.dim, inner_dim, nn::kHeads));
  }
  return plan;
}

}  // namespace axlstm::model
