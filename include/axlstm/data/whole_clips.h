// What is computed of whole clips, crop by crop.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "axlstm/data/clip_source.h"

namespace axlstm::data {

/// The first frames of the crops of `count` frames that cover a clip of `frames` frames: ⌈frames / count⌉, at equal
/// distances from the first one to the last; 0 of a shorter clip.
std::vector<std::int64_t> crop_starts(std::int64_t frames, std::int64_t count);

struct WholeClipsOptions {
  std::int64_t crop_frames = 200;
  std::int64_t batch = 64;  ///< crops at once
  torch::Device device = torch::kCPU;
};

struct WholeClips {
  std::vector<std::int64_t> clips;  ///< those that could be read
  torch::Tensor values;             ///< [clips, C] float32 on the CPU
};

/// Means over the crops of each of `clips` of what `compute` makes of crops [B, 1, frames, F] on the device: [B, C].
/// A clip that cannot be read is reported to the source and left out. Used by one thread.
WholeClips over_whole_clips(ClipSource& source, const std::vector<std::int64_t>& clips,
                            const WholeClipsOptions& options,
                            const std::function<torch::Tensor(const torch::Tensor& crops)>& compute);

}  // namespace axlstm::data
