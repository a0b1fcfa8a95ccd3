// The cell's kernels behind ops::mlstm.
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "mlstm_backends.h"
#include "mlstm_chunks.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

/// As the kernels want it: dense channels and, for narrow types, heads that begin on 16 bytes.
torch::Tensor loadable(const torch::Tensor& x) {
  if (x.stride(-1) != 1) return x.contiguous();
  if (x.scalar_type() == torch::kFloat32) return x;
  constexpr std::int64_t kElements = 8;  // of 16 bits
  bool aligned = reinterpret_cast<std::uintptr_t>(x.data_ptr()) % (2 * kElements) == 0;
  for (int dim = 0; dim < 3; ++dim) aligned = aligned && x.stride(dim) % kElements == 0 && x.stride(dim) > 0;
  return aligned ? x : x.clone(at::MemoryFormat::Contiguous);
}

CellInputs inputs(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const torch::Tensor& i,
                  const torch::Tensor& f, bool sigmoid_input, Isa isa, double eps) {
  return {q, k, v, {i.data_ptr<float>(), f.data_ptr<float>(), sigmoid_input}, {}, isa, eps};
}

class CellFunction : public torch::autograd::Function<CellFunction> {
 public:
  /// q, k, v [B, S, NH, DH] as loadable() returns them; i, f [B, S, NH] float32, contiguous.
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& q, const torch::Tensor& k,
                               const torch::Tensor& v, const torch::Tensor& i, const torch::Tensor& f,
                               bool sigmoid_input, Isa isa, double eps) {
    const KernelContext call(q);
    const auto h = torch::empty(q.sizes(), q.options());
    const CellState state(q.size(0), q.size(2), q.size(1), i.options());
    cell_forward(inputs(q, k, v, i, f, sigmoid_input, isa, eps), state, h, call.stream());
    context->save_for_backward({q, k, v, i, f, state.scans, state.record, state.n});
    context->saved_data["sigmoid_input"] = sigmoid_input;
    context->saved_data["isa"] = static_cast<std::int64_t>(isa);
    context->saved_data["eps"] = eps;
    return h;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2], &i = saved[3], &f = saved[4];
    const CellState state(saved[5], saved[6], saved[7]);
    const KernelContext call(q);
    const auto dh = loadable(gradients[0].to(q.scalar_type()));
    const auto dq = torch::empty(q.sizes(), q.options()), dk = torch::empty_like(dq), dv = torch::empty_like(dq);
    const auto di = torch::empty_like(i), df = torch::empty_like(f);
    cell_backward(inputs(q, k, v, i, f, context->saved_data["sigmoid_input"].toBool(),
                         static_cast<Isa>(context->saved_data["isa"].toInt()), context->saved_data["eps"].toDouble()),
                  state, dh, {dq, dk, dv, di.data_ptr<float>(), df.data_ptr<float>()}, call.stream());
    return {dq, dk, dv, di, df, torch::Tensor(), torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

std::string cuda_cell_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t head_dim) {
  if (!device.is_cuda()) return str("the tensors are on ", device.str(), ", not on a GPU");
  if (dtype != torch::kFloat32 && dtype != torch::kFloat16 && dtype != torch::kBFloat16) {
    return str("dtype ", c10::toString(dtype), " is not float32, float16 or bfloat16");
  }
  if (!kernels::supports_head_dim(head_dim)) {
    return str("head dim ", head_dim, " is not a multiple of ", kernels::kHeadDimMultiple, " up to ",
               kernels::kMaxHeadDim);
  }
  return "";
}

Isa resolve_isa(Isa wanted, const torch::Device& device, torch::ScalarType dtype, std::int64_t tokens) {
  if (wanted == Isa::kPortable) return wanted;
  c10::cuda::OptionalCUDAGuard guard;
  if (device.is_cuda()) guard.set_device(device);
  const bool narrow = dtype == torch::kFloat16 || dtype == torch::kBFloat16;
  if (wanted == Isa::kAuto) {
    return narrow && kernels::hopper_kernels_are_faster(tokens) ? Isa::kHopper : Isa::kPortable;
  }
  const std::string obstacle = !narrow ? str("dtype ", c10::toString(dtype), " is not float16 or bfloat16")
                               : kernels::hopper_kernels_run()
                                   ? ""
                                   : str(device.str(), " is not a GPU of compute capability 9.0 with its driver");
  if (!obstacle.empty()) {
    throw UsageError(str("kernel.isa hopper cannot be used: ", obstacle, "; set kernel.isa=auto"));
  }
  return wanted;
}

torch::Tensor mlstm_cell_kernel(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                const torch::Tensor& i, const torch::Tensor& f, const MlstmOptions& options) {
  const auto gate = [](const torch::Tensor& x) { return x.to(torch::kFloat32).contiguous(); };
  return CellFunction::apply(loadable(q), loadable(k), loadable(v), gate(i), gate(f),
                             options.input_gate == InputGate::kSigmoid, options.isa, options.eps);
}

}  // namespace axlstm::ops
