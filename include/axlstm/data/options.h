// Where training audio comes from; plain values, whose meaning is in their visit.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "axlstm/core/visitor.h"

namespace axlstm::data {

/// What packed clips are kept as: samples, or float16 log-mel normalised by the clip's mean and standard deviation.
enum class Encoding { kPcm16, kLogMel16 };
constexpr auto enum_names(Encoding) { return std::array{"pcm16", "logmel16"}; }

/// Which clips of a configuration.
enum class Part { kTraining, kValidation, kTest };

struct DataOptions {
  std::string root;
  std::string manifest;
  std::string packed;
  std::int64_t synthetic = 0;
  std::string validation;
  std::string test;
  std::string task;
  std::int64_t fold = -1;
  Part part = Part::kTraining;  ///< of task and fold; no key
  std::int64_t workers = 0;
  std::int64_t cache_mb = 1024;
  double max_bad_fraction = 0.1;
  double min_decoded_fraction = 0.9;
};

/// Section `data`.
void visit(DataOptions& data, Visitor& v);

}  // namespace axlstm::data
