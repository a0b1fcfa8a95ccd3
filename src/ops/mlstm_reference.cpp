#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "mlstm_backends.h"

namespace axlstm::ops {

torch::Tensor mlstm_reference(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                              const torch::Tensor& log_i, const torch::Tensor& log_f, double eps) {
  const auto S = q.size(1);
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  const auto heads_first = [](const torch::Tensor& x) { return x.transpose(1, 2); };  // [B, NH, S, …]

  const auto F = heads_first(log_f).cumsum(-1);                                             // [B, NH, S]
  const auto log_D = F.unsqueeze(-1) - F.unsqueeze(-2) + heads_first(log_i).unsqueeze(-2);  // [B, NH, S, S]
  const auto future = torch::ones({S, S}, log_D.options().dtype(torch::kBool)).triu(1);
  const auto masked_log_D = log_D.masked_fill(future, -std::numeric_limits<double>::infinity());
  const auto m = std::get<0>(masked_log_D.max(-1, /*keepdim=*/true));  // [B, NH, S, 1]

  const auto scores = heads_first(q).matmul((heads_first(k) * scale).transpose(-2, -1));  // [B, NH, S, S]
  const auto C = scores * (masked_log_D - m).exp();
  const auto n = torch::maximum(C.sum(-1, /*keepdim=*/true).abs(), (-m).exp());
  const auto h = (C / (n + eps)).to(v.scalar_type()).matmul(heads_first(v));  // [B, NH, S, DH]
  return heads_first(h);
}

}  // namespace axlstm::ops
