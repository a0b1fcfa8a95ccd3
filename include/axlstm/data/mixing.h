// Mixup (Zhang et al., 2018) of crops: x = λ·x₁ + (1 − λ)·x₂, and labels alike.
#pragma once

#include <cstdint>
#include <vector>

#include "axlstm/data/batch.h"
#include "axlstm/data/clip_source.h"

namespace axlstm::data {

struct Mixing {
  double probability = 0;  ///< share of the crops that are mixed
  double alpha = 10;       ///< λ is drawn from Beta(α, α)

  bool is_on() const { return probability > 0; }

  /// λ of a crop, drawn from `seed`; 1 where it is not mixed.
  float share(std::uint64_t seed) const;
};

/// What stands in `row` where nothing is mixed in: numbers that are finite.
void clear(CropBatch& crops, std::int64_t row, std::int64_t frames);

/// From a batch of 2·B crops, of which the last B are mixed in (clips −1: not), to one of B. `shares`: λ of each.
void mix(Batch& batch, const std::vector<float>& shares);

}  // namespace axlstm::data
