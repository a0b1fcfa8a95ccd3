#include "axlstm/model/blocks.h"
#include "../ssast/architecture.h"
#include "architecture.h"
#include "axlstm/nn/attention_block.h"

namespace axlstm::model {

std::shared_ptr<nn::Block> Mae::block(const EncoderOptions& options, std::int64_t) {
  return std::make_shared<nn::AttentionBlockImpl>(nn::AttentionBlockOptions{.dim = options.dim,
                                                                            .heads = options.attention_heads,
                                                                            .activation = options.activation,
                                                                            .backend = options.backend});
}

KernelPlan Mae::plan(const EncoderOptions& options, const runtime::Arithmetic& arithmetic) {
  return Ssast::plan(options, arithmetic);
}

}  // namespace axlstm::model
