// A whole mixer on the CPU, in float32. The backward pass computes again what is cheap: convolution and steps Δ.
#include <torch/torch.h>

#include "cpu/parts.h"
#include "cpu/scratch.h"
#include "cpu/token_rows.h"
#include "scan_backends.h"

namespace axlstm::ops {
namespace {

using cpu::rows;
using cpu::rows_of;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

/// Order of the function's arguments and gradients.
enum Argument {
  kAz,        // [B, S, 2I]
  kConv,      // [4 (tap), I]
  kConvBias,  // [I]
  kXProj,     // [R + 2N, I]
  kDtProj,    // [I, R]
  kDtBias,    // [I]
  kA,         // [N, I]
  kD,         // [I]
  kArguments
};

/// Rows of the sums over clips that are [I].
enum Vector { kConvSum, kConvBiasSum = cpu::kConvTaps, kDtBiasSum, kDSum, kVectors };

const float* in(const at::Tensor& x) { return x.const_data_ptr<float>(); }
float* out(const at::Tensor& x) { return x.data_ptr<float>(); }

/// The steps of a mixer for one clip. `arguments` must outlive it.
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

  at::Tensor a(const at::Tensor& az) const { return az.narrow(-1, 0, I); }
  at::Tensor z(const at::Tensor& az) const { return az.narrow(-1, I, I); }
  at::Tensor rank_of(const at::Tensor& x) const { return x.narrow(-1, 0, R); }

  cpu::Convolution convolution(std::int64_t clip) const {
    cpu::Convolution convolution;
    convolution.S = S;
    convolution.I = I;
    convolution.a = rows(a(arguments_[kAz][clip]));
    convolution.weight = in(arguments_[kConv]);
    convolution.bias = in(arguments_[kConvBias]);
    return convolution;
  }

  void convolve(std::int64_t clip, const at::Tensor& c) const {
    cpu::Convolution steps = convolution(clip);
    steps.c = out(c);
    cpu::each_channels(I, [&](std::int64_t begin, std::int64_t end) { cpu::convolve(steps, begin, end); });
  }

  /// Δ before its bias [S, I], of projected [S, R + 2N].
  void steps(const at::Tensor& projected, at::Tensor delta) const {
    at::mm_out(delta, rank_of(projected), arguments_[kDtProj].t());
  }

  cpu::Scan scan(std::int64_t clip, const at::Tensor& c, const at::Tensor& projected, const at::Tensor& delta) const {
    cpu::Scan scan;
    scan.S = S;
    scan.I = I;
    scan.N = N;
    scan.u = rows(c);
    scan.delta = rows(delta);
    scan.z = rows(z(arguments_[kAz][clip]));
    scan.B = rows(projected.narrow(-1, R, N));
    scan.C = rows(projected.narrow(-1, R + N, N));
    scan.A = in(arguments_[kA]);
    scan.D = in(arguments_[kD]);
    scan.delta_bias = in(arguments_[kDtBias]);
    return scan;
  }

 private:
  const tensor_list& arguments_;
};

class MixerFunction : public torch::autograd::Function<MixerFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, at::TensorList inputs, bool keep) {
    const tensor_list arguments(inputs.begin(), inputs.end());
    const Mixer mixer(arguments);
    const auto empty = [&](at::IntArrayRef sizes) { return at::empty(sizes, arguments[kAz].options()); };
    const auto y = empty({mixer.B, mixer.S, mixer.I});
    at::Tensor all_projected, all_states;
    if (keep) {
      all_projected = empty({mixer.B, mixer.S, mixer.R + 2 * mixer.N});
      const std::int64_t chunks = (mixer.S + cpu::kScanChunk - 1) / cpu::kScanChunk;
      all_states = empty({mixer.B, chunks, mixer.N, mixer.I});
    }
    cpu::each_clip(mixer.B, [&](std::int64_t, std::int64_t clip) {
      cpu::Scratch scratch;
      const auto c = scratch.take({mixer.S, mixer.I}), delta = scratch.take({mixer.S, mixer.I});
      auto projected = keep ? all_projected[clip] : scratch.take({mixer.S, mixer.R + 2 * mixer.N});
      mixer.convolve(clip, c);
      at::mm_out(projected, c, arguments[kXProj].t());
      mixer.steps(projected, delta);
      cpu::Scan scan = mixer.scan(clip, c, projected, delta);
      if (keep) scan.states = out(all_states[clip]);
      scan.y = out(y[clip]);
      cpu::each_channels(mixer.I, [&](std::int64_t begin, std::int64_t end) { cpu::scan(scan, begin, end); });
    });
    if (keep) {
      tensor_list saved = arguments;
      saved.push_back(all_projected);
      saved.push_back(all_states);
      context->save_for_backward(saved);
    }
    return y;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    auto saved = context->get_saved_variables();
    const at::Tensor all_states = saved.back(), all_projected = saved[kArguments];
    saved.resize(kArguments);
    const at::Tensor dy = gradients[0].contiguous();
    const Mixer mixer(saved);
    const std::int64_t parts = cpu::part_count(mixer.B);
    const auto zeros = [&](at::IntArrayRef sizes) { return at::zeros(sizes, dy.options()); };
    const auto daz = at::empty_like(saved[kAz]);
    const auto dA = zeros({parts, mixer.N, mixer.I}), vectors = zeros({parts, kVectors, mixer.I});
    const auto dx_proj = zeros({parts, mixer.R + 2 * mixer.N, mixer.I});
    const auto ddt_proj = zeros({parts, mixer.I, mixer.R});

    cpu::each_clip(mixer.B, [&](std::int64_t part, std::int64_t clip) {
      cpu::Scratch scratch;
      const at::Tensor c = scratch.take({mixer.S, mixer.I}), delta = scratch.take({mixer.S, mixer.I}),
                       dc = scratch.take({mixer.S, mixer.I}), ddelta = scratch.take({mixer.S, mixer.I});
      const at::Tensor projected = all_projected[clip], dprojected = scratch.take(projected.sizes());
      mixer.convolve(clip, c);
      mixer.steps(projected, delta);

      cpu::ScanBackward scan;
      scan.forward = mixer.scan(clip, c, projected, delta);
      scan.forward.states = out(all_states[clip]);
      scan.dy = in(dy[clip]);
      scan.du = rows_of(dc);
      scan.ddelta = rows_of(ddelta);
      scan.dz = rows_of(mixer.z(daz[clip]));
      scan.dB = rows_of(dprojected.narrow(-1, mixer.R, mixer.N));
      scan.dC = rows_of(dprojected.narrow(-1, mixer.R + mixer.N, mixer.N));
      scan.dA = out(dA[part]);
      scan.dD = out(vectors[part][kDSum]);
      scan.dbias = out(vectors[part][kDtBiasSum]);
      scan.scratch = out(scratch.take({scan.scratch_size()}));
      cpu::scan_backward(scan);

      auto drank = mixer.rank_of(dprojected);
      at::mm_out(drank, ddelta, saved[kDtProj]);
      ddt_proj[part].addmm_(ddelta.t(), mixer.rank_of(projected));
      dc.addmm_(dprojected, saved[kXProj]);
      dx_proj[part].addmm_(dprojected.t(), c);

      cpu::ConvolutionBackward convolution;
      convolution.forward = mixer.convolution(clip);
      convolution.dc = in(dc);
      convolution.da = rows_of(mixer.a(daz[clip]));
      convolution.dweight = out(vectors[part][kConvSum]);
      convolution.dbias = out(vectors[part][kConvBiasSum]);
      cpu::convolve_backward(convolution);
    });

    const auto sums = vectors.sum(0);
    tensor_list result(kArguments + 1);  // keep has none
    result[kAz] = daz;
    result[kConv] = sums.narrow(0, kConvSum, cpu::kConvTaps);
    result[kConvBias] = sums[kConvBiasSum];
    result[kXProj] = dx_proj.sum(0);
    result[kDtProj] = ddt_proj.sum(0);
    result[kDtBias] = sums[kDtBiasSum];
    result[kA] = dA.sum(0);
    result[kD] = sums[kDSum];
    return result;
  }
};

}  // namespace

torch::Tensor mamba_mixer_cpu(const torch::Tensor& az, const MixerWeights& weights) {
  const std::int64_t I = weights.D.size(0);
  const tensor_list arguments{az.contiguous(),
                              weights.conv_weight.view({I, cpu::kConvTaps}).t().contiguous(),
                              weights.conv_bias.contiguous(),
                              weights.x_proj.contiguous(),
                              weights.dt_proj_weight.contiguous(),
                              weights.dt_proj_bias.contiguous(),
                              -weights.A_log.exp().t().contiguous(),
                              weights.D.contiguous()};
  return MixerFunction::apply(at::TensorList(arguments), /*keep=*/at::GradMode::is_enabled());
}

}  // namespace axlstm::ops
