#include "axlstm/data/lists/clip_list.h"

#include "axlstm/core/error.h"

namespace axlstm::data {

void ClipList::add(std::string_view path, std::string_view id, const audio::Segment& segment, std::string_view labels) {
  if (id == path) id = {};
  const auto size = [](std::string_view text) { return static_cast<std::uint32_t>(text.size()); };
  records_.push_back({text_.size(), size(path), size(id), size(labels), segment});
  text_.append(path).append(id).append(labels);
}

Clip ClipList::operator[](std::size_t index) const {
  AXLSTM_CHECK(index < size(), "clip ", index, " of ", size(), " was asked for");
  const Record& record = records_[index];
  const std::uint64_t labels = record.text + record.path_bytes + record.id_bytes;
  return {id(index), base_ / text(record.text, record.path_bytes), record.segment,
          std::string(text(labels, record.labels_bytes))};
}

std::string ClipList::id(std::size_t index) const {
  AXLSTM_CHECK(index < size(), "clip ", index, " of ", size(), " was asked for");
  const Record& record = records_[index];
  return std::string(record.id_bytes > 0 ? text(record.text + record.path_bytes, record.id_bytes)
                                         : text(record.text, record.path_bytes));
}

}  // namespace axlstm::data
