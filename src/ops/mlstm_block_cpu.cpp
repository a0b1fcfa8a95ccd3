// The fused block on the CPU, in float32: clip after clip through all steps. Threads take different clips; of a few
// clips each step is spread over the threads.
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "cpu/clip.h"
#include "cpu/parts.h"
#include "mlstm_backends.h"

namespace axlstm::ops {
namespace {

using cpu::Clip;
using cpu::each_clip;
using cpu::Flags;
using cpu::kArguments;
using cpu::Kept;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

const float* in(const at::Tensor& x) { return x.const_data_ptr<float>(); }
float* out(const at::Tensor& x) { return x.data_ptr<float>(); }

/// The backward pass, a step for each step of the forward pass, last to first.
class BlockBackward {
 public:
  /// arguments[kX] is the sum. One of the gradients of sum and delta may be undefined.
  BlockBackward(const tensor_list& arguments, const Flags& flags, const Kept& kept, const at::Tensor& dsum,
                const at::Tensor& dfound, bool has_delta)
      : arguments_(arguments),
        flags_(flags),
        kept_(kept),
        clip_(arguments, flags),
        dsum_(dsum.defined() ? dsum.contiguous() : dsum),
        dfound_(dfound.defined() ? dfound.contiguous() : at::zeros_like(arguments[cpu::kX])),
        dup_(scratch_.take({clip_.B, clip_.S, 2 * clip_.I})),
        u_(scratch_.take({clip_.B, clip_.S, clip_.D})),
        mixed_(scratch_.take({clip_.B, clip_.S, clip_.I})),
        norm_sums_(zeros(1, clip_.D)),
        input_sums_(zeros(cpu::kInputSums, clip_.I)),
        output_sums_(zeros(2, clip_.I)),
        c_gate_sums_(zeros(cpu::kGates, clip_.I)),
        a_gate_sums_(zeros(cpu::kGates, clip_.I)),
        gate_bias_sums_(zeros(1, cpu::kGates)),
        result_(kArguments) {
    result_[cpu::kX] = at::empty_like(arguments[cpu::kX]);
    if (has_delta) result_[cpu::kDelta] = flags.reverse_delta ? at::empty_like(arguments[cpu::kX]) : result_[cpu::kX];
  }

  /// The gradients of the arguments.
  tensor_list run() {
    each_clip(clip_.B, [&](std::int64_t part, std::int64_t clip) {
      cpu::Scratch scratch;
      Kept kept = clip_.of_clip(kept_, clip, scratch);
      if (flags_.recompute) clip_.input(kept);
      const at::Tensor dh = scratch.take(kept.h.sizes()), dc = scratch.take(kept.c.sizes()), dup = dup_[clip];
      output(kept, part, clip, dh, dc);
      const cpu::CellGradients cell{scratch.take(dh.sizes()), scratch.take(dh.sizes()), scratch.take(dh.sizes()), {}};
      gates(kept, part, dh, cell, dc, dup);
      input(kept, part, cell, dc, dup);
      norm(part, clip, dup);
    });
    sum_up();
    return std::move(result_);
  }

 private:
  at::Tensor zeros(std::int64_t rows, std::int64_t columns) const {
    return at::zeros({cpu::part_count(clip_.B), rows, columns});
  }

  /// Through the down-projection and what the cell's output goes through before it. Writes z's half of dup_.
  void output(const Kept& kept, std::int64_t part, std::int64_t clip, const at::Tensor& dh, const at::Tensor& dc) {
    cpu::Scratch scratch;
    auto dmixed = scratch.take(dc.sizes());
    at::mm_out(dmixed, dfound_[clip], arguments_[cpu::kProjDown]);
    cpu::OutputRowsBackward rows;
    rows.forward = clip_.output_rows(kept, mixed_[clip]);
    rows.dout = in(dmixed);
    rows.dh = out(dh);
    rows.dc = out(dc);
    rows.dup = out(dup_[clip]);
    rows.dweight = out(output_sums_[part][0]);
    rows.dskip = out(output_sums_[part][1]);
    at::parallel_for(0, cpu::kHeads, 1, [&](std::int64_t head, std::int64_t end) {
      for (; head < end; ++head) cpu::block_output_backward(rows, head);
    });
  }

  /// Through the cell and its gates. Adds to dc, writes a's half of dup.
  void gates(const Kept& kept, std::int64_t part, const at::Tensor& dh, cpu::CellGradients cell, const at::Tensor& dc,
             const at::Tensor& dup) {
    cpu::Scratch scratch;
    const auto dgates = scratch.take({clip_.S, cpu::kGates});
    cell.gates = {out(dgates), out(dgates) + cpu::kHeads};
    cpu::cell_backward(kept.q, kept.k, kept.v, clip_.gates(kept), flags_.eps, dh, cell);
    dc.addmm_(dgates, arguments_[cpu::kCGate]);
    auto da = clip_.a_of(dup);
    at::mm_out(da, dgates, arguments_[cpu::kAGate]);
    c_gate_sums_[part].addmm_(dgates.t(), kept.c);
    a_gate_sums_[part].addmm_(dgates.t(), clip_.a_of(kept.up));
    gate_bias_sums_[part][0].add_(dgates.sum(0));
  }

  /// Through projections and convolution. Adds to a's half of dup.
  void input(const Kept& kept, std::int64_t part, const cpu::CellGradients& cell, const at::Tensor& dc,
             const at::Tensor& dup) {
    cpu::InputRowsBackward rows;
    rows.forward = clip_.input_rows(kept);
    rows.dq = in(cell.q);
    rows.dk = in(cell.k);
    rows.dv = in(cell.v);
    rows.dc = in(dc);
    rows.dup = out(dup);
    rows.sums = out(input_sums_[part]);
    at::parallel_for(0, clip_.I / cpu::kRowMultiple, 1, [&](std::int64_t begin, std::int64_t end) {
      cpu::block_input_backward(rows, begin * cpu::kRowMultiple, end * cpu::kRowMultiple);
    });
  }

  /// Through the up-projection, the norm and the residual addition.
  void norm(std::int64_t part, std::int64_t clip, const at::Tensor& dup) {
    cpu::Scratch scratch;
    auto du = scratch.take({clip_.S, clip_.D});
    at::mm_out(du, dup, arguments_[cpu::kProjUp]);
    clip_.norm(arguments_[cpu::kX][clip], {}, {}, u_[clip]);
    cpu::NormRowsBackward rows;
    rows.forward = clip_.norm_rows();
    rows.forward.x = in(arguments_[cpu::kX][clip]);
    rows.dsum = dsum_.defined() ? in(dsum_[clip]) : nullptr;
    rows.du = in(du);
    rows.dx = out(result_[cpu::kX][clip]);
    const at::Tensor& ddelta = result_[cpu::kDelta];
    rows.dy = ddelta.defined() && flags_.reverse_delta ? out(ddelta[clip]) : nullptr;
    rows.dweight = out(norm_sums_[part]);
    cpu::add_norm_backward(rows);
  }

  void sum_up() {
    const auto tokens = [&](const at::Tensor& x) { return x.view({clip_.B * clip_.S, -1}); };
    result_[cpu::kProjUp] = tokens(dup_).t().mm(tokens(u_));
    result_[cpu::kProjDown] = tokens(dfound_).t().mm(tokens(mixed_));
    result_[cpu::kNorm] = norm_sums_.sum(0)[0];
    const auto of_input = input_sums_.sum(0), of_output = output_sums_.sum(0);
    result_[cpu::kConv] = of_input.narrow(0, cpu::kConvSums, cpu::kConvTaps);
    result_[cpu::kConvBias] = of_input[cpu::kConvBiasSum];
    result_[cpu::kQkv] =
        of_input.narrow(0, cpu::kQSums, 3 * cpu::kProjectionBlock).view({3, cpu::kProjectionBlock, clip_.I});
    result_[cpu::kCGate] = c_gate_sums_.sum(0);
    result_[cpu::kAGate] = a_gate_sums_.sum(0);
    result_[cpu::kGateBias] = gate_bias_sums_.sum(0)[0];
    result_[cpu::kOutNorm] = of_output[0];
    result_[cpu::kSkip] = of_output[1];
  }

  const tensor_list& arguments_;
  const Flags& flags_;
  const Kept& kept_;
  const Clip clip_;
  cpu::Scratch scratch_;
  const at::Tensor dsum_, dfound_, dup_, u_, mixed_;                                                    // of all clips
  const at::Tensor norm_sums_, input_sums_, output_sums_, c_gate_sums_, a_gate_sums_, gate_bias_sums_;  // of each part
  tensor_list result_;
};

class BlockFunction : public torch::autograd::Function<BlockFunction> {
 public:
  /// Arguments in the order of cpu::Argument, contiguous; returns sum and what the block found.
  static tensor_list forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& delta,
                             at::TensorList weights, bool keep, bool reverse_delta, bool reverse, bool sigmoid_input,
                             bool recompute, double eps) {
    const Flags flags{reverse_delta, reverse, sigmoid_input, recompute, eps};
    tensor_list arguments{x, delta.value_or(at::Tensor())};
    arguments.insert(arguments.end(), weights.begin(), weights.end());
    const Clip clip(arguments, flags);
    const Kept all = keep ? clip.keep_all() : Kept();
    const auto sum = at::empty_like(x), found = at::empty_like(x);

    each_clip(clip.B, [&](std::int64_t, std::int64_t n) {
      cpu::Scratch scratch;
      Kept kept = clip.of_clip(all, n, scratch);
      const auto u = scratch.take({clip.S, clip.D}), mixed = scratch.take({clip.S, clip.I});
      clip.norm(x[n], delta ? (*delta)[n] : at::Tensor(), sum[n], u);
      clip.project_up(u, kept);
      clip.input(kept);
      clip.cell(kept);
      clip.output(kept, mixed, found[n]);
    });

    if (!keep) return {sum, found};
    tensor_list saved(arguments.begin() + cpu::kNorm, arguments.end());
    saved.push_back(sum);
    for (const auto member : Kept::kMembers) saved.push_back(all.*member);
    context->save_for_backward(saved);
    auto& values = context->saved_data;
    values["reverse_delta"] = reverse_delta;
    values["reverse"] = reverse;
    values["sigmoid_input"] = sigmoid_input;
    values["recompute"] = recompute;
    values["eps"] = eps;
    values["has_delta"] = delta.has_value();
    context->set_materialize_grads(false);
    return {sum, found};
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto& values = context->saved_data;
    const Flags flags{values.at("reverse_delta").toBool(), values.at("reverse").toBool(),
                      values.at("sigmoid_input").toBool(), values.at("recompute").toBool(),
                      values.at("eps").toDouble()};
    auto next = saved.begin() + (kArguments - cpu::kNorm);
    tensor_list arguments{*next++, at::Tensor()};
    arguments.insert(arguments.end(), saved.begin(), saved.begin() + (kArguments - cpu::kNorm));
    Kept kept;
    for (const auto member : Kept::kMembers) kept.*member = *next++;
    auto result =
        BlockBackward(arguments, flags, kept, gradients[0], gradients[1], values.at("has_delta").toBool()).run();
    result.resize(kArguments + 6);  // the flags have none
    return result;
  }
};

/// [I/4, 4 (out), 4 (in)] → its diagonals [4, I]: row r has the weight from channel o ^ r to o.
at::Tensor diagonals(const at::Tensor& blocks) {
  const auto o = at::arange(cpu::kProjectionBlock), turned = o.unsqueeze(1).bitwise_xor(o);  // [out, r]
  return blocks.gather(2, turned.expand_as(blocks)).permute({2, 0, 1}).reshape({cpu::kProjectionBlock, -1});
}

/// Gate weights [8, I] as seen from the input of a block-diagonal projection.
at::Tensor through(const at::Tensor& gate, const at::Tensor& blocks) {
  return at::einsum("gho,hod->ghd", {gate.view({cpu::kGates, -1, cpu::kProjectionBlock}), blocks})
      .reshape({cpu::kGates, -1});
}

}  // namespace

std::string cpu_block_obstacle(torch::ScalarType dtype, std::int64_t dim, std::int64_t inner_dim, std::int64_t heads) {
  if (dtype != torch::kFloat32) return str("dtype ", c10::toString(dtype), " is not float32 (on the CPU)");
  if (heads != cpu::kHeads) return str(heads, " heads are not ", cpu::kHeads);
  if (dim % cpu::kRowMultiple != 0 || inner_dim % (heads * cpu::kRowMultiple) != 0) {
    return str("the width ", dim, " or that of its heads, ", inner_dim / heads, ", is not a multiple of ",
               cpu::kRowMultiple);
  }
  return "";
}

ResidualStream cpu_mlstm_block(const ResidualStream& stream, const BlockWeights& weights, const BlockOptions& options) {
  const std::int64_t I = weights.skip.size(0);
  const auto gates = at::cat({weights.igate_weight, weights.fgate_weight});  // [8, 3I]: of q, k, v
  const auto of_gates = [&](std::int64_t part) { return gates.narrow(1, part * I, I); };
  // What autograd can do is left to it: the function sees the weights in the forms in which it computes.
  const tensor_list tensors{
      weights.norm.contiguous(),
      weights.proj_up.contiguous(),
      weights.conv_weight.view({I, cpu::kConvTaps}).t().contiguous(),
      weights.conv_bias.contiguous(),
      at::stack({diagonals(weights.q_proj), diagonals(weights.k_proj), diagonals(weights.v_proj)}),
      through(of_gates(0), weights.q_proj) + through(of_gates(1), weights.k_proj),
      through(of_gates(2), weights.v_proj),
      at::cat({weights.igate_bias, weights.fgate_bias}),
      weights.outnorm.contiguous(),
      weights.skip.contiguous(),
      weights.proj_down.contiguous()};
  std::optional<at::Tensor> delta;
  if (stream.delta.defined()) delta = stream.delta.contiguous();
  const auto results = BlockFunction::apply(stream.x.contiguous(), delta, at::TensorList(tensors),
                                            /*keep=*/at::GradMode::is_enabled(), stream.reversed, options.reverse,
                                            options.input_gate == InputGate::kSigmoid, options.recompute, options.eps);
  return {results[0], results[1], options.reverse};
}

}  // namespace axlstm::ops
