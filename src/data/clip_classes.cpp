#include "axlstm/data/clip_classes.h"

#include "axlstm/core/error.h"

namespace axlstm::data {

void ClipClasses::add(const std::vector<std::int64_t>& classes) {
  for (const std::int64_t c : classes) classes_.push_back(static_cast<std::int32_t>(c));
  ends_.push_back(classes_.size());
}

std::span<const std::int32_t> ClipClasses::operator[](std::int64_t clip) const {
  AXLSTM_CHECK(clip >= 0 && clip < size(), "clip ", clip, " is none of the ", size(), " whose classes are known");
  const auto n = static_cast<std::size_t>(clip), begin = n == 0 ? 0 : ends_[n - 1];
  return std::span(classes_).subspan(begin, ends_[n] - begin);
}

}  // namespace axlstm::data
