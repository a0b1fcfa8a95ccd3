#include <torch/torch.h>

#include "scan_backends.h"

namespace axlstm::ops {

torch::Tensor scan_reference(const ScanInputs& inputs, torch::Tensor& state) {
  const auto step = torch::softplus(inputs.delta + inputs.delta_bias);
  // unbind(): its gradient is one stack(), that of a slice of each step would be a whole tensor for each.
  const auto steps = step.unsqueeze(-1).unbind(1);                                      // [B, I, 1]
  const auto inflow = (step * inputs.u).unsqueeze(-1).unbind(1);                        // [B, I, 1]
  const auto B = inputs.B.unsqueeze(2).unbind(1), C = inputs.C.unsqueeze(2).unbind(1);  // [B, 1, N]
  if (!state.defined()) state = torch::zeros({inputs.u.size(0), inputs.A.size(0), inputs.A.size(1)}, step.options());
  std::vector<torch::Tensor> outflow;
  outflow.reserve(steps.size());
  for (std::size_t t = 0; t < steps.size(); ++t) {
    state = (steps[t] * inputs.A).exp() * state + inflow[t] * B[t];
    outflow.push_back((state * C[t]).sum(-1));
  }
  return (torch::stack(outflow, 1) + inputs.D * inputs.u) * torch::silu(inputs.z);
}

}  // namespace axlstm::ops
