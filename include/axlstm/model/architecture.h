// What the rest of the program asks of an architecture (axlstm, ssast, …), as far as it needs no LibTorch; blocks.h has
// the rest. docs/extend.md tells how one is added.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "axlstm/model/options.h"

namespace axlstm::model {

struct Architecture {
  std::string name;     ///< value of model.arch
  std::string summary;  ///< what it is, for users, such as "mLSTM blocks"
  std::string marker;   ///< of a state dict's names: what only this one has, such as "mlstm_cell"; empty: nothing
  std::vector<std::string> keys;  ///< keys of section model that are its own; other architectures refuse them

  /// Whether the biases of a pre-training head on it start at zero, as in its released code; else LibTorch's default.
  bool zero_head_biases = false;

  /// Throws UsageError naming the key for options (as resolve() fills them in) that do not fit together.
  void (*check)(const EncoderOptions& options) = nullptr;

  /// Its own options in a few words, such as "E 3, flip".
  std::string (*describe)(const EncoderOptions& options) = nullptr;

  /// Multiplications and additions in one block's forward pass over `tokens` tokens of one clip.
  double (*block_flops)(const EncoderOptions& options, double tokens) = nullptr;
};

/// All of them, in the order in which they are listed to users.
const std::vector<Architecture>& architectures();

/// Throws UsageError with the known names.
const Architecture& architecture(std::string_view name);

/// Multiplications and additions in the encoder's forward pass over one clip of which it sees `seen` patches: the
/// embedding of all patches, and all blocks.
double encoder_flops(const EncoderOptions& options, std::int64_t seen);

/// The architecture that made a state dict with these names; null if none did. For naming it in errors.
const Architecture* architecture_of(const std::vector<std::string>& tensor_names);

}  // namespace axlstm::model
