// TensorBoard's event files: scalars, pictures and text. Free of LibTorch.
//
// A file is a sequence of records, each u64 length, u32 masked CRC-32C of the length, the bytes, u32 masked CRC-32C of
// the bytes (little-endian; TFRecord format). The bytes are an `Event` message of TensorFlow's event.proto, of which
// the few fields needed here are written by hand (protocol buffers' wire format).
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace axlstm::io {

/// CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected).
std::uint32_t crc32c(std::string_view bytes);

/// One record around `event`.
std::string tfrecord(std::string_view event);

class EventWriter {
 public:
  /// A new file `events.out.tfevents.<time>.<host>.<process>` in `folder`. Events of `first_step` and later in older
  /// files of the folder no longer count for TensorBoard: a resumed run does these steps again. Throws Error if it
  /// cannot be created.
  EventWriter(const std::filesystem::path& folder, std::int64_t first_step);

  void scalar(const std::string& tag, std::int64_t step, double value);

  /// `png` is a whole PNG file.
  void picture(const std::string& tag, std::int64_t step, std::string_view png);

  /// `text` is Markdown.
  void text(const std::string& tag, std::int64_t step, std::string_view text);

  /// Hands everything to the system. False if it could not be written, on a full disk for example.
  bool flush();

  const std::filesystem::path& path() const { return path_; }

 private:
  void event(std::int64_t step, const std::string& what);
  void summary(std::int64_t step, const std::string& value);

  std::filesystem::path path_;
  std::ofstream out_;
};

}  // namespace axlstm::io
