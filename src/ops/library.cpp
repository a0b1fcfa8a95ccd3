// Cell and scan as operators of PyTorch: torch.ops.load_library("libaxlstm_torch.so"), then torch.ops.axlstm.mlstm(…)
// or torch.ops.axlstm.selective_scan(…).
#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include <optional>
#include <string>

#include "axlstm/core/error.h"
#include "axlstm/ops/mlstm.h"
#include "axlstm/ops/selective_scan.h"

namespace axlstm::ops {
namespace {

/// The rule under autocast: q, k, v in its dtype, gates in float32.
torch::Tensor mlstm_operator(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                             const torch::Tensor& i, const torch::Tensor& f, const std::string& input_gate,
                             double eps) {
  const std::optional<InputGate> gate = enum_of<InputGate>(input_gate);
  AXLSTM_CHECK(gate, "mlstm: input_gate is '", input_gate, "', it must be ", list_names<InputGate>(" or "));
  const MlstmOptions options{.input_gate = *gate, .eps = eps};
  const auto device = q.device().type();
  if (!at::autocast::is_autocast_enabled(device)) return mlstm(q, k, v, i, f, options);
  const auto dtype = at::autocast::get_autocast_dtype(device);
  return mlstm(q.to(dtype), k.to(dtype), v.to(dtype), i.to(torch::kFloat32), f.to(torch::kFloat32), options);
}

/// The rule under autocast: what goes from token to token in its dtype, rates, skip and bias in float32.
torch::Tensor selective_scan_operator(const torch::Tensor& u, const torch::Tensor& delta, const torch::Tensor& A,
                                      const torch::Tensor& B, const torch::Tensor& C, const torch::Tensor& D,
                                      const torch::Tensor& z, const torch::Tensor& delta_bias) {
  const auto device = u.device().type();
  if (!at::autocast::is_autocast_enabled(device)) return selective_scan({u, delta, A, B, C, D, z, delta_bias});
  const auto dtype = at::autocast::get_autocast_dtype(device);
  return selective_scan({u.to(dtype), delta.to(dtype), A, B.to(dtype), C.to(dtype), D, z.to(dtype), delta_bias});
}

}  // namespace

// Made of operators that have gradients, on the CPU and on GPUs: one implementation for all dispatch keys.
TORCH_LIBRARY(axlstm, library) {
  library.def(
      "mlstm(Tensor q, Tensor k, Tensor v, Tensor i, Tensor f, str input_gate='exponential', float eps=1e-6) -> Tensor",
      mlstm_operator);
  library.def(
      "selective_scan(Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor D, Tensor z, Tensor delta_bias) -> "
      "Tensor",
      selective_scan_operator);
}

}  // namespace axlstm::ops
