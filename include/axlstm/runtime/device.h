// What this machine has to compute with.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "axlstm/runtime/options.h"

namespace axlstm::runtime {

/// The device that a choice means here. Throws UsageError for cuda where there is none.
torch::Device choose_device(DeviceChoice choice);

/// The same for work that several GPUs can share: all of them.
std::vector<torch::Device> choose_devices(DeviceChoice choice);

/// CPU threads of one operator: `wanted` if positive, else what OMP_NUM_THREADS or MKL_NUM_THREADS asks for, else this
/// process's share of the cores that may be used, `sharers` processes sharing them.
int cpu_threads(std::int64_t wanted = 0, std::int64_t sharers = 1);

/// Name of a GPU, such as "NVIDIA H100 80GB HBM3"; empty for the CPU, and if this program was built without CUDA.
std::string device_name(const torch::Device& device);

/// Most memory that the process has held so far, in 10^9 bytes: on the GPU what LibTorch reserved, else of the process.
std::optional<double> peak_memory_gb(const torch::Device& device);

}  // namespace axlstm::runtime
