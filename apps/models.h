// What `--model` may name.
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <string>

#include "axlstm/hear/clip_encoder.h"
#include "axlstm/hear/options.h"
#include "axlstm/train/options.h"

namespace axlstm::cli {

struct ModelArguments {
  std::string name;                             ///< a checkpoint or run folder, `naive`, or `random:CONFIG.yaml`
  std::optional<hear::EmbeddingLayout> layout;  ///< instead of the checkpoint's embedding.layout
  train::DeviceChoice device = train::DeviceChoice::kAuto;
  std::int64_t seed = 0;  ///< of random weights
  bool ema = false;       ///< a checkpoint's averaged weights
};

/// On `device`, if it computes on one; `announced` in the log. Throws UsageError or Error naming what cannot be loaded.
std::unique_ptr<hear::ClipEncoder> load_encoder(const ModelArguments& arguments, torch::Device device,
                                                bool announced = true);

}  // namespace axlstm::cli
