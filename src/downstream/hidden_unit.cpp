#include "hidden_unit.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include "hidden_unit_avx2.h"

namespace axlstm::downstream {
namespace {

constexpr double kMomentum = 0.1, kEps = 1e-5;

/// The loops of hidden_unit_avx2.h behind autograd.
class NormDropoutRelu : public torch::autograd::Function<NormDropoutRelu> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* ctx, const torch::Tensor& input,
                               const torch::Tensor& weight, const torch::Tensor& bias,
                               const torch::Tensor& running_mean, const torch::Tensor& running_var, double p,
                               at::CPUGeneratorImpl* generator) {
    const torch::Tensor x = input.contiguous();
    const std::int64_t B = x.size(0), C = x.size(1);
    const torch::Tensor mean = torch::empty({C}), invstd = torch::empty({C});
    const torch::Tensor passed = torch::empty({B * C / 8}, torch::kUInt8);
    torch::Tensor y = torch::empty_like(x);
    const avx2::Shape shape{B, C};
    avx2::batch_statistics(shape, x.const_data_ptr<float>(), mean.mutable_data_ptr<float>(),
                           invstd.mutable_data_ptr<float>(), kEps, kMomentum, running_mean.mutable_data_ptr<float>(),
                           running_var.mutable_data_ptr<float>());
    const avx2::Normalisation norm{mean.const_data_ptr<float>(), invstd.const_data_ptr<float>(),
                                   weight.const_data_ptr<float>(), bias.const_data_ptr<float>()};
    avx2::forward(shape, x.const_data_ptr<float>(), norm, p, *generator, y.mutable_data_ptr<float>(),
                  passed.mutable_data_ptr<std::uint8_t>());
    ctx->save_for_backward({x, weight, bias, mean, invstd, passed});
    ctx->saved_data["p"] = p;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = ctx->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], &mean = saved[3], &invstd = saved[4];
    const torch::Tensor grad_y = gradients.front().contiguous();
    const torch::Tensor grad_x = torch::empty_like(x);
    const torch::Tensor grad_weight = torch::empty_like(mean), grad_bias = torch::empty_like(mean);
    const avx2::Normalisation norm{mean.const_data_ptr<float>(), invstd.const_data_ptr<float>(),
                                   weight.const_data_ptr<float>(), bias.const_data_ptr<float>()};
    avx2::backward({x.size(0), x.size(1)}, x.const_data_ptr<float>(), norm, ctx->saved_data["p"].toDouble(),
                   saved[5].const_data_ptr<std::uint8_t>(), grad_y.const_data_ptr<float>(),
                   grad_x.mutable_data_ptr<float>(), grad_weight.mutable_data_ptr<float>(),
                   grad_bias.mutable_data_ptr<float>());
    const torch::Tensor none;
    return {grad_x, grad_weight, grad_bias, none, none, none, none};
  }
};

}  // namespace

torch::Tensor BatchNorm::forward(const torch::Tensor& x, bool training) const {
  return torch::batch_norm(x, weight, bias, running_mean, running_var, training, kMomentum, kEps,
                           /*cudnn_enabled=*/true);
}

torch::Tensor norm_dropout_relu_by_operators(const torch::Tensor& x, const BatchNorm& norm, double p,
                                             at::Generator& generator) {
  const torch::Tensor normalised = norm.forward(x, /*training=*/true);
  if (p == 0.0) return torch::relu(normalised);
  const torch::Tensor kept = torch::empty_like(normalised, normalised.options().requires_grad(false));
  return torch::relu(normalised * kept.bernoulli_(1.0 - p, generator).div_(1.0 - p));
}

torch::Tensor norm_dropout_relu(const torch::Tensor& x, const BatchNorm& norm, double p, at::Generator& generator) {
  const bool fused =
      x.is_cpu() && at::get_num_threads() == 1 && x.size(1) % 8 == 0 && x.size(0) > 1 && p > 0.0 && avx2::supported();
  if (!fused) return norm_dropout_relu_by_operators(x, norm, p, generator);
  return NormDropoutRelu::apply(x, norm.weight, norm.bias, norm.running_mean, norm.running_var, p,
                                generator.get<at::CPUGeneratorImpl>());
}

}  // namespace axlstm::downstream
