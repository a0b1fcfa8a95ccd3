// relu(dropout(x)), the costliest part of a small downstream model (private to hear/).
#pragma once

#include <torch/types.h>

namespace axlstm::hear {

/// What torch::dropout in training, drawn from `generator`, and torch::relu give, to the last bit; x is float32.
torch::Tensor dropout_relu(const torch::Tensor& x, double p, at::Generator& generator);

}  // namespace axlstm::hear
