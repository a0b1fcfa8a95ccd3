#include "gradcheck.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

namespace axlstm::test {

double gradient_error(const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& f,
                      std::vector<torch::Tensor> inputs, double step) {
  for (auto& input : inputs) input = input.detach().clone().requires_grad_();
  f(inputs).backward();
  const torch::NoGradGuard no_grad;
  double worst = 0, scale = 0;
  for (auto& input : inputs) {
    auto flat = input.view({-1});
    const auto analytic = input.grad().reshape({-1});
    for (std::int64_t at = 0; at < flat.numel(); ++at) {
      const double value = flat[at].item<double>();
      flat[at] = value + step;
      const double above = f(inputs).item<double>();
      flat[at] = value - step;
      const double below = f(inputs).item<double>();
      flat[at] = value;
      const double numeric = (above - below) / (2 * step);
      worst = std::max(worst, std::abs(analytic[at].item<double>() - numeric));
      scale = std::max(scale, std::abs(numeric));
    }
  }
  return worst / scale;
}

}  // namespace axlstm::test
