#include "architecture.h"

#include "axlstm/core/error.h"
#include "axlstm/nn/options.h"

namespace axlstm::model {
namespace {

void check(const EncoderOptions&) {}

std::string own_options(const EncoderOptions& options) {
  return str("E ", options.expansion, ", state ", options.state);
}

/// A state takes ΔA, its product with the state before, two products for the inflow, and C's.
double block_flops(const EncoderOptions& options, double S) {
  const auto D = static_cast<double>(options.dim), I = static_cast<double>(options.expansion) * D,
             N = static_cast<double>(options.state), R = static_cast<double>(nn::step_rank(options.dim));
  const double projections = 3 * D * I + I * (R + 2 * N) + R * I;
  return S * (2 * (projections + I * nn::kConvKernel) + 6 * I * N);
}

}  // namespace

Architecture Ssam::facts() {
  return {.name = "ssam",
          .summary = "Audio Mamba (SSAM)",
          .marker = ".mixer.x_proj.",
          .keys = {"expansion", "state"},
          .zero_head_biases = true,
          .check = check,
          .describe = own_options,
          .block_flops = block_flops};
}

}  // namespace axlstm::model
