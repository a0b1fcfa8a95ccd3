// The fused block: the order of its kernels and matrix products, forward and backward.
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/ops/add_norm.h"
#include "axlstm/ops/mlstm_block.h"
#include "mlstm_backends.h"
#include "mlstm_block_calls.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

/// What the forward pass leaves for the backward pass.
struct Saved {
  torch::Tensor sum, u, up_weight, down_weight, up;
  torch::Tensor cqkv, out;  // undefined: to be computed again
  torch::Tensor gates, h, scans, record, n;
  Folded folded;
  tensor_list arguments;  // the weights; x and delta are not kept
  Flags flags{};
  bool has_delta = false;

  Saved() = default;
  explicit Saved(const AutogradContext& context) {
    const auto tensors = context.get_saved_variables();
    constexpr auto kTensors = std::size(kMembers);
    for (std::size_t at = 0; at < kTensors; ++at) this->*kMembers[at] = tensors[at];
    folded = {tensors[kTensors], tensors[kTensors + 1]};
    arguments.resize(kArguments);
    std::copy(tensors.begin() + kTensors + 2, tensors.end(), arguments.begin() + kNorm);
    const auto& values = context.saved_data;
    flags = {values.at("reverse_delta").toBool(),
             values.at("reverse").toBool(),
             values.at("sigmoid_input").toBool(),
             static_cast<Isa>(values.at("isa").toInt()),
             u.scalar_type(),
             values.at("eps").toDouble()};
    has_delta = values.at("has_delta").toBool();
  }

  void keep(AutogradContext& context) const {
    tensor_list tensors;
    for (const auto member : kMembers) tensors.push_back(this->*member);
    tensors.push_back(folded.gates);
    tensors.push_back(folded.cell);
    tensors.insert(tensors.end(), arguments.begin() + kNorm, arguments.end());
    context.save_for_backward(tensors);
    auto& values = context.saved_data;
    values["reverse_delta"] = flags.reverse_delta;
    values["reverse"] = flags.reverse;
    values["sigmoid_input"] = flags.sigmoid_input;
    values["isa"] = static_cast<std::int64_t>(flags.isa);
    values["eps"] = flags.eps;
    values["has_delta"] = has_delta;
  }

 private:
  /// Their order among the saved tensors; the weights follow.
  static constexpr torch::Tensor Saved::*kMembers[] = {
      &Saved::sum,   &Saved::u, &Saved::up_weight, &Saved::down_weight, &Saved::up, &Saved::cqkv,
      &Saved::gates, &Saved::h, &Saved::scans,     &Saved::record,      &Saved::n,  &Saved::out};
};

/// The backward pass, a step for each step of the forward pass, last to first.
class BlockBackward {
 public:
  explicit BlockBackward(const Saved& saved)
      : saved_(saved),
        block_(saved.sum, saved.arguments[kSkip], saved.flags.dtype),
        call_(saved.sum),
        narrow_(saved.u.options()),
        wide_(saved.sum.options()),
        cqkv_(saved.cqkv.defined() ? saved.cqkv
                                   : block_.make_input(saved.arguments, saved.folded, saved.up, saved.gates, call_)),
        dup_(torch::empty_like(saved.up)),
        result_(kArguments) {}

  /// The gradients of the arguments, from those of sum and delta, one of which may be undefined.
  tensor_list run(const torch::Tensor& dsum, const torch::Tensor& ddelta) {
    const auto mix =
        output(ddelta.defined() ? ddelta.to(saved_.flags.dtype).contiguous().view({block_.tokens(), block_.D})
                                : torch::zeros({block_.tokens(), block_.D}, narrow_));
    input(mix, cell(mix.dh));
    norm(dsum.defined() ? dsum.contiguous() : dsum);
    return std::move(result_);
  }

 private:
  /// Gradients of the head norm's input h and of its output with the skip, [B·S, I]; h's statistics [B·S, NH, 2].
  struct Mix {
    torch::Tensor dh, dmix, h_norm;
  };
  /// dq, dk, dv [B·S, I], with weights as CellGradients has them; those of the gates [2, B, S, NH], of the scores'
  /// weights [I, 4] if there are any.
  struct Cell {
    torch::Tensor dq, dk, dv, dgates, dscores;
  };

  /// Through the down-projection, and what the cell's output goes through before it. Writes z's half of dup_.
  Mix output(const torch::Tensor& ddelta) {
    const auto dout = ddelta.mm(saved_.down_weight);  // [B·S, I]; becomes the gradient of the mix
    const auto again = saved_.out.defined() ? torch::Tensor() : torch::empty_like(dout);
    Mix mix{torch::empty_like(dout), dout, torch::empty({block_.tokens(), block_.NH, 2}, wide_)};
    kernels::BlockOutputBackwardParams params;
    params.forward = block_.output(saved_.arguments, saved_.h, cqkv_[0], saved_.up, again);
    params.dout = dout.data_ptr();
    params.dh = mix.dh.data_ptr();
    params.dmix = mix.dmix.data_ptr();
    params.dup = dup_.data_ptr();
    params.h_norm = reinterpret_cast<float2*>(mix.h_norm.data_ptr<float>());
    check_launch(kernels::block_output_backward(params, block_.type, call_.stream()));
    result_[kProjDown] = ddelta.t().mm(again.defined() ? again : saved_.out).to(torch::kFloat32);
    return mix;
  }

  Cell cell(const torch::Tensor& dh) {
    const auto empty = [&] { return torch::empty({block_.tokens(), block_.I}, narrow_); };
    Cell cell{empty(),
              saved_.folded.cell.defined() ? torch::Tensor() : empty(),
              empty(),
              torch::empty_like(saved_.gates),
              {}};
    const auto& dgates = cell.dgates;
    cell.dscores = cell_backward(block_.cell(cqkv_, saved_.up, saved_.folded, saved_.gates, saved_.flags),
                                 {saved_.scans, saved_.record, saved_.n}, block_.heads(dh),
                                 {block_.heads(cell.dq), cell.dk.defined() ? block_.heads(cell.dk) : cell.dk,
                                  block_.heads(cell.dv), dgates[0].data_ptr<float>(), dgates[1].data_ptr<float>()},
                                 call_.stream());
    return cell;
  }

  /// Through convolution, projections and gates, all weights included. Writes a's half of dup_.
  void input(const Mix& mix, const Cell& cell) {
    const int parts = kernels::input_parts(block_.shape());
    const auto sums = torch::empty({parts, kernels::kInputRows, block_.I}, wide_);
    kernels::BlockInputBackwardParams params;
    params.forward = block_.input(saved_.arguments, saved_.folded, saved_.up);
    params.dq = cell.dq.data_ptr();
    if (cell.dk.defined()) params.dk = cell.dk.data_ptr();
    params.dv = cell.dv.data_ptr();
    params.dgates = cell.dgates.data_ptr<float>();
    params.dmix = mix.dmix.data_ptr();
    params.h = saved_.h.data_ptr();
    params.h_norm = reinterpret_cast<const float2*>(mix.h_norm.data_ptr<float>());
    params.skip = floats(saved_.arguments[kSkip]);
    params.dup = dup_.data_ptr();
    params.parts = sums.data_ptr<float>();
    params.part_count = parts;
    check_launch(kernels::block_input_backward(params, block_.type, call_.stream()));

    const auto sum = sum_of_parts(sums, call_.stream());
    const auto rows = [&](std::int64_t first, std::int64_t count) { return sum.narrow(0, first, count); };
    const auto like = [&](Argument argument, std::int64_t first, std::int64_t count) {
      result_[argument] = rows(first, count).view_as(saved_.arguments[argument]);
    };
    like(kConvWeight, kernels::kConvRows, kernels::kConvTaps);
    result_[kConvBias] = sum[kernels::kConvBiasRow];
    result_[kSkip] = sum[kernels::kSkipRow];
    result_[kOutNorm] = sum[kernels::kNormRow];
    like(kQProj, kernels::kQRows, kernels::kProjectionBlock);  // zeros, if the scores' weights are theirs
    like(kKProj, kernels::kKRows, kernels::kProjectionBlock);
    like(kVProj, kernels::kVRows, kernels::kProjectionBlock);
    unfold(rows(kernels::kCGateRows, kernels::kGates), rows(kernels::kAGateRows, kernels::kGates), cell.dscores);
    const auto dbiases = cell.dgates.sum({1, 2});
    result_[kIGateBias] = dbiases[0];
    result_[kFGateBias] = dbiases[1];
  }

  /// From the gradients of the folded weights, [8, I] of c and of a and, if defined, [I, 4] of scores, to those of the
  /// gates' own, and adds to those of q_proj, k_proj and v_proj.
  void unfold(const torch::Tensor& dc_weight, const torch::Tensor& da_weight, const torch::Tensor& dscores) {
    const auto dweights = torch::empty({2, block_.NH, 3 * block_.I}, wide_);
    kernels::FoldGatesBackwardParams params;
    params.weights = block_.gate_weights(saved_.arguments);
    params.dc_weight = floats(dc_weight);
    params.da_weight = floats(da_weight);
    if (dscores.defined()) params.dscore_weight = floats(dscores);
    params.di_weight = dweights[0].data_ptr<float>();
    params.df_weight = dweights[1].data_ptr<float>();
    params.dq_weight = result_[kQProj].data_ptr<float>();
    params.dk_weight = result_[kKProj].data_ptr<float>();
    params.dv_weight = result_[kVProj].data_ptr<float>();
    check_launch(kernels::fold_gates_backward(params, call_.stream()));
    result_[kIGateWeight] = dweights[0];
    result_[kFGateWeight] = dweights[1];
  }

  /// Through the up-projection, the norm and the residual addition. `dsum` may be undefined.
  void norm(const torch::Tensor& dsum) {
    const auto du = dup_.mm(saved_.up_weight);  // [B·S, D]
    result_[kProjUp] = dup_.t().mm(saved_.u).to(torch::kFloat32);
    result_[kX] = torch::empty_like(saved_.sum);
    if (saved_.has_delta) result_[kDelta] = torch::empty(saved_.sum.sizes(), narrow_);
    const int parts = kernels::norm_parts(block_.tokens());
    const auto sums = torch::empty({parts, block_.D}, wide_);
    kernels::AddNormBackwardParams params;
    params.forward = block_.add_norm(saved_.flags, saved_.arguments[kNorm], saved_.sum);
    params.dsum = dsum.defined() ? floats(dsum) : nullptr;
    params.du = du.data_ptr();
    params.dx = result_[kX].data_ptr<float>();
    params.dy = saved_.has_delta ? result_[kDelta].data_ptr() : nullptr;
    params.dweight_parts = sums.data_ptr<float>();
    params.parts = parts;
    check_launch(kernels::add_norm_backward(params, block_.type, call_.stream()));
    result_[kNorm] = sum_of_parts(sums, call_.stream());
  }

  const Saved& saved_;
  const BlockCalls block_;
  const KernelContext call_;
  const torch::TensorOptions narrow_, wide_;
  const torch::Tensor cqkv_, dup_;
  tensor_list result_;
};

class BlockFunction : public torch::autograd::Function<BlockFunction> {
 public:
  /// `arguments` in the order of Argument, the float32 ones contiguous; returns sum and delta.
  static tensor_list forward(AutogradContext* context, const torch::Tensor& x,
                             const std::optional<torch::Tensor>& delta, at::TensorList weights, bool reverse_delta,
                             bool reverse, bool sigmoid_input, Isa isa, bool recompute, torch::ScalarType dtype,
                             double eps) {
    const Flags flags{reverse_delta, reverse, sigmoid_input, isa, dtype, eps};
    tensor_list arguments{x, torch::Tensor()};
    arguments.insert(arguments.end(), weights.begin(), weights.end());
    const BlockCalls block(x, arguments[kSkip], dtype);
    const KernelContext call(x);
    const auto narrow = x.options().dtype(dtype);

    const auto sum = torch::empty_like(x);
    const auto u = torch::empty({block.tokens(), block.D}, narrow);
    auto norm = block.add_norm(flags, arguments[kNorm], sum);
    norm.x = floats(x);
    norm.y = delta ? delta->data_ptr() : nullptr;
    norm.u = u.data_ptr();
    check_launch(kernels::add_norm(norm, block.type, call.stream()));

    const auto up_weight = arguments[kProjUp].to(dtype), down_weight = arguments[kProjDown].to(dtype);
    const auto up = u.mm(up_weight.t());  // [B·S, 2I]
    const Folded folded = block.fold(arguments, flags, call);
    const auto gates = torch::empty({2, block.B, block.S, block.NH}, x.options());
    const auto cqkv = block.make_input(arguments, folded, up, gates, call);

    const auto h = torch::empty({block.tokens(), block.I}, narrow);
    const CellState state(block.B, block.NH, block.S, x.options());
    cell_forward(block.cell(cqkv, up, folded, gates, flags), state, block.heads(h), call.stream());

    const auto out = torch::empty_like(h);
    check_launch(kernels::block_output(block.output(arguments, h, cqkv[0], up, out), block.type, call.stream()));
    const auto result = out.mm(down_weight.t()).view(x.sizes());

    Saved saved;
    saved.sum = sum;
    saved.u = u;
    saved.up_weight = up_weight;
    saved.down_weight = down_weight;
    saved.up = up;
    if (!recompute) {
      saved.cqkv = cqkv;
      saved.out = out;
    }
    saved.gates = gates;
    saved.h = h;
    saved.scans = state.scans;
    saved.record = state.record;
    saved.n = state.n;
    saved.folded = folded;
    saved.arguments = std::move(arguments);
    saved.flags = flags;
    saved.has_delta = delta.has_value();
    saved.keep(*context);
    context->set_materialize_grads(false);
    return {sum, result};
  }

  static tensor_list backward(AutogradContext* context, const tensor_list& gradients) {
    const Saved saved(*context);
    auto result = BlockBackward(saved).run(gradients[0], gradients[1]);
    result.resize(kArguments + 7);  // the flags have none
    return result;
  }
};

}  // namespace

std::string cuda_block_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t dim,
                                std::int64_t inner_dim, std::int64_t heads) {
  const std::string of_norm = add_norm_obstacle(device, dtype, dim);
  if (!of_norm.empty()) return of_norm;
  if (heads != kernels::kGates / 2) return str(heads, " heads are not ", kernels::kGates / 2);
  if (inner_dim % heads != 0 || !kernels::supports_head_dim(inner_dim / heads)) {
    return str("the inner width ", inner_dim, " is not ", heads, " heads of a multiple of ", kernels::kHeadDimMultiple,
               " up to ", kernels::kMaxHeadDim);
  }
  return "";
}

ResidualStream cuda_mlstm_block(const ResidualStream& stream, const BlockWeights& weights,
                                const BlockOptions& options) {
  const tensor_list tensors{aligned(weights.norm),        weights.proj_up,
                            aligned(weights.conv_weight), aligned(weights.conv_bias),
                            aligned(weights.q_proj),      aligned(weights.k_proj),
                            aligned(weights.v_proj),      aligned(weights.igate_weight),
                            aligned(weights.igate_bias),  aligned(weights.fgate_weight),
                            aligned(weights.fgate_bias),  aligned(weights.outnorm),
                            aligned(weights.skip),        weights.proj_down};
  std::optional<torch::Tensor> delta;
  if (stream.delta.defined()) delta = aligned(stream.delta.to(options.dtype));
  const auto results = BlockFunction::apply(aligned(stream.x.to(torch::kFloat32)), delta, at::TensorList(tensors),
                                            stream.reversed, options.reverse, options.input_gate == InputGate::kSigmoid,
                                            options.isa, options.recompute, options.dtype, options.eps);
  return {results[0], results[1], options.reverse};
}

}  // namespace axlstm::ops
