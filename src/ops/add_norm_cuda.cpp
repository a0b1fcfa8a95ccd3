// The fused sum and layer norm: one kernel forward, one backward.
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/ops/add_norm.h"
#include "block_launch.h"
#include "kernel_call.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

kernels::AddNormParams params_of(const torch::Tensor& sum, const torch::Tensor& weight, double eps, bool reverse_y) {
  kernels::AddNormParams params;
  params.B = sum.size(0);
  params.S = sum.size(1);
  params.D = sum.size(2);
  params.eps = static_cast<float>(eps);
  params.weight_offset = 0.0F;
  params.reverse_y = reverse_y;
  params.weight = weight.const_data_ptr<float>();
  params.sum = sum.data_ptr<float>();
  return params;
}

class AddNormFunction : public torch::autograd::Function<AddNormFunction> {
 public:
  /// x, weight, bias float32, delta `dtype`, all contiguous; returns sum and normed.
  static tensor_list forward(AutogradContext* context, const torch::Tensor& x,
                             const std::optional<torch::Tensor>& delta, const torch::Tensor& weight,
                             const torch::Tensor& bias, double eps, bool reverse_delta, torch::ScalarType dtype) {
    const KernelContext call(x);
    const auto sum = torch::empty_like(x), normed = torch::empty(x.sizes(), x.options().dtype(dtype));
    auto params = params_of(sum, weight, eps, reverse_delta);
    params.x = x.const_data_ptr<float>();
    params.y = delta ? delta->data_ptr() : nullptr;
    params.bias = bias.const_data_ptr<float>();
    params.u = normed.data_ptr();
    check_launch(kernels::add_norm(params, data_type(dtype), call.stream()));
    context->save_for_backward({sum, weight});
    context->saved_data["eps"] = eps;
    context->saved_data["reverse_delta"] = reverse_delta;
    context->saved_data["has_delta"] = delta.has_value();
    context->saved_data["dtype"] = static_cast<std::int64_t>(dtype);
    context->set_materialize_grads(false);
    return {sum, normed};
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &sum = saved[0], &weight = saved[1];
    const auto dtype = static_cast<torch::ScalarType>(context->saved_data["dtype"].toInt());
    const auto narrow = sum.options().dtype(dtype);
    const KernelContext call(sum);
    const auto du = gradients[1].defined() ? gradients[1].to(dtype).contiguous() : torch::zeros(sum.sizes(), narrow);
    const auto dsum = gradients[0].defined() ? gradients[0].contiguous() : torch::Tensor();
    const auto dx = torch::empty_like(sum);
    const auto ddelta = context->saved_data["has_delta"].toBool() ? torch::empty(sum.sizes(), narrow) : torch::Tensor();
    kernels::AddNormBackwardParams params;
    params.forward =
        params_of(sum, weight, context->saved_data["eps"].toDouble(), context->saved_data["reverse_delta"].toBool());
    params.parts = kernels::norm_parts(sum.size(0) * sum.size(1));
    const auto sums = torch::empty({2, params.parts, sum.size(2)}, sum.options());
    params.dsum = dsum.defined() ? dsum.const_data_ptr<float>() : nullptr;
    params.du = du.data_ptr();
    params.dx = dx.data_ptr<float>();
    params.dy = ddelta.defined() ? ddelta.data_ptr() : nullptr;
    params.dweight_parts = sums[0].data_ptr<float>();
    params.dbias_parts = sums[1].data_ptr<float>();
    check_launch(kernels::add_norm_backward(params, data_type(dtype), call.stream()));
    return {dx,
            ddelta,
            sum_of_parts(sums[0], call.stream()),
            sum_of_parts(sums[1], call.stream()),
            torch::Tensor(),
            torch::Tensor(),
            torch::Tensor()};
  }
};

}  // namespace

std::string add_norm_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t dim) {
  if (!device.is_cuda()) return str("the tensors are on ", device.str(), ", not on a GPU");
  if (dtype != torch::kFloat16 && dtype != torch::kBFloat16) {
    return str("dtype ", c10::toString(dtype), " is not float16 or bfloat16");
  }
  if (dim % 2 != 0 || dim > kernels::kMaxBlockWidth) {
    return str("the width ", dim, " is not an even number up to ", kernels::kMaxBlockWidth);
  }
  return "";
}

NormedSum fused_add_norm(const ResidualStream& stream, const torch::Tensor& weight, const torch::Tensor& bias,
                         double eps, torch::ScalarType dtype) {
  const auto wide = [](const torch::Tensor& x) { return x.to(torch::kFloat32).contiguous(); };
  std::optional<torch::Tensor> delta;
  if (stream.delta.defined()) delta = stream.delta.to(dtype).contiguous();
  const auto results =
      AddNormFunction::apply(wide(stream.x), delta, wide(weight), wide(bias), eps, stream.reversed, dtype);
  return {results[0], results[1]};
}

}  // namespace axlstm::ops
