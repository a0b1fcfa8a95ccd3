// What a step of training is made on.
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "axlstm/data/clip_classes.h"

namespace axlstm::data {

struct Batch {
  torch::Tensor spectrogram;                        ///< [B, 1, L, F] float32, normalised log-mel
  std::vector<std::int64_t> clips;                  ///< index of each crop's clip
  std::shared_ptr<const ClipClasses> classes = {};  ///< of all clips that `clips` count; null if nobody asked

  /// Of crops that are mixed with a second one (mixup), else undefined and empty.
  torch::Tensor share = {};                 ///< [B] float32 on the CPU: of the first crop; 1 where it is alone
  std::vector<std::int64_t> mixed_in = {};  ///< index of the second crop's clip; −1 where there is none

  std::int64_t size() const { return spectrogram.size(0); }

  /// `count` clips from `first` on; shares the spectrogram's memory.
  Batch narrow(std::int64_t first, std::int64_t count) const;
};

}  // namespace axlstm::data
