// After a step that failed: what fits into memory, where numbers stop being finite.
#pragma once

#include <string>

#include "axlstm/data/clip_source.h"
#include "axlstm/train/step.h"

namespace axlstm::train {

/// After a step that ran out of memory: a half, a quarter, … of its clips of which forward and backward pass fit, found
/// by trying; 0 if not even one does. Gradients are spoilt.
std::int64_t largest_fitting_batch(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn);

/// What to set so that step `step`, for which the device's memory was too small, can be made. Gradients are spoilt.
std::string out_of_memory_message(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn,
                                  std::int64_t step);

/// Where numbers stop being finite, after a step that was skipped for it.
struct NonFinite {
  std::int64_t row = -1;  ///< the first clip of the batch that leads to it; −1: none does alone
  std::string place;      ///< such as "blocks.3.layer.mlstm_cell (aten::exp)"
};

/// Repeats a skipped step clip by clip and looks at every operator's result. Slow, and spoils the gradients.
NonFinite find_non_finite(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn);

/// The same as a text, over all ranks: the place, and the clip by its id.
std::string locate_non_finite(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn,
                              const data::ClipSource& clips);

}  // namespace axlstm::train
