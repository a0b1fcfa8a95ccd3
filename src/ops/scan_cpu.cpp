// The selective scan alone on the CPU, behind ops::selective_scan.
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

/// Order of the function's arguments and gradients; A is [N, I].
enum Argument { kU, kDelta, kA, kB, kC, kD, kZ, kBias, kArguments };

/// One clip's scan; `arguments` must outlive it.
cpu::Scan of_clip(const tensor_list& arguments, const at::Tensor& states, std::int64_t clip) {
  cpu::Scan scan;
  scan.S = arguments[kU].size(1);
  scan.I = arguments[kU].size(2);
  scan.N = arguments[kA].size(0);
  scan.u = rows(arguments[kU][clip]);
  scan.delta = rows(arguments[kDelta][clip]);
  scan.z = rows(arguments[kZ][clip]);
  scan.B = rows(arguments[kB][clip]);
  scan.C = rows(arguments[kC][clip]);
  scan.A = arguments[kA].const_data_ptr<float>();
  scan.D = arguments[kD].const_data_ptr<float>();
  scan.delta_bias = arguments[kBias].const_data_ptr<float>();
  if (states.defined()) scan.states = states[clip].data_ptr<float>();
  return scan;
}

class ScanFunction : public torch::autograd::Function<ScanFunction> {
 public:
  static at::Tensor forward(AutogradContext* context, at::TensorList inputs, bool keep) {
    const tensor_list arguments(inputs.begin(), inputs.end());
    const at::Tensor& u = arguments[kU];
    const auto y = at::empty_like(u);
    at::Tensor states;
    if (keep)
      states =
          at::empty({u.size(0), of_clip(arguments, {}, 0).chunks(), arguments[kA].size(0), u.size(2)}, u.options());
    cpu::each_clip(u.size(0), [&](std::int64_t, std::int64_t clip) {
      cpu::Scan scan = of_clip(arguments, states, clip);
      scan.y = y[clip].data_ptr<float>();
      cpu::each_channels(scan.I, [&](std::int64_t begin, std::int64_t end) { cpu::scan(scan, begin, end); });
    });
    if (keep) {
      tensor_list saved = arguments;
      saved.push_back(states);
      context->save_for_backward(saved);
    }
    return y;
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    auto saved = context->get_saved_variables();
    const at::Tensor states = saved.back(), dy = gradients[0].contiguous();
    saved.pop_back();
    const std::int64_t clips = dy.size(0), parts = cpu::part_count(clips), I = dy.size(2);
    tensor_list result;
    for (const at::Tensor& argument : saved) result.push_back(at::empty_like(argument));
    const auto dA = at::zeros({parts, saved[kA].size(0), I}, dy.options());
    const auto vectors = at::zeros({parts, 2, I}, dy.options());  // of D and delta_bias
    cpu::each_clip(clips, [&](std::int64_t part, std::int64_t clip) {
      cpu::Scratch scratch;
      cpu::ScanBackward scan;
      scan.forward = of_clip(saved, states, clip);
      scan.dy = dy[clip].const_data_ptr<float>();
      scan.du = rows_of(result[kU][clip]);
      scan.ddelta = rows_of(result[kDelta][clip]);
      scan.dz = rows_of(result[kZ][clip]);
      scan.dB = rows_of(result[kB][clip]);
      scan.dC = rows_of(result[kC][clip]);
      scan.dA = dA[part].data_ptr<float>();
      scan.dD = vectors[part][0].data_ptr<float>();
      scan.dbias = vectors[part][1].data_ptr<float>();
      scan.scratch = scratch.take({scan.scratch_size()}).data_ptr<float>();
      cpu::scan_backward(scan);
    });
    result[kA] = dA.sum(0);
    const auto of_vectors = vectors.sum(0);
    result[kD] = of_vectors[0];
    result[kBias] = of_vectors[1];
    result.emplace_back();  // keep
    return result;
  }
};

}  // namespace

torch::Tensor scan_cpu(const ScanInputs& inputs) {
  const tensor_list arguments{inputs.u.contiguous(), inputs.delta.contiguous(),     inputs.A.t().contiguous(),
                              inputs.B.contiguous(), inputs.C.contiguous(),         inputs.D.contiguous(),
                              inputs.z.contiguous(), inputs.delta_bias.contiguous()};
  return ScanFunction::apply(at::TensorList(arguments), /*keep=*/at::GradMode::is_enabled());
}

}  // namespace axlstm::ops
