#include "axlstm/train/initial_weights.h"

#include <torch/torch.h>

#include "axlstm/checkpoints/checkpoint.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/model/architecture.h"

namespace axlstm::train {
namespace {

constexpr const char* kPositions = "pos_embed";

/// Positions of the length that `model` has; `tensors` are those of an encoder like `stored`.
void fit_positions(std::map<std::string, torch::Tensor>& tensors, const model::EncoderOptions& stored,
                   const config::RunConfig& config, const model::Encoder& made) {
  const auto& model = config.model;
  const auto found = tensors.find(kPositions);
  if (found == tensors.end() || stored.grid_rows() == model.grid_rows()) return;
  if (stored.grid_columns() != model.grid_columns() || stored.class_token != model.class_token) return;  // an error
  if (config.classification.positions == objective::Positions::kInterpolated) {
    found->second = model::interpolated_positions(found->second, stored.grid_rows(), model);
    log::info(str("positions of ", stored.frames, " frames are stretched over ", model.frames));
    return;
  }
  need(
      !model.train_positions,
      "the encoder's positions are trained, and a crop is longer or shorter than its own: they cannot be extended; set "
      "classification.positions=interpolated");
  found->second = made->named_buffers()[kPositions].clone();
  log::info(str("positions are extended from ", stored.frames, " frames to ", model.frames));
}

}  // namespace

void load_encoder(objective::Classification& objective, const config::RunConfig& config) {
  const std::string& name = config.classification.encoder;
  if (name.empty()) return;
  auto saved = checkpoints::load_model(expand_home(name), config.classification.encoder_ema);
  const std::string source =
      (saved.folder / (config.classification.encoder_ema ? "ema" : "model")).string() + ".safetensors";
  const auto stored = config::read_stored(saved.config_yaml, (saved.folder / "config.yaml").string()).model;
  if (stored.arch != config.model.arch) {
    throw UsageError(str("model.arch is ", config.model.arch, ", but the weights of classification.encoder ", source,
                         " are of ", stored.arch, "; remove model.arch, which they give"));
  }
  const torch::NoGradGuard no_grad;
  model::Encoder encoder(config.model);  // apart from the head, whose tensors these weights do not have
  fit_positions(saved.tensors, stored, config, encoder);
  checkpoints::load_state_dict(*encoder, saved.tensors, source, model::head_prefixes());
  std::map<std::string, torch::Tensor> loaded;
  for (const auto& [tensor_name, tensor] : checkpoints::state_dict(*encoder)) loaded.emplace(tensor_name, tensor);
  for (auto& [tensor_name, tensor] : checkpoints::state_dict(objective.module())) {
    const auto found = loaded.find(tensor_name);
    if (found != loaded.end()) tensor.copy_(found->second);
  }
  log::info("begins with the encoder of " + source);
}

}  // namespace axlstm::train
