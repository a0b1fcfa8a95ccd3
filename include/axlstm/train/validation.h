// The loss on clips that are not trained on.
#pragma once

#include <memory>
#include <vector>

#include "axlstm/data/clip_source.h"
#include "axlstm/objective/objective.h"
#include "axlstm/runtime/arithmetic.h"

namespace axlstm::train {

/// One crop of every held-out clip with one draw of the objective's random numbers, the same each time, so that only
/// the model makes a difference.
class Validation {
 public:
  /// Clips of data.validation. Throws as open_clips does.
  explicit Validation(const config::RunConfig& config);

  std::int64_t size() const { return static_cast<std::int64_t>(clips_.size()); }

  /// Mean over the clips, in the precision of training. Clips that cannot be read are passed over, as in training.
  double loss(objective::Objective& objective, const runtime::Arithmetic& arithmetic);

 private:
  bool read(std::int64_t first, std::int64_t count, data::CropBatch& batch);

  config::RunConfig config_;
  std::shared_ptr<data::ClipSource> source_;
  std::vector<std::int64_t> clips_;  ///< those that can be read, as far as known
};

}  // namespace axlstm::train
