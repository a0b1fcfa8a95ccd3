// Attention within windows: one kernel forward, one backward, of all heads.
#include <torch/torch.h>

#include "kernel_call.h"
#include "window_backends.h"
#include "window_launch.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

/// Sizes and windows; heads.windows.size() ≤ kMaxWindowHeads.
kernels::WindowParams params_of(const torch::Tensor& qkv, const std::vector<std::int64_t>& windows) {
  kernels::WindowParams params;
  params.B = qkv.size(0);
  params.S = qkv.size(1);
  params.NH = static_cast<std::int64_t>(windows.size());
  params.DH = qkv.size(2) / (3 * params.NH);
  for (std::size_t head = 0; head < windows.size(); ++head) {
    auto& of = params.heads[head];
    of.has_table = windows[head] > 0;
    of.window = static_cast<std::int32_t>(of.has_table ? windows[head] : params.S);
    of.table_at = static_cast<std::int32_t>(params.table_size);
    if (of.has_table) params.table_size += 2 * windows[head] - 1;
  }
  return params;
}

class WindowFunction : public torch::autograd::Function<WindowFunction> {
 public:
  /// All contiguous; `table` [of all heads] float32.
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& qkv, const torch::Tensor& table,
                               const std::vector<std::int64_t>& windows) {
    const KernelContext call(qkv);
    auto params = params_of(qkv, windows);
    const auto mixed = torch::empty({params.B, params.S, params.NH * params.DH}, qkv.options());
    const auto log_sum = torch::empty({params.B, params.NH, params.S}, table.options());
    params.table = table.const_data_ptr<float>();
    params.qkv = qkv.const_data_ptr();
    params.mixed = mixed.data_ptr();
    params.log_sum = log_sum.data_ptr<float>();
    check_launch(kernels::window_forward(params, data_type(qkv.scalar_type()), call.stream()));
    context->save_for_backward({qkv, table, mixed, log_sum});
    context->saved_data["windows"] = windows;
    return mixed;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &qkv = saved[0], &table = saved[1], &mixed = saved[2], &log_sum = saved[3];
    const KernelContext call(qkv);
    kernels::WindowBackwardParams params;
    params.forward = params_of(qkv, context->saved_data["windows"].toIntVector());
    params.forward.table = table.const_data_ptr<float>();
    params.forward.qkv = qkv.const_data_ptr();
    params.forward.mixed = mixed.data_ptr();
    params.forward.log_sum = log_sum.data_ptr<float>();
    const auto dmixed = gradients[0].to(qkv.scalar_type()).contiguous();
    const auto dqkv = torch::empty_like(qkv);
    const auto table_parts = torch::empty({params.forward.B, params.forward.table_size}, table.options());
    params.dmixed = dmixed.const_data_ptr();
    params.dqkv = dqkv.data_ptr();
    params.table_parts = table_parts.data_ptr<float>();
    check_launch(kernels::window_backward(params, data_type(qkv.scalar_type()), call.stream()));
    return {dqkv, sum_of_parts(table_parts, call.stream()), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor window_attention_cuda(const torch::Tensor& qkv, const WindowHeads& heads) {
  std::vector<torch::Tensor> tables{torch::empty({0}, qkv.options().dtype(torch::kFloat32))};
  for (const auto& table : heads.tables) {
    if (table.defined()) tables.push_back(table.flatten().to(torch::kFloat32));
  }
  return WindowFunction::apply(qkv.contiguous(), torch::cat(tables), heads.windows);
}

std::string cuda_window_obstacle(const torch::Tensor& qkv, const WindowHeads& heads) {
  const auto dtype = qkv.scalar_type();
  if (dtype != torch::kFloat16 && dtype != torch::kBFloat16) {
    return str("dtype ", c10::toString(dtype), " is not float16 or bfloat16");
  }
  const auto count = static_cast<std::int64_t>(heads.windows.size());
  if (count > kernels::kMaxWindowHeads || !kernels::window_kernels_take(params_of(qkv, heads.windows))) {
    return str(count, " heads of ", qkv.size(2) / (3 * count), " channels and ", qkv.size(1), " tokens are too many");
  }
  return "";
}

}  // namespace axlstm::ops
