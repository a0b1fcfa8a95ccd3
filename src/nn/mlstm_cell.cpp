#include "axlstm/nn/mlstm_cell.h"

#include <torch/torch.h>

#include "axlstm/ops/mlstm.h"

namespace axlstm::nn {

MlstmCellImpl::MlstmCellImpl(std::int64_t inner_dim, std::int64_t heads, const ops::MlstmOptions& options)
    : heads_(heads),
      options_(options),
      igate_(3 * inner_dim, heads),
      fgate_(3 * inner_dim, heads),
      outnorm_(inner_dim) {
  register_module("igate", igate_);
  register_module("fgate", fgate_);
  register_module("outnorm", outnorm_);
  const torch::NoGradGuard no_grad;
  igate_->weight.zero_();
  fgate_->weight.zero_();
  igate_->bias.normal_(0.0, 0.1);
  fgate_->bias.copy_(torch::linspace(3.0, 6.0, heads));
}

template <typename Cell>
torch::Tensor MlstmCellImpl::around(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                    const Cell& cell) {
  const auto gate_input = torch::cat({q, k, v}, -1);                            // [B, S, 3I]
  const auto i = igate_->forward(gate_input), f = fgate_->forward(gate_input);  // [B, S, NH]
  const auto split = [&](const torch::Tensor& x) { return x.unflatten(-1, {heads_, -1}); };
  return outnorm_->forward(cell(split(q), split(k), split(v), i, f));
}

torch::Tensor MlstmCellImpl::forward(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v) {
  return around(q, k, v, [&](const auto&... inputs) { return ops::mlstm(inputs..., options_); });
}

torch::Tensor MlstmCellImpl::forward(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                     ops::MlstmState& state) {
  return around(q, k, v, [&](const auto&... inputs) { return ops::mlstm_stream(inputs..., state, options_); });
}

void MlstmCellImpl::collect_weights(ops::BlockWeights& weights) const {
  weights.igate_weight = igate_->weight;
  weights.igate_bias = igate_->bias;
  weights.fgate_weight = fgate_->weight;
  weights.fgate_bias = fgate_->bias;
  weights.outnorm = outnorm_->weight();
}

}  // namespace axlstm::nn
