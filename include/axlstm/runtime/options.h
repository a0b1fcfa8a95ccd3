// What a program computes on and in; plain values.
#pragma once

#include <array>

#include "axlstm/core/enum_names.h"

namespace axlstm::runtime {

enum class DeviceChoice { kAuto, kCpu, kCuda };
constexpr auto enum_names(DeviceChoice) { return std::array{"auto", "cpu", "cuda"}; }

/// Arithmetic of matrix products; weights, optimiser and loss are float32 in all of them.
enum class Precision { kAuto, kBf16, kFp16, kFp32, kTf32 };
constexpr auto enum_names(Precision) { return std::array{"auto", "bf16", "fp16", "fp32", "tf32"}; }

}  // namespace axlstm::runtime
