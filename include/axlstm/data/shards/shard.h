// One file of packed clips. Free of LibTorch.
//
// All numbers are little-endian. A shard is
//   "AXLSHRD2" ("AXLSHRD1": records without a scale, which is 2^-15; read as ever)
//   the clips' data one after the other, each at a multiple of 64 bytes
//   a ShardRecord for each clip
//   ids and labels, one after the other
//   JSON that says how it was packed
//   a ShardFooter.
// The index lies behind the data, so that a shard is written in one go, however many clips it takes; it is used as it
// is read, without parsing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "axlstm/core/files.h"
#include "axlstm/core/spool.h"

namespace axlstm::data {

inline constexpr double kPcm16Scale = 1.0 / 32768;  ///< of samples that were 16-bit numbers before

struct ShardRecord {
  std::uint64_t offset;       ///< of the clip's data in the file
  std::uint64_t length;       ///< samples of PCM, frames of log-mel
  double mean, std;           ///< of the whole clip's log-mel; the deviation is the unbiased one
  std::uint64_t checksum;     ///< FNV-1a of the data
  std::uint64_t text_offset;  ///< of the id in the file; the labels follow it
  std::uint32_t id_bytes, labels_bytes;
  std::uint64_t data_bytes;
  double scale;  ///< PCM: of one step of the 16-bit numbers
};
static_assert(sizeof(ShardRecord) == 72);

struct ShardFooter {
  std::uint64_t records_offset, text_offset, meta_offset, clips;
  std::uint64_t checksum;  ///< FNV-1a of everything from records_offset to this footer
  char magic[8];           ///< "AXLSHRD2" again: the file is whole
};
static_assert(sizeof(ShardFooter) == 48);

/// A clip as it is put into a shard.
struct ShardClip {
  std::string id, labels;
  std::string data;
  std::shared_ptr<Spool> spool;  ///< the data, where they are too many for memory
  std::uint64_t length = 0;
  double mean = 0, std = 0;
  double scale = kPcm16Scale;
};

/// Writes a shard under a temporary name; it has its own name only when it is whole and on the disk.
class ShardWriter {
 public:
  explicit ShardWriter(std::filesystem::path path);
  ~ShardWriter();
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  void add(const ShardClip& clip);
  std::uint64_t bytes() const { return bytes_; }  ///< of data so far
  std::size_t clips() const { return records_.size(); }

  /// Adds index, `meta` and footer, flushes and renames.
  void finish(const std::string& meta);

 private:
  void append(std::string_view bytes);
  std::uint64_t append_data(const ShardClip& clip);  ///< returns its checksum

  std::filesystem::path path_, temporary_;
  SyncedWriter writer_;
  std::uint64_t bytes_ = 0;
  std::vector<ShardRecord> records_;  ///< text_offset still counts from the start of the text
  std::string text_;
  bool finished_ = false;
};

/// A clip of a shard; valid as long as its reader.
struct ShardView {
  std::string_view id, labels;
  std::uint64_t bytes = 0;   ///< of data
  std::uint64_t length = 0;  ///< samples of PCM, frames of log-mel
  double mean = 0, std = 0;
  std::uint64_t checksum = 0;
  const InputFile* file = nullptr;
  std::uint64_t offset = 0;
  double scale = kPcm16Scale;  ///< PCM: a sample is a 16-bit number times this

  /// Copies `count` bytes of data from byte `from` on. Throws Error naming the shard and the system's reason.
  void read(std::uint64_t from, void* target, std::size_t count) const;

  /// Compares the data with the checksum.
  bool is_whole() const;
};

/// A shard opened for reading. The index is in memory and verified, data when asked.
class ShardReader {
 public:
  /// Throws Error naming the file if it is no whole shard.
  explicit ShardReader(const std::filesystem::path& path);

  std::int64_t size() const { return static_cast<std::int64_t>(footer_.clips); }
  ShardView clip(std::int64_t index) const;
  std::string_view meta() const;
  std::uint64_t checksum() const { return footer_.checksum; }  ///< of the index, which holds those of the data

 private:
  ShardRecord record(std::int64_t index) const;

  std::shared_ptr<const InputFile> file_;  ///< shared: views stay valid when the reader is moved
  std::size_t record_bytes_ = 0;           ///< of its format
  ShardFooter footer_{};
  std::string index_;  ///< from records_offset to the footer
};

}  // namespace axlstm::data
