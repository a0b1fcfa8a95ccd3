// What the program runs on.
#pragma once

#include <string>

#include "axlstm/config/schema.h"

namespace axlstm::cli {

/// One line: device, mLSTM backend, LibTorch, CUDA and cuDNN versions.
std::string platform_summary(const config::RunConfig& config);

/// Several lines for a bug report.
std::string doctor_report();

}  // namespace axlstm::cli
