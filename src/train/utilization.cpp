#include "axlstm/train/utilization.h"

#include <sys/resource.h>
#include <torch/torch.h>
#ifdef AXLSTM_WITH_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#include <cuda_runtime_api.h>
#endif

#include <array>
#include <cctype>

#include "axlstm/nn/mlstm_block.h"

namespace axlstm::train {
namespace {

constexpr std::int64_t kGates = 2, kMlpExpansion = 4;

struct Peak {
  const char* name;  ///< whole words of the device's name; the first that are found count
  double teraflops;  ///< bf16 and fp16, dense, accumulated in float32
};
constexpr std::array kPeaks{Peak{"H100 PCIe", 756}, Peak{"H100 NVL", 835}, Peak{"H100", 989},  Peak{"H200", 989},
                            Peak{"H800", 989},      Peak{"GH200", 989},    Peak{"B200", 2250}, Peak{"GB200", 2500},
                            Peak{"A100", 312},      Peak{"A800", 312},     Peak{"A40", 149.7}, Peak{"A30", 165},
                            Peak{"L40S", 362},      Peak{"L40", 181},      Peak{"L4", 121},    Peak{"RTX 4090", 165},
                            Peak{"RTX 3090", 71}};

bool has_words(const std::string& text, const std::string& words) {
  const auto is_part = [&](std::size_t at) {
    return at < text.size() && std::isalnum(static_cast<unsigned char>(text[at])) != 0;
  };
  for (std::size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) {
    if ((at == 0 || !is_part(at - 1)) && !is_part(at + words.size())) return true;
  }
  return false;
}

}  // namespace

double forward_flops(const model::EncoderOptions& encoder) {
  const auto D = static_cast<double>(encoder.dim), N = static_cast<double>(encoder.patches()), S = N + 1;
  const auto P = static_cast<double>(encoder.patch_pixels());
  double block = 0;
  if (encoder.arch == model::Arch::kAxlstm) {
    const double I = static_cast<double>(encoder.expansion) * D;
    const double projections = 3 * D * I;  // up to 2I, down from I
    const double narrow = I * (3 * nn::kQkvBlockSize + nn::kConvKernel + 3 * kGates * nn::kHeads);
    block = S * 2 * (projections + narrow) + 2 * I * S * (S + 1);  // Q·Kᵀ and C·V, causal
  } else {
    block = S * 2 * (4 + 2 * kMlpExpansion) * D * D + 4 * D * S * S;
  }
  const double ends = N * 2 * (P * D + D * D + D * P);  // patch embedding, reconstruction head
  return static_cast<double>(encoder.depth) * block + ends;
}

std::optional<double> peak_flops(const std::string& gpu_name, Precision precision) {
  if (precision == Precision::kFp32) return std::nullopt;
  for (const Peak& peak : kPeaks) {
    if (has_words(gpu_name, peak.name)) return 1e12 * peak.teraflops / (precision == Precision::kTf32 ? 2 : 1);
  }
  return std::nullopt;
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

}  // namespace axlstm::train
