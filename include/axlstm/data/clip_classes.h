// The classes of many clips, as numbers, each clip's behind the one before: a few bytes a clip.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace axlstm::data {

class ClipClasses {
 public:
  /// Of the next clip.
  void add(const std::vector<std::int64_t>& classes);

  std::int64_t size() const { return static_cast<std::int64_t>(ends_.size()); }
  std::span<const std::int32_t> operator[](std::int64_t clip) const;

 private:
  std::vector<std::size_t> ends_;
  std::vector<std::int32_t> classes_;
};

}  // namespace axlstm::data
