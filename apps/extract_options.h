// The options of extract.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/embed/extraction.h"
#include "axlstm/embed/open.h"
#include "cli.h"
#include "stream_options.h"

namespace axlstm::cli {

struct ExtractArguments {
  embed::ModelArguments model;
  std::vector<std::filesystem::path> inputs;
  std::string packed;
  embed::ExtractionOptions extraction;
  StreamArguments stream;
};

/// Options that mean something for one kind of input only.
struct ExtractGroups {
  const CLI::App &files, &tasks, &streams;
};

ExtractGroups add_extract_options(CLI::App& app, ExtractArguments& arguments);

}  // namespace axlstm::cli
