// Linear layers with fused kernels beside LibTorch's products.
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/ops/linear.h"
#include "kernel_call.h"
#include "linear_launch.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

class LinearFunction : public torch::autograd::Function<LinearFunction> {
 public:
  /// x [..., K] and weight [N, K] in the narrow type, bias [N] float32.
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& weight,
                               const torch::Tensor& bias, Gelu gelu) {
    const KernelContext call(x);
    const auto product = torch::linear(x, weight, bias.to(x.scalar_type()));
    context->save_for_backward({x, weight, gelu == Gelu::kNone ? torch::Tensor() : product});
    context->saved_data["gelu"] = static_cast<std::int64_t>(gelu);
    if (gelu == Gelu::kNone) return product;
    const auto y = torch::empty_like(product);
    const kernels::GeluParams params{product.numel(), static_cast<kernels::Gelu>(gelu), product.const_data_ptr(),
                                     y.data_ptr()};
    check_launch(kernels::gelu(params, data_type(x.scalar_type()), call.stream()));
    return y;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &product = saved[2];
    const auto K = weight.size(1), N = weight.size(0);
    const KernelContext call(x);
    const auto dy = aligned(gradients[0].to(x.scalar_type())).view({-1, N});
    const auto dproduct = product.defined() ? torch::empty_like(dy) : dy;
    kernels::BiasGradientParams params;
    params.tokens = dy.size(0);
    params.N = N;
    params.gelu = static_cast<kernels::Gelu>(context->saved_data["gelu"].toInt());
    params.dy = dy.const_data_ptr();
    params.x = product.defined() ? product.const_data_ptr() : nullptr;
    params.dx = product.defined() ? dproduct.data_ptr() : nullptr;
    params.part_count = kernels::bias_parts(params.tokens, N);
    const auto parts = torch::empty({params.part_count, N}, dy.options().dtype(torch::kFloat32));
    params.parts = parts.data_ptr<float>();
    check_launch(kernels::bias_gradient(params, data_type(dy.scalar_type()), call.stream()));
    const auto wanted = [&](std::size_t argument, const auto& make) {
      return context->needs_input_grad(argument) ? make() : torch::Tensor();
    };
    return {wanted(0, [&] { return dproduct.mm(weight).view(x.sizes()); }),
            wanted(1,
                   [&] {
                     return dproduct.t().mm(x.reshape({-1, K}));
                   }),
            wanted(2, [&] { return sum_of_parts(parts, call.stream()); }), torch::Tensor()};
  }
};

}  // namespace

static_assert(static_cast<int>(Gelu::kTanh) == static_cast<int>(kernels::Gelu::kTanh) &&
              static_cast<int>(Gelu::kErf) == static_cast<int>(kernels::Gelu::kErf));

std::string linear_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t outputs) {
  if (!device.is_cuda()) return str("the tensors are on ", device.str(), ", not on a GPU");
  if (dtype != torch::kFloat16 && dtype != torch::kBFloat16) {
    return str("dtype ", c10::toString(dtype), " is not float16 or bfloat16");
  }
  if (outputs % kernels::kLinearVector != 0)
    return str(outputs, " outputs are no multiple of ", kernels::kLinearVector);
  return "";
}

torch::Tensor fused_linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, Gelu gelu,
                           torch::ScalarType dtype) {
  return LinearFunction::apply(x.to(dtype), weight.to(dtype), bias.to(torch::kFloat32), gelu);
}

}  // namespace axlstm::ops
