// What `--model` may name.
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <string>

#include "axlstm/embed/clip_encoder.h"
#include "axlstm/embed/options.h"
#include "axlstm/runtime/options.h"

namespace axlstm::embed {

struct ModelArguments {
  std::string name;  ///< a checkpoint or run folder, `naive`, `random:CONFIG.yaml`, `module:FOLDER`
  std::optional<EmbeddingLayout> layout;          ///< instead of the checkpoint's embedding.layout
  std::optional<Padding> padding = std::nullopt;  ///< instead of its embedding.padding
  runtime::DeviceChoice device = runtime::DeviceChoice::kAuto;
  runtime::Precision precision = runtime::Precision::kAuto;  ///< kAuto: fp16 on a GPU, fp32 on the CPU
  std::int64_t seed = 0;                                     ///< of random weights
  bool ema = false;                                          ///< a checkpoint's averaged weights
};

/// True if what `name` names has a layout to choose. HEAR-naive has no tokens.
bool has_layout(const std::string& name);

/// Opens an encoder on `device`; one that computes on the CPU only ignores it. Logs what was loaded if `announced`.
/// Throws UsageError or Error naming what cannot be loaded.
std::unique_ptr<ClipEncoder> open(const ModelArguments& arguments, torch::Device device, bool announced = true);

}  // namespace axlstm::embed
