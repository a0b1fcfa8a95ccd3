// Every key of `hear-eval --config`: models and tasks in, a report out.
#pragma once

#include <string>
#include <vector>

#include "axlstm/config/config.h"
#include "axlstm/embed/options.h"
#include "axlstm/hear/options.h"
#include "axlstm/train/options.h"

namespace axlstm::config {

struct HearConfig {
  std::vector<std::string> models;
  std::vector<std::string> tasks;
  std::string output = "runs/hear";
  embed::LayoutChoice layout = embed::LayoutChoice::kModel;
  runtime::DeviceChoice extract_device = runtime::DeviceChoice::kAuto;
  runtime::Precision precision = runtime::Precision::kAuto;
  double batch_seconds = embed::kBatchSeconds;
  bool resample = false;
  bool per_file = false;
  std::string grid = hear::kGrids.front();
  std::int64_t grid_points = hear::kGridPoints;
  std::int64_t first_seed = 0;
  std::int64_t seeds = 10;
  std::int64_t jobs = 0;
  std::int64_t threads = 1;
  runtime::DeviceChoice device = runtime::DeviceChoice::kCpu;
  bool published = true;
  bool mix_grids = false;
};

/// Section `hear`.
void visit(HearConfig& config, Visitor& v);

/// Reads a tree strictly. Throws UsageError, also if there are no models or, where they are needed, no tasks.
HearConfig read_hear(const Node& root, bool needs_tasks = true);

/// The keys' part of docs/config.md.
std::string hear_reference();

}  // namespace axlstm::config
