#include "axlstm/data/batch.h"

namespace axlstm::data {
namespace {

/// Of one entry a clip, or none at all.
template <typename T>
std::vector<T> part(const std::vector<T>& all, std::int64_t first, std::int64_t count) {
  if (all.empty()) return {};
  return {all.begin() + first, all.begin() + first + count};
}

}  // namespace

Batch Batch::narrow(std::int64_t first, std::int64_t count) const {
  return {spectrogram.narrow(0, first, count), part(clips, first, count), classes,
          share.defined() ? share.narrow(0, first, count) : share, part(mixed_in, first, count)};
}

}  // namespace axlstm::data
