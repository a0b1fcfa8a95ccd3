// The blocks of an architecture and what computes them.
#pragma once

#include <memory>
#include <string>

#include "axlstm/model/architecture.h"
#include "axlstm/nn/block.h"
#include "axlstm/runtime/arithmetic.h"

namespace axlstm::model {

/// Which kernels compute a model, for people.
struct KernelPlan {
  std::string summary;  ///< such as "mLSTM backend fused (hopper)"; may be empty
  std::string warning;  ///< why it will be slow; empty if it will not
};

struct Blocks {
  /// Block `index` of the encoder. Weights are drawn from LibTorch's global generator.
  std::shared_ptr<nn::Block> (*make)(const EncoderOptions& options, std::int64_t index) = nullptr;

  /// Throws UsageError naming the key if what section kernel asks for cannot run with this arithmetic.
  KernelPlan (*plan)(const EncoderOptions& options, const runtime::Arithmetic& arithmetic) = nullptr;
};

/// Throws UsageError for a name that is not in architectures().
const Blocks& blocks(std::string_view architecture);

/// Makes an architecture that is defined elsewhere, in a program that uses the library, known by its name. Before
/// anything else is called, and once.
void add_architecture(Architecture facts, const Blocks& blocks);

/// The plan of the options' architecture.
KernelPlan kernel_plan(const EncoderOptions& options, const runtime::Arithmetic& arithmetic);

}  // namespace axlstm::model
