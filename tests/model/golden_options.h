// The models whose tensors tests/golden holds.
#pragma once

#include <nlohmann/json.hpp>

#include "axlstm/model/options.h"

namespace axlstm::test {

/// The model of a golden file, from its `config`.
inline model::EncoderOptions options_of(const nlohmann::json& config) {
  model::EncoderOptions options;
  options.arch = config.value("family", "axlstm");
  if (options.arch == "mwmae") options.arch = "mae";
  options.size = model::Size::kCustom;
  options.dim = config.at("embed_dim");
  options.depth = config.at("depth");
  if (options.arch == "ssam") {
    options.expansion = config.at("expand");
    options.state = config.at("d_state");
  } else if (options.arch == "mae") {
    options.attention_heads = config.at("num_heads");
    options.class_token = config.at("cls_token");
    options.activation = nn::Activation::kGeluTanh;
    options.train_positions = true;
  } else if (options.arch == "ssast") {
    options.attention_heads = config.value("num_heads", 3);
  } else {
    options.expansion = config.value("expansion", config.value("expansion_factor", 2));
    options.flip = config.value("flip", true);
  }
  if (config.contains("patch")) {
    options.patch_frames = config.at("patch").at(0);
    options.patch_mels = config.at("patch").at(1);
  }
  return model::resolve(options);
}

/// And its decoder, if it is a masked autoencoder's.
inline model::DecoderOptions decoder_of(const nlohmann::json& config) {
  model::DecoderOptions decoder;
  decoder.dim = config.at("decoder_embed_dim");
  decoder.depth = config.at("decoder_depth");
  decoder.heads = config.at("decoder_num_heads");
  for (const std::int64_t window : config.at("decoder_windows")) {
    decoder.windows.push_back(window > 0 ? std::to_string(window) : model::kGlobal);
  }
  return decoder;
}

}  // namespace axlstm::test
