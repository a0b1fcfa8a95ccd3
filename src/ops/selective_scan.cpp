#include "axlstm/ops/selective_scan.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "cpu/scan.h"
#include "scan_backends.h"

namespace axlstm::ops {
namespace {

void check_inputs(const ScanInputs& inputs) {
  const torch::Tensor& u = inputs.u;
  AXLSTM_CHECK(u.dim() == 3 && u.numel() > 0, "selective scan: u must be [batch, sequence, width] and not empty, got ",
               u.sizes());
  AXLSTM_CHECK(inputs.A.dim() == 2 && inputs.A.size(0) == u.size(2) && inputs.A.size(1) > 0,
               "selective scan: A must be [", u.size(2), ", states] to go with u ", u.sizes(), ", got ",
               inputs.A.sizes());
  const auto check = [&](const char* name, const torch::Tensor& x, at::IntArrayRef sizes) {
    AXLSTM_CHECK(x.sizes() == sizes, "selective scan: ", name, " must be ", sizes, " to go with u ", u.sizes(),
                 ", got ", x.sizes());
    AXLSTM_CHECK(x.device() == u.device(), "selective scan: ", name, " is on ", x.device(), ", u on ", u.device());
  };
  const std::int64_t I = u.size(2), N = inputs.A.size(1);
  check("delta", inputs.delta, u.sizes());
  check("A", inputs.A, {I, N});
  check("B", inputs.B, {u.size(0), u.size(1), N});
  check("C", inputs.C, {u.size(0), u.size(1), N});
  check("D", inputs.D, {I});
  check("z", inputs.z, u.sizes());
  check("delta_bias", inputs.delta_bias, {I});
}

/// All in one dtype: float64 if u is, else float32.
ScanInputs wide(const ScanInputs& inputs) {
  const auto dtype = inputs.u.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto to = [&](const torch::Tensor& x) { return x.to(dtype); };
  return {to(inputs.u), to(inputs.delta), to(inputs.A), to(inputs.B),
          to(inputs.C), to(inputs.D),     to(inputs.z), to(inputs.delta_bias)};
}

}  // namespace

torch::Tensor selective_scan(const ScanInputs& inputs, Backend backend) {
  check_inputs(inputs);
  if (backend != Backend::kReference && backend != Backend::kRecurrent) {
    const std::string obstacle =
        scan_kernel_obstacle(inputs.u.device(), inputs.u.scalar_type(), inputs.A.size(0), inputs.A.size(1));
    AXLSTM_CHECK(obstacle.empty() || backend == Backend::kAuto, "selective scan: own code cannot be used: ", obstacle);
    if (obstacle.empty()) return inputs.u.is_cpu() ? scan_cpu(wide(inputs)) : scan_cuda(inputs);
  }
  torch::Tensor state;
  return scan_reference(wide(inputs), state).to(inputs.u.scalar_type());
}

torch::Tensor selective_scan_stream(const ScanInputs& inputs, torch::Tensor& state) {
  check_inputs(inputs);
  return scan_reference(wide(inputs), state).to(inputs.u.scalar_type());
}

std::string scan_kernel_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t width,
                                 std::int64_t states) {
  if (!device.is_cpu()) {
    const std::string obstacle = cuda_scan_obstacle(dtype);
    if (!obstacle.empty()) return obstacle;
  } else if (dtype != torch::kFloat32) {
    return str("dtype ", c10::toString(dtype), " is not float32 (on the CPU)");
  }
  if (width % cpu::kRowMultiple != 0) return str("the width ", width, " is not a multiple of ", cpu::kRowMultiple);
  if (states > cpu::kMaxStates) return str("a state of ", states, " is larger than ", cpu::kMaxStates);
  return "";
}

}  // namespace axlstm::ops
