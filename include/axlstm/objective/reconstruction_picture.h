// What a model that predicts hidden patches makes of a crop, to be looked at.
#pragma once

#include <torch/types.h>

#include <filesystem>

#include "axlstm/model/options.h"

namespace axlstm::objective {

/// Writes input, masked input and reconstruction of one crop, one above the other; low frequencies at the bottom. The
/// reconstruction shows what the model sees, with the hidden patches filled in by its prediction.
/// spectrogram [1, 1, L, F], mask [1, N], prediction [1, N, P]; `unbiased` as of model::reconstruction_target().
void write_reconstruction(const std::filesystem::path& path, const torch::Tensor& spectrogram,
                          const torch::Tensor& mask, const torch::Tensor& prediction,
                          const model::EncoderOptions& encoder, const model::LossOptions& loss, bool unbiased);

}  // namespace axlstm::objective
