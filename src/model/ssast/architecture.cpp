#include "architecture.h"

#include "axlstm/core/error.h"

namespace axlstm::model {
namespace {

constexpr double kMlpExpansion = 4;

void check(const EncoderOptions& options) {
  if (options.attention_heads <= 0) {
    throw UsageError(str("model.size custom of arch ", options.arch, " needs model.attention_heads"));
  }
  if (options.dim % options.attention_heads != 0) {
    throw UsageError(str("model.dim is ", options.dim, ", it must be a multiple of model.attention_heads ",
                         options.attention_heads));
  }
}

std::string own_options(const EncoderOptions& options) { return str(options.attention_heads, " heads"); }

double block_flops(const EncoderOptions& options, double S) {
  const auto D = static_cast<double>(options.dim);
  return S * 2 * (4 + 2 * kMlpExpansion) * D * D + 4 * D * S * S;
}

}  // namespace

Architecture Ssast::facts() {
  return {.name = "ssast",
          .summary = "the transformer baseline",
          .marker = ".attn.qkv_layer.",
          .keys = {"attention_heads"},
          .check = check,
          .describe = own_options,
          .block_flops = block_flops};
}

}  // namespace axlstm::model
