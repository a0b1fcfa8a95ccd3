// Rows of one Parquet file, read in order, in pieces.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "axlstm/data/lists/parquet_stream.h"

namespace axlstm::data {

struct ParquetRow {
  std::optional<std::string> bytes;  ///< the encoded audio, where it was asked for
  std::string path, id, labels;      ///< each empty where the row has none
};

class ParquetRows {
 public:
  /// Opens the file and finds the columns. Throws UsageError if they are not there, Error if the file is damaged.
  ParquetRows(const std::filesystem::path& path, const ParquetColumns& columns);
  ~ParquetRows();
  ParquetRows(ParquetRows&&) noexcept;

  std::int64_t size() const;

  /// The first row behind the row group that `row` is in.
  std::int64_t group_end(std::int64_t row) const;

  /// Fast for rows that follow each other. Without `with_audio` the audio is not read. Throws Error, also for anything
  /// that Arrow throws, without the path.
  ParquetRow at(std::int64_t row, bool with_audio);

 private:
  struct Reader;
  std::unique_ptr<Reader> reader_;
};

}  // namespace axlstm::data
