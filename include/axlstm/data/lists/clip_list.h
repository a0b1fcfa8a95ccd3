// Clips by name and place, millions of them in little memory. Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "axlstm/audio/decode.h"

namespace axlstm::data {

struct Clip {
  std::string id;
  std::filesystem::path path;
  audio::Segment segment;
  std::string labels = {};  ///< as the list has them, several joined by commas
};

/// A sequence of clips whose texts lie one after the other, paths without the folder that they share: a hundred bytes a
/// clip, where std::filesystem::path alone takes several hundred.
class ClipList {
 public:
  class Iterator {
   public:
    Iterator(const ClipList& list, std::size_t index) : list_(&list), index_(index) {}
    Clip operator*() const { return (*list_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const ClipList* list_;
    std::size_t index_;
  };

  /// `base`: the folder that relative paths begin at.
  explicit ClipList(std::filesystem::path base = {}) : base_(std::move(base)) {}

  /// Without `id` a clip is called by its path, as it is given here.
  void add(std::string_view path, std::string_view id = {}, const audio::Segment& segment = {},
           std::string_view labels = {});

  std::size_t size() const { return records_.size(); }
  bool empty() const { return records_.empty(); }
  Clip operator[](std::size_t index) const;
  std::string id(std::size_t index) const;
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

 private:
  struct Record {
    std::uint64_t text;  ///< where its path, id and labels begin, in this order
    std::uint32_t path_bytes, id_bytes, labels_bytes;
    audio::Segment segment;
  };

  std::string_view text(std::uint64_t begin, std::uint32_t bytes) const {
    return std::string_view(text_).substr(begin, bytes);
  }

  std::filesystem::path base_;
  std::string text_;
  std::vector<Record> records_;
};

}  // namespace axlstm::data
