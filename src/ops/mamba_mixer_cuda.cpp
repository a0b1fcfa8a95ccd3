// A whole mixer on a GPU: cuBLAS computes the products, kernels the convolution and the scan. The backward pass
// computes again what is cheap: convolution and steps Δ.
#include <torch/torch.h>

#include "scan_backends.h"
#include "scan_call.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr std::int64_t kTaps = 4;
constexpr std::int64_t kAligned = 8;  // elements: widths of tensor cores' products

std::int64_t aligned(std::int64_t size) { return (size + kAligned - 1) / kAligned * kAligned; }

/// Order of the function's arguments and gradients.
enum Argument {
  kAz,        // [B, S, 2I], of the tokens' type
  kConv,      // [4 (tap), I] float32
  kConvBias,  // [I] float32
  kXProj,     // [aligned R + 2N, aligned, I], of the tokens' type: rows of zeros behind the R and at the end
  kDtProj,    // [I, aligned R], of the tokens' type
  kDtBias,    // [I] float32
  kA,         // [N, I] float32
  kD,         // [I] float32
  kArguments
};

/// The steps of a mixer; `arguments` must outlive it.
class Mixer {
 public:
  explicit Mixer(const tensor_list& arguments)
      : B(arguments[kAz].size(0)),
        S(arguments[kAz].size(1)),
        I(arguments[kD].size(0)),
        N(arguments[kA].size(0)),
        R(arguments[kDtProj].size(1)),
        arguments_(arguments) {}

  const std::int64_t B, S, I, N, R;

  torch::Tensor empty(std::int64_t columns) const {
    return torch::empty({B, S, columns}, arguments_[kAz].options().requires_grad(false));
  }
  torch::Tensor a(const torch::Tensor& az) const { return az.narrow(-1, 0, I); }
  torch::Tensor z(const torch::Tensor& az) const { return az.narrow(-1, I, I); }
  /// [B, S, columns] as a matrix.
  static torch::Tensor rows(const torch::Tensor& x) { return x.flatten(0, 1); }

  kernels::ConvolutionParams convolution() const {
    kernels::ConvolutionParams params;
    params.shape = {B, S, I, N};
    params.a = token_rows(a(arguments_[kAz]));
    params.weight = arguments_[kConv].const_data_ptr<float>();
    params.bias = arguments_[kConvBias].const_data_ptr<float>();
    return params;
  }

  torch::Tensor convolve() const {
    const KernelContext call(arguments_[kAz]);
    const auto c = empty(I);
    auto params = convolution();
    params.c = token_rows(c);
    check_launch(kernels::convolution(params, data_type(c.scalar_type()), call.stream()));
    return c;
  }

  torch::Tensor project(const torch::Tensor& c) const { return at::matmul(c, arguments_[kXProj].t()); }

  ScanTensors scan(const torch::Tensor& c, const torch::Tensor& projected) const {
    const auto delta = at::matmul(projected.narrow(-1, 0, R), arguments_[kDtProj].t());
    return {c,
            delta,
            arguments_[kA],
            projected.narrow(-1, R, N),
            projected.narrow(-1, R + N, N),
            arguments_[kD],
            z(arguments_[kAz]),
            arguments_[kDtBias]};
  }

 private:
  const tensor_list& arguments_;
};

class MixerFunction : public torch::autograd::Function<MixerFunction> {
 public:
  static torch::Tensor forward(AutogradContext* context, at::TensorList inputs, bool keep) {
    const tensor_list arguments(inputs.begin(), inputs.end());
    const Mixer mixer(arguments);
    const auto c = mixer.convolve(), projected = mixer.project(c);
    auto [y, states] = run_scan(mixer.scan(c, projected), keep);
    if (keep) {
      tensor_list saved = arguments;
      saved.push_back(projected);
      saved.push_back(states);
      context->save_for_backward(saved);
    }
    return y;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    auto saved = context->get_saved_variables();
    const torch::Tensor states = saved.back(), projected = saved[kArguments];
    saved.resize(kArguments);
    const Mixer mixer(saved);
    const auto c = mixer.convolve();
    const auto tensors = mixer.scan(c, projected);
    tensor_list result(kArguments + 1);  // keep has none
    result[kAz] = torch::empty_like(saved[kAz]);

    ScanGradients found;
    found.du = mixer.empty(mixer.I);
    found.ddelta = mixer.empty(mixer.I);
    found.dz = mixer.z(result[kAz]);
    run_scan_backward(tensors, states, gradients[0].contiguous(), found);
    result[kA] = found.dA;
    result[kD] = found.dD;
    result[kDtBias] = found.dbias;

    const auto dprojected = mixer.empty(projected.size(-1));
    auto drank = Mixer::rows(dprojected).narrow(-1, 0, mixer.R);
    const auto ddelta = Mixer::rows(found.ddelta);
    at::mm_out(drank, ddelta, saved[kDtProj]);
    dprojected.narrow(-1, mixer.R, 2 * mixer.N).copy_(found.dBC);
    const std::int64_t used = mixer.R + 2 * mixer.N;
    dprojected.narrow(-1, used, dprojected.size(-1) - used).zero_();
    result[kDtProj] = ddelta.t().mm(Mixer::rows(projected).narrow(-1, 0, mixer.R));
    result[kXProj] = Mixer::rows(dprojected).t().mm(Mixer::rows(c));
    const auto dc = Mixer::rows(found.du).addmm_(Mixer::rows(dprojected), saved[kXProj]).view_as(found.du);
    convolve_back(mixer, dc, result);
    return result;
  }

 private:
  static void convolve_back(const Mixer& mixer, const torch::Tensor& dc, tensor_list& result) {
    const KernelContext call(dc);
    kernels::ConvolutionBackwardParams params;
    params.forward = mixer.convolution();
    params.dc = token_rows(dc);
    params.da = token_rows(mixer.a(result[kAz]));
    const std::int64_t stretches = kernels::convolution_stretches(params.forward.shape);
    const auto parts = torch::empty({mixer.B * stretches, kTaps + 1, mixer.I}, dc.options().dtype(torch::kFloat32));
    params.parts = parts.data_ptr<float>();
    check_launch(kernels::convolution_backward(params, data_type(dc.scalar_type()), call.stream()));
    const auto sums = sum_of_parts(parts, call.stream());
    result[kConv] = sums.narrow(0, 0, kTaps);
    result[kConvBias] = sums[kTaps];
  }
};

/// Zeros behind the rows of x.
torch::Tensor with_rows(const torch::Tensor& x, std::int64_t rows) {
  return torch::constant_pad_nd(x, {0, 0, 0, rows - x.size(0)});
}

}  // namespace

torch::Tensor mamba_mixer_cuda(const torch::Tensor& az, const MixerWeights& weights) {
  const std::int64_t I = weights.D.size(0), N = weights.A_log.size(1), R = weights.dt_proj_weight.size(1);
  const std::int64_t rank = aligned(R), projected = aligned(rank + 2 * N);
  const auto wide = [](const torch::Tensor& x) { return x.to(torch::kFloat32).contiguous(); };
  const auto x_proj = torch::cat({with_rows(weights.x_proj.narrow(0, 0, R), rank),
                                  with_rows(weights.x_proj.narrow(0, R, 2 * N), projected - rank)});
  const tensor_list arguments{az.contiguous(),
                              wide(weights.conv_weight.view({I, kTaps}).t()),
                              wide(weights.conv_bias),
                              x_proj.to(az.scalar_type()),
                              torch::constant_pad_nd(weights.dt_proj_weight, {0, rank - R}).to(az.scalar_type()),
                              wide(weights.dt_proj_bias),
                              wide(-weights.A_log.exp().t()),
                              wide(weights.D)};
  return MixerFunction::apply(at::TensorList(arguments), /*keep=*/at::GradMode::is_enabled());
}

}  // namespace axlstm::ops
