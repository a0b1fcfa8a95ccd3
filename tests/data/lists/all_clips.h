// What a stream gives from first to last.
#pragma once

#include <utility>
#include <vector>

#include "axlstm/data/lists/clip_stream.h"

namespace axlstm::data {

inline std::vector<StreamedClip> all(ClipStream& stream) {
  std::vector<StreamedClip> clips;
  while (auto clip = stream.next()) clips.push_back(std::move(*clip));
  return clips;
}

}  // namespace axlstm::data
