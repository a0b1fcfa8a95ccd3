// What a program computes on and in; plain values.
#pragma once

namespace axlstm::runtime {

enum class DeviceChoice { kAuto, kCpu, kCuda };

/// Arithmetic of matrix products; weights, optimiser and loss are float32 in all of them.
enum class Precision { kAuto, kBf16, kFp16, kFp32, kTf32 };

}  // namespace axlstm::runtime
