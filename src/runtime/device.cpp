#include "axlstm/runtime/device.h"

#include <sys/resource.h>
#include <torch/torch.h>
#ifdef AXLSTM_WITH_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>
#endif

#include <mutex>

#include "axlstm/core/cores.h"
#include "axlstm/core/environment.h"
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"

namespace axlstm::runtime {

torch::Device choose_device(DeviceChoice choice) {
  const bool available = torch::cuda::is_available();
  if (choice == DeviceChoice::kCuda && !available) {
    throw UsageError(
        "the device cuda was asked for, but LibTorch sees none; --doctor shows what it sees, cpu always works");
  }
  static std::once_flag told;
  if (choice == DeviceChoice::kAuto && !available) {
    std::call_once(told, [] {
      log::warn_for_run(
          "no usable GPU (LibTorch sees none, or no driver that is new enough): computing on the CPU; ask for the "
          "device "
          "cpu to silence this");
    });
  }
  return choice == DeviceChoice::kCpu || !available ? torch::kCPU : torch::kCUDA;
}

std::vector<torch::Device> choose_devices(DeviceChoice choice) {
  if (choose_device(choice).is_cpu()) return {torch::kCPU};
  std::vector<torch::Device> devices;
  const auto count = static_cast<torch::DeviceIndex>(torch::cuda::device_count());
  for (torch::DeviceIndex index = 0; index < count; ++index) devices.emplace_back(torch::kCUDA, index);
  return devices;
}

int cpu_threads(std::int64_t wanted, std::int64_t sharers) {
  if (wanted > 0) return static_cast<int>(wanted);
  const int asked_for = threads_asked_for(process_environment());
  return asked_for > 0 ? asked_for : allowed_cores(static_cast<int>(sharers));
}

#ifdef AXLSTM_WITH_CUDA

std::string device_name(const torch::Device& device) {
  cudaDeviceProp properties{};
  if (!device.is_cuda() || cudaGetDeviceProperties(&properties, device.has_index() ? device.index() : 0) != cudaSuccess)
    return "";
  return properties.name;
}

std::optional<double> gpu_memory_gb(const torch::Device& device) {
  const auto index = static_cast<c10::DeviceIndex>(device.has_index() ? device.index() : 0);
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(index);
  return static_cast<double>(stats.reserved_bytes[0].peak) / 1e9;  // [0]: of all pools
}

#else

std::string device_name(const torch::Device&) { return ""; }

std::optional<double> gpu_memory_gb(const torch::Device&) { return std::nullopt; }

#endif

std::optional<double> peak_memory_gb(const torch::Device& device) {
  if (device.is_cuda()) return gpu_memory_gb(device);
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e9;
}

}  // namespace axlstm::runtime
