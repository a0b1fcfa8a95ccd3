#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "mlstm_backends.h"

namespace axlstm::ops {
namespace {

torch::Tensor heads_first(const torch::Tensor& x) { return x.transpose(1, 2); }  // [B, NH, S, …]

/// The state behind the last token, each token's part scaled by exp(its log weight there − m).
MlstmState state_behind(const torch::Tensor& k, const torch::Tensor& v, const torch::Tensor& log_i,
                        const torch::Tensor& F, const MlstmState& before) {
  const auto F_end = F.select(-1, -1);                                    // [B, NH]
  const auto log_weights = F_end.unsqueeze(-1) - F + heads_first(log_i);  // [B, NH, S]
  auto m = std::get<0>(log_weights.max(-1));
  if (before.C.defined()) m = torch::maximum(m, F_end + before.m);
  const auto keys = heads_first(k) * (log_weights - m.unsqueeze(-1)).exp().unsqueeze(-1);
  MlstmState state{keys.transpose(-2, -1).matmul(heads_first(v)), keys.sum(-2), m};
  if (!before.C.defined()) return state;
  const auto keep = (F_end + before.m - m).exp().unsqueeze(-1);  // [B, NH, 1]
  state.C = state.C + keep.unsqueeze(-1) * before.C;
  state.n = state.n + keep * before.n;
  return state;
}

}  // namespace

torch::Tensor mlstm_reference(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                              const torch::Tensor& log_i, const torch::Tensor& log_f, double eps, MlstmState* state) {
  const bool continues = state && state->C.defined();
  if (continues) check_state(*state, q);
  const auto S = q.size(1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));

  const auto F = heads_first(log_f).cumsum(-1);                                             // [B, NH, S]
  const auto log_D = F.unsqueeze(-1) - F.unsqueeze(-2) + heads_first(log_i).unsqueeze(-2);  // [B, NH, S, S]
  const auto future = torch::ones({S, S}, log_D.options().dtype(torch::kBool)).triu(1);
  const auto masked_log_D = log_D.masked_fill(future, -std::numeric_limits<double>::infinity());
  auto m = std::get<0>(masked_log_D.max(-1, /*keepdim=*/true));  // [B, NH, S, 1]
  torch::Tensor queries;                                         // of the state, with its weight at each token
  if (continues) {
    const auto log_weight = (F + state->m.unsqueeze(-1)).unsqueeze(-1);
    m = torch::maximum(m, log_weight);
    queries = heads_first(q) * scale * (log_weight - m).exp();
  }

  const auto scores = heads_first(q).matmul((heads_first(k) * scale).transpose(-2, -1));  // [B, NH, S, S]
  const auto C = scores * (masked_log_D - m).exp();
  auto sum = C.sum(-1, /*keepdim=*/true);
  if (continues) sum = sum + (queries * state->n.unsqueeze(-2)).sum(-1, /*keepdim=*/true);
  const auto n = torch::maximum(sum.abs(), (-m).exp());
  auto h = (C / (n + eps)).to(v.scalar_type()).matmul(heads_first(v));  // [B, NH, S, DH]
  if (continues) h = h + queries.matmul(state->C) / (n + eps);
  if (state) *state = state_behind(k, v, log_i, F, *state);
  return heads_first(h);
}

}  // namespace axlstm::ops
