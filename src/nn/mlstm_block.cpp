#include "axlstm/nn/mlstm_block.h"

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <cmath>

#include "axlstm/core/error.h"
#include "axlstm/nn/init.h"

namespace axlstm::nn {
namespace {

torch::nn::Linear linear_without_bias(std::int64_t in, std::int64_t out) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(false));
}

}  // namespace

MlstmLayerImpl::MlstmLayerImpl(const MlstmBlockOptions& options)
    : proj_up_(linear_without_bias(options.dim, 2 * options.expansion * options.dim)),
      conv1d_(options.expansion * options.dim, kConvKernel),
      q_proj_(options.expansion * options.dim, kQkvBlockSize, small_init_std(options.dim)),
      k_proj_(options.expansion * options.dim, kQkvBlockSize, small_init_std(options.dim)),
      v_proj_(options.expansion * options.dim, kQkvBlockSize, small_init_std(options.dim)),
      mlstm_cell_(options.expansion * options.dim, kHeads, options.cell),
      proj_down_(linear_without_bias(options.expansion * options.dim, options.dim)) {
  register_module("proj_up", proj_up_);
  register_module("conv1d", conv1d_);
  register_module("q_proj", q_proj_);
  register_module("k_proj", k_proj_);
  register_module("v_proj", v_proj_);
  register_module("mlstm_cell", mlstm_cell_);
  learnable_skip_ = register_parameter("learnable_skip", torch::ones({options.expansion * options.dim}));
  register_module("proj_down", proj_down_);
  torch::nn::init::normal_(proj_up_->weight, 0.0, small_init_std(options.dim));
  torch::nn::init::normal_(proj_down_->weight, 0.0, 2.0 / std::sqrt(static_cast<double>(options.dim)));
}

template <typename Convolution, typename Cell>
torch::Tensor MlstmLayerImpl::around(const torch::Tensor& u, const Convolution& conv, const Cell& cell) {
  const auto up = proj_up_->forward(u).chunk(2, -1);  // a, z [B, S, I]
  const auto& a = up[0];
  const auto& z = up[1];
  const auto c = torch::silu(conv(a));
  const auto h = cell(q_proj_->forward(c), k_proj_->forward(c), v_proj_->forward(a));
  return proj_down_->forward((h + learnable_skip_ * c) * torch::silu(z));
}

torch::Tensor MlstmLayerImpl::forward(const torch::Tensor& u) {
  return around(
      u, [&](const auto& a) { return conv1d_->forward(a); },
      [&](const auto&... qkv) { return mlstm_cell_->forward(qkv...); });
}

torch::Tensor MlstmLayerImpl::forward(const torch::Tensor& u, BlockState& state) {
  state.resize(4);
  ops::MlstmState cell{state[0], state[1], state[2]};
  auto& before = state[3];
  const auto y = around(
      u, [&](const auto& a) { return conv1d_->forward(a, before); },
      [&](const auto&... qkv) { return mlstm_cell_->forward(qkv..., cell); });
  state[0] = cell.C;
  state[1] = cell.n;
  state[2] = cell.m;
  return y;
}

void MlstmLayerImpl::collect_weights(ops::BlockWeights& weights) const {
  weights.proj_up = proj_up_->weight;
  weights.conv_weight = conv1d_->weight();
  weights.conv_bias = conv1d_->bias();
  weights.q_proj = q_proj_->weight();
  weights.k_proj = k_proj_->weight();
  weights.v_proj = v_proj_->weight();
  mlstm_cell_->collect_weights(weights);
  weights.skip = learnable_skip_;
  weights.proj_down = proj_down_->weight;
}

MlstmBlockImpl::MlstmBlockImpl(const MlstmBlockOptions& options)
    : options_(options), norm_(options.dim), layer_(options) {
  register_module("norm", norm_);
  register_module("layer", layer_);
}

ops::BlockWeights MlstmBlockImpl::weights() const {
  ops::BlockWeights weights;
  weights.norm = norm_->weight();
  layer_->collect_weights(weights);
  return weights;
}

torch::Tensor MlstmBlockImpl::forward(const torch::Tensor& x) { return forward(ops::ResidualStream{x, {}}).sum(); }

ops::ResidualStream MlstmBlockImpl::forward(const ops::ResidualStream& stream) {
  const auto device = stream.x.device().type();
  const auto dtype =
      at::autocast::is_autocast_enabled(device) ? at::autocast::get_autocast_dtype(device) : stream.x.scalar_type();
  const auto backend = ops::resolve_backend(options_.cell.backend, stream.x.device(), dtype, options_.dim,
                                            options_.expansion * options_.dim, kHeads);
  if (backend == ops::Backend::kFused) {
    return ops::fused_mlstm_block(
        stream, weights(),
        {options_.reverse, options_.cell.input_gate, dtype, options_.recompute, options_.cell.isa, options_.cell.eps});
  }
  const auto x = stream.sum();
  const auto u = norm_->forward(x);
  return {x, layer_->forward(options_.reverse ? u.flip(1) : u), options_.reverse};
}

ops::ResidualStream MlstmBlockImpl::forward_carried(const ops::ResidualStream& stream, BlockState& state) {
  AXLSTM_CHECK(carries(), "a block that runs backwards sees the tokens behind it: it carries no state");
  const auto x = stream.sum();
  return {x, layer_->forward(norm_->forward(x), state)};
}

}  // namespace axlstm::nn
