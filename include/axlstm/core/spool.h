// Bytes that are too many for memory and not finished yet: a file without a name, which is gone with the program.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "axlstm/core/error.h"

namespace axlstm {

/// A spool cannot be made, written or read; the message names its folder and the system's reason.
class SpoolError : public Error {
 public:
  using Error::Error;
};

/// Used by one thread at a time.
class Spool {
 public:
  /// In `folder`, which must be on a disk with room for it.
  explicit Spool(std::filesystem::path folder);
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  void append(std::string_view bytes);
  std::uint64_t size() const { return size_; }

  /// Gives all bytes in order, in pieces of a multiple of `unit` bytes each.
  void for_each_piece(const std::function<void(std::string_view)>& take, std::size_t unit = 1);

 private:
  void flush();
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path folder_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::string pending_;  ///< not written yet
};

}  // namespace axlstm
