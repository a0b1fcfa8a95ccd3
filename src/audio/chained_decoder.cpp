#include "axlstm/core/error.h"
#include "decoder.h"

namespace axlstm::audio {

ChainedDecoder::ChainedDecoder(std::vector<std::unique_ptr<ByteSource>> parts, Open open, std::string what,
                               double share)
    : parts_(std::move(parts)), open_(open), what_(std::move(what)), share_(share), current_(open_(*parts_.front())) {}

/// Opens the next part of the same rate; false at the end.
bool ChainedDecoder::open_next() {
  const int rate = sample_rate();
  if (const std::string note = current_->note(); !note.empty()) notes_ += (notes_.empty() ? "" : "; ") + note;
  while (++index_ < parts_.size()) {
    auto next = open_(*parts_[index_]);
    if (next->sample_rate() != rate) {
      ++left_out_;
      continue;
    }
    current_ = std::move(next);
    return true;
  }
  return false;
}

std::int64_t ChainedDecoder::read(float* target, std::int64_t count) {
  std::int64_t got = 0;
  while (got < count && index_ < parts_.size()) {
    const std::int64_t frames = current_->read(target + got, count - got);
    got += frames;
    if (frames == 0 && !open_next()) break;
  }
  return got;
}

std::string ChainedDecoder::note() const {
  std::string text = notes_;
  const auto add = [&](const std::string& part) {
    if (!part.empty()) text += (text.empty() ? "" : "; ") + part;
  };
  if (index_ < parts_.size()) add(current_->note());
  if (left_out_ > 0)
    add(str(left_out_, " of ", parts_.size(), " ", what_, " are left out, for they are not at ", sample_rate(), " Hz"));
  return text;
}

}  // namespace axlstm::audio
