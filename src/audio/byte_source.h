// The bytes of a sound, wherever they lie: what every decoder reads from.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "axlstm/core/files.h"

namespace axlstm::audio {

/// Random access to a fixed number of bytes. Used by one thread.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  virtual std::uint64_t size() const = 0;

  /// Copies up to `count` bytes from byte `at` on; fewer only at the end. Throws Error if the disk fails.
  virtual std::size_t read(std::uint64_t at, void* target, std::size_t count) const = 0;

  /// The bytes [at, at + count), fewer where the source ends before.
  std::string text(std::uint64_t at, std::size_t count) const {
    std::string bytes(count, '\0');
    bytes.resize(read(at, bytes.data(), count));
    return bytes;
  }

 protected:
  std::size_t within(std::uint64_t at, std::size_t count) const {
    return at >= size() ? 0 : static_cast<std::size_t>(std::min<std::uint64_t>(count, size() - at));
  }
};

class FileBytes final : public ByteSource {
 public:
  explicit FileBytes(const std::filesystem::path& path) : file_(path) {}

  std::uint64_t size() const override { return file_.size(); }
  std::size_t read(std::uint64_t at, void* target, std::size_t count) const override {
    const std::size_t taken = within(at, count);
    if (taken >= kWindow) {
      file_.read(at, target, taken);
    } else if (taken > 0) {
      if (at < window_at_ || at + taken > window_at_ + window_.size()) {
        window_.resize(within(at, kWindow));
        file_.read(at, window_.data(), window_.size());
        window_at_ = at;
      }
      std::memcpy(target, window_.data() + (at - window_at_), taken);
    }
    return taken;
  }

 private:
  static constexpr std::size_t kWindow = std::size_t{1} << 15;  // libmpg123 asks for some hundred bytes at a time

  InputFile file_;
  mutable std::vector<char> window_;
  mutable std::uint64_t window_at_ = 0;
};

class MemoryBytes final : public ByteSource {
 public:
  explicit MemoryBytes(std::string_view bytes) : bytes_(bytes) {}

  std::uint64_t size() const override { return bytes_.size(); }
  std::size_t read(std::uint64_t at, void* target, std::size_t count) const override {
    const std::size_t taken = within(at, count);
    if (taken > 0) std::memcpy(target, bytes_.data() + at, taken);
    return taken;
  }

 private:
  std::string_view bytes_;
};

/// A part of another source, which must outlive it.
class WindowBytes final : public ByteSource {
 public:
  WindowBytes(const ByteSource& whole, std::uint64_t begin, std::uint64_t end)
      : whole_(whole), begin_(begin), size_(end - begin) {}

  std::uint64_t size() const override { return size_; }
  std::size_t read(std::uint64_t at, void* target, std::size_t count) const override {
    return whole_.read(begin_ + at, target, within(at, count));
  }

 private:
  const ByteSource& whole_;
  std::uint64_t begin_, size_;
};

/// Another source, which must outlive it, with some of its bytes replaced: a header that says what is true.
class PatchedBytes final : public ByteSource {
 public:
  explicit PatchedBytes(const ByteSource& whole) : whole_(whole) {}

  /// A little-endian number of four bytes at byte `at`.
  void replace(std::uint64_t at, std::uint32_t value) { patches_.push_back({at, value}); }

  std::uint64_t size() const override { return whole_.size(); }
  std::size_t read(std::uint64_t at, void* target, std::size_t count) const override {
    const std::size_t got = whole_.read(at, target, count);
    for (const Patch& patch : patches_) {
      for (std::uint64_t byte = 0; byte < 4; ++byte) {
        const std::uint64_t place = patch.at + byte;
        if (place >= at && place - at < got)
          static_cast<char*>(target)[place - at] = static_cast<char>(patch.value >> (8 * byte) & 0xFF);
      }
    }
    return got;
  }

 private:
  struct Patch {
    std::uint64_t at;
    std::uint32_t value;
  };

  const ByteSource& whole_;
  std::vector<Patch> patches_;
};

}  // namespace axlstm::audio
