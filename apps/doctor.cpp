#include "doctor.h"

#include <torch/torch.h>
#ifdef AXLSTM_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

#include <sstream>

#include "axlstm/audio/decode.h"
#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/distributed/process_group.h"
#include "axlstm/runtime/device.h"

namespace axlstm::cli {
namespace {

std::string cuda_versions() {
  if (!at::hasCUDA()) return "CUDA none (a CPU build of LibTorch, or no driver)";
  const long cudart = at::detail::getCUDAHooks().versionCUDART(), cudnn = at::detail::getCUDAHooks().versionCuDNN();
  return str("CUDA ", cudart / 1000, ".", cudart % 1000 / 10, ", cuDNN ", cudnn / 10000, ".", cudnn % 10000 / 100, ".",
             cudnn % 100);
}

std::string gpu_names() {
  std::string names;
#ifdef AXLSTM_WITH_CUDA
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) return "";
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) continue;
    names += str(index ? ", " : "", properties.name, " (sm_", properties.major, properties.minor, ", ",
                 properties.totalGlobalMem >> 30, " GiB)");
  }
#endif
  return names;
}

}  // namespace

std::string platform_summary(runtime::DeviceChoice choice) {
  const auto device = runtime::choose_device(choice);
  const std::string name = device.is_cuda() ? gpu_names() : str("CPU (", torch::get_num_threads(), " threads)");
  return str("device ", device.is_cuda() && name.empty() ? "GPU" : name, ", LibTorch ", TORCH_VERSION, ", ",
             cuda_versions());
}

std::string doctor_report() {
  std::ostringstream report;
  report << "axlstm        " << AXLSTM_VERSION << "\n"
         << "compiler      " << __VERSION__ << "\n"
#ifdef AXLSTM_WITH_CUDA
         << "CUDA kernels  built for architectures " << AXLSTM_CUDA_ARCHITECTURES << "\n"
#else
         << "CUDA kernels  not built\n"
#endif
         << "ranks by      " << distributed::process_group_backends() << "\n"
         << "LibTorch      " << TORCH_VERSION << "\n"
         << "              " << cuda_versions() << "\n"
         << "GPUs          "
         << (torch::cuda::is_available() ? str(static_cast<int>(torch::cuda::device_count()), " usable: ", gpu_names())
                                         : "none usable")
         << "\n"
         << "CPU           " << allowed_cores() << " cores for this process, " << torch::get_num_threads()
         << " threads an operator\n"
         << "audio by      " << audio::decoder_version() << "\n\n"
         << torch::show_config() << "\n";
  return report.str();
}

}  // namespace axlstm::cli
