// The options of extract --stream.
#pragma once

#include <vector>

#include "axlstm/embed/extraction.h"
#include "axlstm/embed/live.h"
#include "axlstm/embed/open.h"
#include "cli.h"

namespace axlstm::cli {

struct StreamArguments {
  bool wanted = false;
  std::vector<double> statistics;  ///< mean and standard deviation, or none
  embed::LiveOptions live;
  const embed::ExtractionOptions* shared = nullptr;  ///< --kind and --resample
};

/// Returns the group of the options that mean nothing without --stream. `shared` must outlive `arguments`.
const CLI::App& add_stream_options(CLI::App& app, const embed::ExtractionOptions& shared, StreamArguments& arguments);

/// Embeds what comes from standard input; `app` tells which options were given.
int stream(const CLI::App& app, const embed::ModelArguments& model, const StreamArguments& arguments);

}  // namespace axlstm::cli
