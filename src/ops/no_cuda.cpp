// Stands for the *_cuda.cpp files in a build without CUDA kernels.
#include "axlstm/core/error.h"
#include "axlstm/ops/add_norm.h"
#include "axlstm/ops/linear.h"
#include "axlstm/ops/mlstm_block.h"
#include "mlstm_backends.h"
#include "scan_backends.h"
#include "window_backends.h"

namespace axlstm::ops {
namespace {

constexpr const char* kObstacle = "this build has no CUDA kernels";

}  // namespace

std::string cuda_cell_obstacle(const torch::Device&, torch::ScalarType, std::int64_t) { return kObstacle; }

torch::Tensor mlstm_cell_kernel(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, const torch::Tensor&,
                                const torch::Tensor&, const MlstmOptions&) {
  throw Error(str("mlstm: ", kObstacle));
}

std::string cuda_block_obstacle(const torch::Device&, torch::ScalarType, std::int64_t, std::int64_t, std::int64_t) {
  return kObstacle;
}

Isa resolve_isa(Isa wanted, const torch::Device&, torch::ScalarType, std::int64_t) {
  if (wanted == Isa::kHopper) {
    throw UsageError(str("kernel.isa hopper cannot be used: ", kObstacle, "; set kernel.isa=auto"));
  }
  return Isa::kPortable;
}

ResidualStream cuda_mlstm_block(const ResidualStream&, const BlockWeights&, const BlockOptions&) {
  throw Error(str("mlstm_block: ", kObstacle));
}

std::string add_norm_obstacle(const torch::Device&, torch::ScalarType, std::int64_t) { return kObstacle; }

NormedSum fused_add_norm(const ResidualStream&, const torch::Tensor&, const torch::Tensor&, double, torch::ScalarType) {
  throw Error(str("add_norm: ", kObstacle));
}

std::string linear_obstacle(const torch::Device&, torch::ScalarType, std::int64_t) { return kObstacle; }

torch::Tensor fused_linear(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, Gelu, torch::ScalarType) {
  throw Error(str("linear: ", kObstacle));
}

std::string cuda_scan_obstacle(torch::ScalarType) { return kObstacle; }

torch::Tensor scan_cuda(const ScanInputs&) { throw Error(str("selective scan: ", kObstacle)); }

torch::Tensor mamba_mixer_cuda(const torch::Tensor&, const MixerWeights&) {
  throw Error(str("mamba mixer: ", kObstacle));
}

std::string cuda_window_obstacle(const torch::Tensor&, const WindowHeads&) { return kObstacle; }

torch::Tensor window_attention_cuda(const torch::Tensor&, const WindowHeads&) {
  throw Error(str("window attention: ", kObstacle));
}

}  // namespace axlstm::ops
