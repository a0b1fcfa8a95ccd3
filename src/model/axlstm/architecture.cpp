#include "architecture.h"

#include "axlstm/core/error.h"
#include "axlstm/nn/options.h"

namespace axlstm::model {
namespace {

constexpr double kGates = 2;

void check(const EncoderOptions&) {}

std::string own_options(const EncoderOptions& options) {
  return str("E ", options.expansion, options.flip ? ", flip" : "",
             options.input_gate == ops::InputGate::kSigmoid ? ", sigmoid gate" : "");
}

/// Of the cell's S×S products the causal half counts.
double block_flops(const EncoderOptions& options, double S) {
  const auto D = static_cast<double>(options.dim), I = static_cast<double>(options.expansion) * D;
  const double projections = 3 * D * I;  // up to 2I, down from I
  const double narrow = I * (3 * nn::kQkvBlockSize + nn::kConvKernel + 3 * kGates * nn::kHeads);
  return S * 2 * (projections + narrow) + 2 * I * S * (S + 1);  // Q·Kᵀ and C·V
}

}  // namespace

Architecture Axlstm::facts() {
  return {.name = "axlstm",
          .summary = "mLSTM blocks",
          .marker = ".mlstm_cell.",
          .keys = {"expansion", "flip", "input_gate"},
          .check = check,
          .describe = own_options,
          .block_flops = block_flops};
}

}  // namespace axlstm::model
