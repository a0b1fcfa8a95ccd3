// Stands for mlstm_cuda.cpp in a build without CUDA kernels.
#include "axlstm/core/error.h"
#include "mlstm_backends.h"

namespace axlstm::ops {

std::string cell_kernel_obstacle(const torch::Device&, torch::ScalarType, std::int64_t) {
  return "this build has no CUDA kernels";
}

torch::Tensor mlstm_cell_kernel(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, const torch::Tensor&,
                                const torch::Tensor&, double) {
  throw Error("mlstm: this build has no CUDA kernels");
}

}  // namespace axlstm::ops
