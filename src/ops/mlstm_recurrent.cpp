#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <vector>

#include "mlstm_backends.h"

namespace axlstm::ops {
namespace {

MlstmState start_state(const torch::Tensor& q, const torch::Tensor& gates) {
  const auto B = q.size(0), NH = q.size(2), DH = q.size(3);
  const auto options = gates.options().requires_grad(false);
  // m starts at −∞, not 0: a start of 0 would change the weight of eps.
  return {torch::zeros({B, NH, DH, DH}, options), torch::zeros({B, NH, DH}, options),
          torch::full({B, NH}, -std::numeric_limits<double>::infinity(), options)};
}

}  // namespace

torch::Tensor mlstm_recurrent(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                              const torch::Tensor& log_i, const torch::Tensor& log_f, double eps, MlstmState& state) {
  if (!state.C.defined()) state = start_state(q, log_i);
  check_state(state, q);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  const auto dtype = log_i.scalar_type();  // the state has the gates' precision

  std::vector<torch::Tensor> outputs;
  for (std::int64_t t = 0; t < q.size(1); ++t) {
    const auto q_t = q.select(1, t).to(dtype) * scale;  // [B, NH, DH]
    const auto k_t = k.select(1, t).to(dtype), v_t = v.select(1, t).to(dtype);
    const auto i_t = log_i.select(1, t), f_t = log_f.select(1, t);  // [B, NH]

    const auto m = torch::maximum(f_t + state.m, i_t);
    const auto keep = (f_t + state.m - m).exp().unsqueeze(-1), add = (i_t - m).exp().unsqueeze(-1);  // [B, NH, 1]
    state.C = keep.unsqueeze(-1) * state.C + (add * k_t).unsqueeze(-1) * v_t.unsqueeze(-2);
    state.n = keep * state.n + add * k_t;
    state.m = m;

    const auto normaliser = torch::maximum((q_t * state.n).sum(-1).abs(), (-m).exp()).unsqueeze(-1) + eps;
    outputs.push_back((q_t.unsqueeze(-2).matmul(state.C).squeeze(-2) / normaliser).to(v.scalar_type()));
  }
  return torch::stack(outputs, 1);
}

}  // namespace axlstm::ops
