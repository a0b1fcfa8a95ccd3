// What the program runs on.
#pragma once

#include <string>

#include "axlstm/runtime/options.h"

namespace axlstm::cli {

/// One line: device, LibTorch, CUDA and cuDNN versions.
std::string platform_summary(runtime::DeviceChoice choice);

/// Several lines for a bug report.
std::string doctor_report();

}  // namespace axlstm::cli
