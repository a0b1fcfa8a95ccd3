#include "axlstm/features/running_statistics.h"

#include <torch/torch.h>

#include <cmath>

namespace axlstm::features {

void RunningStatistics::add(const torch::Tensor& log_mel) {
  const auto [variance, mean] = torch::var_mean(log_mel.to(torch::kFloat64), /*unbiased=*/false);
  const auto more = static_cast<double>(log_mel.numel());
  const double distance = mean.item<double>() - mean_;
  squares_ += variance.item<double>() * more + distance * distance * count_ * more / (count_ + more);
  mean_ += distance * more / (count_ + more);
  count_ += more;
}

ClipStatistics RunningStatistics::so_far(ClipStd kind) const {
  return {mean_, std::sqrt(squares_ / (kind == ClipStd::kUnbiased ? count_ - 1 : count_))};
}

}  // namespace axlstm::features
