#include "axlstm/ops/mlstm.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "mlstm_backends.h"

namespace axlstm::ops {
namespace {

void check_inputs(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const torch::Tensor& i,
                  const torch::Tensor& f) {
  AXLSTM_CHECK(q.dim() == 4 && q.numel() > 0, "mlstm: q must be [batch, sequence, heads, head dim] and not empty, got ",
               q.sizes());
  const auto check = [&](const char* name, const torch::Tensor& x, at::IntArrayRef sizes) {
    AXLSTM_CHECK(x.sizes() == sizes, "mlstm: ", name, " must be ", sizes, " to go with q ", q.sizes(), ", got ",
                 x.sizes());
    AXLSTM_CHECK(x.device() == q.device(), "mlstm: ", name, " is on ", x.device(), ", q on ", q.device());
  };
  check("k", k, q.sizes());
  check("v", v, q.sizes());
  check("i", i, q.sizes().slice(0, 3));
  check("f", f, q.sizes().slice(0, 3));
  AXLSTM_CHECK(k.dtype() == q.dtype() && v.dtype() == q.dtype(), "mlstm: q, k, v must have one dtype, got ", q.dtype(),
               ", ", k.dtype(), ", ", v.dtype());
}

torch::Tensor log_input_gate(const torch::Tensor& i, InputGate gate) {
  return gate == InputGate::kSigmoid ? torch::log_sigmoid(i) : i;
}

/// Gates that autocast made narrow: their sums over the sequence are not.
torch::Tensor wide(const torch::Tensor& gate) {
  return gate.scalar_type() == torch::kFloat64 ? gate : gate.to(torch::kFloat32);
}

}  // namespace

torch::Tensor mlstm(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const torch::Tensor& i,
                    const torch::Tensor& f, const MlstmOptions& options) {
  if (options.backend == Backend::kRecurrent) {
    MlstmState state;
    return mlstm_stream(q, k, v, i, f, state, options);
  }
  check_inputs(q, k, v, i, f);
  const bool narrow = q.scalar_type() == torch::kFloat16 || q.scalar_type() == torch::kBFloat16;
  const bool wanted = options.backend == Backend::kCell || options.backend == Backend::kFused;
  if (wanted || (options.backend == Backend::kAuto && (narrow || q.is_cpu()))) {
    const std::string obstacle = cell_kernel_obstacle(q.device(), q.scalar_type(), q.size(3));
    AXLSTM_CHECK(obstacle.empty() || !wanted, "mlstm: the backend 'cell' cannot be used: ", obstacle);
    if (obstacle.empty()) return (q.is_cpu() ? mlstm_cell_cpu : mlstm_cell_kernel)(q, k, v, i, f, options);
  }
  return mlstm_reference(q, k, v, log_input_gate(wide(i), options.input_gate), torch::log_sigmoid(wide(f)),
                         options.eps);
}

torch::Tensor mlstm_stream(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                           const torch::Tensor& i, const torch::Tensor& f, MlstmState& state,
                           const MlstmOptions& options) {
  check_inputs(q, k, v, i, f);
  const auto log_i = log_input_gate(wide(i), options.input_gate), log_f = torch::log_sigmoid(wide(f));
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  if (options.backend == Backend::kRecurrent) return mlstm_recurrent(q, k, v, log_i, log_f, options.eps, state);
  const auto dtype = log_i.scalar_type();
  return mlstm_reference(q.to(dtype), k.to(dtype), v.to(dtype), log_i, log_f, options.eps, &state).to(v.scalar_type());
}

void check_state(const MlstmState& state, const torch::Tensor& q) {
  AXLSTM_CHECK(state.C.size(0) == q.size(0) && state.C.size(1) == q.size(2) && state.C.size(2) == q.size(3),
               "mlstm: the state is for [batch, heads, head dim] = [", state.C.size(0), ", ", state.C.size(1), ", ",
               state.C.size(2), "], the inputs are ", q.sizes());
}

std::string cell_kernel_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t head_dim) {
  if (!device.is_cpu()) return cuda_cell_obstacle(device, dtype, head_dim);
  return dtype == torch::kFloat32 ? "" : str("dtype ", c10::toString(dtype), " is not float32 (on the CPU)");
}

}  // namespace axlstm::ops
