// The one file that sees both LibTorch and the CUDA kernels.
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "mlstm_backends.h"
#include "mlstm_launch.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

kernels::DataType data_type(torch::ScalarType type) {
  if (type == torch::kFloat16) return kernels::DataType::kFloat16;
  return type == torch::kBFloat16 ? kernels::DataType::kBFloat16 : kernels::DataType::kFloat32;
}

/// [B, S, NH, DH] as the kernels see it.
kernels::Tensor4 view(const torch::Tensor& x) { return {x.data_ptr(), x.stride(0), x.stride(1), x.stride(2)}; }

torch::Tensor with_dense_channels(const torch::Tensor& x) { return x.stride(-1) == 1 ? x : x.contiguous(); }

kernels::MlstmShape shape_of(const torch::Tensor& q, double eps) {
  return {q.size(0), q.size(1), q.size(2), q.size(3), static_cast<float>(eps)};
}

kernels::GateState gate_state(const torch::Tensor& scans, const torch::Tensor& record) {
  const auto scan = [&](std::int64_t row) { return scans[row].data_ptr<float>(); };
  return {scan(0), scan(1), scan(2), scan(3), scan(4), record.data_ptr<std::int32_t>()};
}

class CellFunction : public torch::autograd::Function<CellFunction> {
 public:
  /// q, k, v [B, S, NH, DH] with dense channels; log_i, log_f [B, S, NH] float32, contiguous.
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& q, const torch::Tensor& k,
                               const torch::Tensor& v, const torch::Tensor& log_i, const torch::Tensor& log_f,
                               double eps) {
    const c10::cuda::CUDAGuard guard(q.device());
    const auto B = q.size(0), S = q.size(1), NH = q.size(2);
    const auto h = torch::empty(q.sizes(), q.options());
    const auto scans = torch::empty({5, B, NH, S}, log_i.options());  // g, G (high, low), exp(−m)
    const auto record = torch::empty({B, NH, S}, log_i.options().dtype(torch::kInt32));
    const auto n = torch::empty({B, NH, S}, log_i.options());
    kernels::ForwardParams params{shape_of(q, eps),
                                  view(q),
                                  view(k),
                                  view(v),
                                  log_i.data_ptr<float>(),
                                  log_f.data_ptr<float>(),
                                  gate_state(scans, record),
                                  n.data_ptr<float>(),
                                  view(h)};
    C10_CUDA_CHECK(kernels::mlstm_forward(params, data_type(q.scalar_type()), c10::cuda::getCurrentCUDAStream()));
    context->save_for_backward({q, k, v, h, scans, record, n});
    context->saved_data["eps"] = eps;
    return h;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &q = saved[0], &k = saved[1], &v = saved[2], &h = saved[3], &scans = saved[4], &record = saved[5],
               &n = saved[6];
    const c10::cuda::CUDAGuard guard(q.device());
    const auto dh = with_dense_channels(gradients[0].to(q.scalar_type()));
    const auto dq = torch::empty(q.sizes(), q.options()), dk = torch::empty_like(dq), dv = torch::empty_like(dq);
    const auto dlog_i = torch::empty({q.size(0), q.size(1), q.size(2)}, n.options()),
               dlog_f = torch::empty_like(dlog_i);
    const auto delta = torch::empty_like(n), column_sum = torch::empty_like(n);
    kernels::BackwardParams params{shape_of(q, context->saved_data["eps"].toDouble()),
                                   view(q),
                                   view(k),
                                   view(v),
                                   view(h),
                                   view(dh),
                                   gate_state(scans, record),
                                   n.data_ptr<float>(),
                                   delta.data_ptr<float>(),
                                   column_sum.data_ptr<float>(),
                                   view(dq),
                                   view(dk),
                                   view(dv),
                                   dlog_i.data_ptr<float>(),
                                   dlog_f.data_ptr<float>()};
    C10_CUDA_CHECK(kernels::mlstm_backward(params, data_type(q.scalar_type()), c10::cuda::getCurrentCUDAStream()));
    return {dq, dk, dv, dlog_i, dlog_f, torch::Tensor()};
  }
};

}  // namespace

std::string cell_kernel_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t head_dim) {
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

torch::Tensor mlstm_cell_kernel(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                const torch::Tensor& log_i, const torch::Tensor& log_f, double eps) {
  const auto gate = [](const torch::Tensor& x) { return x.to(torch::kFloat32).contiguous(); };
  return CellFunction::apply(with_dense_channels(q), with_dense_channels(k), with_dense_channels(v), gate(log_i),
                             gate(log_f), eps);
}

}  // namespace axlstm::ops
