// A classifier that begins with a pre-trained encoder.
#pragma once

#include "axlstm/config/schema.h"
#include "axlstm/objective/classification.h"

namespace axlstm::train {

/// Gives the encoder the weights of classification.encoder; nothing if that is empty. Its positions are fitted to
/// model.frames as classification.positions says. Throws Error naming folder and tensors that do not fit.
void load_encoder(objective::Classification& objective, const config::RunConfig& config);

}  // namespace axlstm::train
