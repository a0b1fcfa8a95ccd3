// What a step of training is made on.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

namespace axlstm::data {

struct Batch {
  torch::Tensor spectrogram;        ///< [B, 1, L, F] float32, normalised log-mel
  std::vector<std::int64_t> clips;  ///< index of each crop's clip
  std::vector<std::string> labels;  ///< of each crop's clip, as the list or shard has them; empty if nobody asked

  /// Of crops that are mixed with a second one (mixup), else undefined and empty.
  torch::Tensor share = {};                       ///< [B] float32 on the CPU: of the first crop; 1 where it is alone
  std::vector<std::string> labels_mixed_in = {};  ///< of the second crop's clip; empty text where there is none

  std::int64_t size() const { return spectrogram.size(0); }

  /// `count` clips from `first` on; shares the spectrogram's memory.
  Batch narrow(std::int64_t first, std::int64_t count) const;
};

}  // namespace axlstm::data
