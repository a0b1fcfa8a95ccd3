// Finite-difference check of gradients, as torch.autograd.gradcheck does it.
#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

namespace axlstm::test {

/// Largest |analytic − numeric| over all elements of all float64 `inputs`, divided by the largest |numeric|, for the
/// scalar function `f`; central differences of width `step`.
double gradient_error(const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& f,
                      std::vector<torch::Tensor> inputs, double step = 1e-6);

}  // namespace axlstm::test
