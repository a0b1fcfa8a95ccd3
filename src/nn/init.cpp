#include "axlstm/nn/init.h"

#include <torch/torch.h>

#include <cmath>

namespace axlstm::nn {

double small_init_std(std::int64_t dim) { return std::sqrt(2.0 / (5.0 * static_cast<double>(dim))); }

void init_xavier(torch::nn::Linear& linear) {
  torch::nn::init::xavier_uniform_(linear->weight);
  if (linear->bias.defined()) torch::nn::init::zeros_(linear->bias);
}

}  // namespace axlstm::nn
