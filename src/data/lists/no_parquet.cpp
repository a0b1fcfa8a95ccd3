// In place of parquet_rows.cpp and parquet_stream.cpp where Arrow's libraries are not there.
#include "axlstm/core/error.h"
#include "axlstm/data/lists/parquet_stream.h"

namespace axlstm::data {

std::unique_ptr<ClipStream> stream_parquet(const std::vector<std::filesystem::path>&, const ParquetColumns&,
                                           const std::filesystem::path&) {
  throw UsageError(
      "this build reads no Parquet: install PyPI's pyarrow (scripts/setup.sh does), configure with "
      "-DARROW_ROOT=<its folder> and build again");
}

}  // namespace axlstm::data
