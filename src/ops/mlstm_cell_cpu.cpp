// The cell on the CPU behind ops::mlstm.
#include <torch/torch.h>

#include "cpu/cell.h"
#include "cpu/parts.h"
#include "mlstm_backends.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

/// [B, S, NH, DH] → [B, NH, S, DH], or back.
at::Tensor swapped(const at::Tensor& x) { return x.transpose(1, 2).contiguous(); }

class CellFunction : public torch::autograd::Function<CellFunction> {
 public:
  /// q, k, v [B, S, NH, DH], i, f [B, S, NH], all float32.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& i, const at::Tensor& f, bool sigmoid_input, double eps) {
    const auto queries = swapped(q), keys = swapped(k), values = swapped(v);
    const auto h = at::empty_like(queries);
    cpu::each_clip(q.size(0), [&](std::int64_t, std::int64_t n) {
      cpu::cell_forward(queries[n], keys[n], values[n], gates(i[n], f[n], sigmoid_input), eps, h[n]);
    });
    context->save_for_backward({queries, keys, values, i, f});
    context->saved_data["sigmoid_input"] = sigmoid_input;
    context->saved_data["eps"] = eps;
    return h.transpose(1, 2);
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2], &i = saved[3], &f = saved[4];
    const bool sigmoid_input = context->saved_data["sigmoid_input"].toBool();
    const double eps = context->saved_data["eps"].toDouble();
    const auto dh = swapped(gradients[0]);
    const auto dq = at::empty_like(q), dk = at::empty_like(q), dv = at::empty_like(q);
    const auto di = at::empty_like(i), df = at::empty_like(f);
    cpu::each_clip(q.size(0), [&](std::int64_t, std::int64_t n) {
      cpu::cell_backward(q[n], k[n], v[n], gates(i[n], f[n], sigmoid_input), eps, dh[n],
                         {dq[n], dk[n], dv[n], {di[n].data_ptr<float>(), df[n].data_ptr<float>()}});
    });
    const auto back = [](const at::Tensor& x) { return x.transpose(1, 2); };
    return {back(dq), back(dk), back(dv), di, df, at::Tensor(), at::Tensor()};
  }

 private:
  static cpu::ClipGates gates(const at::Tensor& i, const at::Tensor& f, bool sigmoid_input) {
    return {i.const_data_ptr<float>(), f.const_data_ptr<float>(), i.size(1), sigmoid_input};
  }
};

}  // namespace

torch::Tensor mlstm_cell_cpu(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                             const torch::Tensor& i, const torch::Tensor& f, const MlstmOptions& options) {
  const auto gate = [](const torch::Tensor& x) { return x.to(torch::kFloat32).contiguous(); };
  return CellFunction::apply(q, k, v, gate(i), gate(f), options.input_gate == InputGate::kSigmoid, options.eps);
}

}  // namespace axlstm::ops
