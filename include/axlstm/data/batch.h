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

  std::int64_t size() const { return spectrogram.size(0); }

  /// `count` clips from `first` on; shares the spectrogram's memory.
  Batch narrow(std::int64_t first, std::int64_t count) const;
};

}  // namespace axlstm::data
