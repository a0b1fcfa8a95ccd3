// The selective scan by CUDA kernels, behind ops::selective_scan, and the launches that the mixer shares.
#include <torch/torch.h>

#include "scan_backends.h"
#include "scan_call.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

class ScanFunction : public torch::autograd::Function<ScanFunction> {
 public:
  /// All contiguous, in the order of ScanTensors.
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& u, const torch::Tensor& delta,
                               const torch::Tensor& A, const torch::Tensor& B, const torch::Tensor& C,
                               const torch::Tensor& D, const torch::Tensor& z, const torch::Tensor& bias, bool keep) {
    auto [y, states] = run_scan({u, delta, A, B, C, D, z, bias}, keep);
    if (keep) context->save_for_backward({u, delta, A, B, C, D, z, bias, states});
    return y;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const ScanTensors tensors{saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6], saved[7]};
    ScanGradients found;
    found.du = torch::empty_like(tensors.u);
    found.ddelta = torch::empty_like(tensors.u);
    found.dz = torch::empty_like(tensors.u);
    run_scan_backward(tensors, saved[8], gradients[0].contiguous(), found);
    const auto of_BC = found.dBC.to(tensors.B.scalar_type()).chunk(2, -1);
    return {found.du, found.ddelta, found.dA, of_BC[0], of_BC[1], found.dD, found.dz, found.dbias, torch::Tensor()};
  }
};

}  // namespace

ScanResult run_scan(const ScanTensors& tensors, bool keep) {
  const KernelContext call(tensors.u);
  auto params = tensors.params();
  const auto& shape = params.shape;
  ScanResult result{torch::empty({shape.B, shape.S, shape.I}, tensors.u.options()), {}};
  if (keep) {
    result.states = torch::empty({kernels::kept_elements(shape)}, tensors.u.options());
    params.states = result.states.data_ptr();
  }
  params.y = token_rows(result.y);
  check_launch(kernels::scan_forward(params, data_type(tensors.u.scalar_type()), call.stream()));
  return result;
}

void run_scan_backward(const ScanTensors& tensors, const torch::Tensor& states, const torch::Tensor& dy,
                       ScanGradients& gradients) {
  const KernelContext call(tensors.u);
  kernels::ScanBackwardParams params;
  params.forward = tensors.params();
  params.forward.states = states.data_ptr();
  const auto& shape = params.forward.shape;
  const auto wide = tensors.A.options();
  const auto dBC = torch::empty({kernels::scan_parts(shape), shape.B, shape.S, 2 * shape.N}, wide);
  const auto dA = torch::empty({shape.B, shape.N, shape.I}, wide), vectors = torch::empty({shape.B, 2, shape.I}, wide);
  params.dy = token_rows(dy);
  params.du = token_rows(gradients.du);
  params.ddelta = token_rows(gradients.ddelta);
  params.dz = token_rows(gradients.dz);
  params.dBC_parts = dBC.data_ptr<float>();
  params.dA_parts = dA.data_ptr<float>();
  params.vector_parts = vectors.data_ptr<float>();
  check_launch(kernels::scan_backward(params, data_type(tensors.u.scalar_type()), call.stream()));
  gradients.dBC = dBC.sum(0);
  gradients.dA = sum_of_parts(dA, call.stream());
  const auto sums = sum_of_parts(vectors, call.stream());
  gradients.dD = sums[0];
  gradients.dbias = sums[1];
}

torch::Tensor scan_cuda(const ScanInputs& inputs) {
  const auto dtype = inputs.u.scalar_type();
  const auto tokens = [&](const torch::Tensor& x) { return x.to(dtype).contiguous(); };
  const auto wide = [](const torch::Tensor& x) { return x.to(torch::kFloat32).contiguous(); };
  return ScanFunction::apply(tokens(inputs.u), tokens(inputs.delta), wide(inputs.A.t()), tokens(inputs.B),
                             tokens(inputs.C), wide(inputs.D), tokens(inputs.z), wide(inputs.delta_bias),
                             /*keep=*/at::GradMode::is_enabled());
}

std::string cuda_scan_obstacle(torch::ScalarType dtype) {
  const bool known = dtype == torch::kFloat32 || dtype == torch::kFloat16 || dtype == torch::kBFloat16;
  return known ? "" : str("dtype ", c10::toString(dtype), " is not float32, float16 or bfloat16");
}

}  // namespace axlstm::ops
