#pragma once

#include <memory>

#include "axlstm/model/architecture.h"

namespace axlstm::nn {
class Block;
}
namespace axlstm::runtime {
struct Arithmetic;
}

namespace axlstm::model {

struct KernelPlan;

/// The transformer of a masked autoencoder (MAE, MW-MAE).
struct Mae {
  static Architecture facts();
  static std::shared_ptr<nn::Block> block(const EncoderOptions& options, std::int64_t index);
  static KernelPlan plan(const EncoderOptions& options, const runtime::Arithmetic& arithmetic);
};

}  // namespace axlstm::model
