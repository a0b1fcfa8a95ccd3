// Clips out of Parquet files as Hugging Face's data sets have them. In the library axlstm_parquet, which alone links
// Arrow; a build without Arrow's libraries refuses the call.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "axlstm/data/lists/clip_stream.h"

namespace axlstm::data {

/// Names of columns; an empty one is looked for by the usual names (docs/data.md).
struct ParquetColumns {
  std::string audio, id, labels;
};

/// A clip for each row of the files, in order; `inputs` are files or folders of *.parquet at any depth. The audio
/// column is {bytes, path} (the Audio feature), bytes, or paths; paths begin at `root`, or at their file's folder if it
/// is empty. A row group is read piece by piece, so that memory does not grow with it. An id that comes again gets
/// "#2". Rows without audio, and those that a damaged file does not give, are clips with `failure`. Throws UsageError
/// if a column is not there, naming those that are, Error for a missing file.
std::unique_ptr<ClipStream> stream_parquet(const std::vector<std::filesystem::path>& inputs,
                                           const ParquetColumns& columns, const std::filesystem::path& root);

}  // namespace axlstm::data
