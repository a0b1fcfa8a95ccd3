#include "axlstm/nn/init.h"

#include <torch/torch.h>

#include <cmath>

namespace axlstm::nn {

double small_init_std(std::int64_t dim) { return std::sqrt(2.0 / (5.0 * static_cast<double>(dim))); }

void init_xavier(torch::nn::Linear& linear) {
  torch::nn::init::xavier_uniform_(linear->weight);
  if (linear->bias.defined()) torch::nn::init::zeros_(linear->bias);
}

torch::Tensor truncated_normal(at::IntArrayRef sizes, double variance) {
  // By the inverse of the distribution function; what is left within two deviations has 0.8796 of the deviation.
  constexpr double kCut = 2, kLeft = 0.87962566103423978;
  const double inside = std::erf(kCut / std::sqrt(2.0));  // share of the whole
  const auto normal = torch::erfinv((torch::rand(sizes) * 2 - 1) * inside) * std::sqrt(2.0);
  return normal.clamp(-kCut, kCut) * (std::sqrt(variance) / kLeft);
}

void init_lecun(torch::nn::Linear& linear) {
  const torch::NoGradGuard no_grad;
  linear->weight.copy_(truncated_normal(linear->weight.sizes(), 1.0 / static_cast<double>(linear->weight.size(1))));
  linear->bias.zero_();
}

}  // namespace axlstm::nn
