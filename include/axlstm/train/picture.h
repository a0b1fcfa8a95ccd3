// Pictures of what the model makes of one crop, always the same.
#pragma once

#include <filesystem>

#include "axlstm/data/clip_source.h"
#include "axlstm/objective/objective.h"
#include "axlstm/runtime/arithmetic.h"

namespace axlstm::train {

/// Draws one fixed crop with one fixed draw of the objective, both chosen by train.seed, so that the pictures of a run
/// show the model getting better. A picture that cannot be drawn or written costs a warning, not the run. False if
/// there is none.
bool draw_picture(objective::Objective& objective, data::ClipSource& clips, const config::RunConfig& config,
                  const runtime::Arithmetic& arithmetic, const std::filesystem::path& png);

}  // namespace axlstm::train
