// The fused block: the order of its kernels and matrix products, forward and backward.
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/ops/add_norm.h"
#include "axlstm/ops/mlstm_block.h"
#include "block_launch.h"
#include "mlstm_backends.h"
#include "mlstm_chunks.h"

namespace axlstm::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

/// Order of the function's tensor arguments, and of their gradients.
enum Argument {
  kX,
  kDelta,
  kNorm,
  kProjUp,
  kConvWeight,
  kConvBias,
  kQProj,
  kKProj,
  kVProj,
  kIGateWeight,
  kIGateBias,
  kFGateWeight,
  kFGateBias,
  kOutNorm,
  kSkip,
  kProjDown,
  kArguments
};

struct Flags {
  bool reverse_delta, reverse, sigmoid_input;
  Isa isa;
  torch::ScalarType dtype;
  double eps;  // of the cell
};

const float* floats(const torch::Tensor& x) { return x.const_data_ptr<float>(); }

/// The block's sizes and the parameter structs that its kernels share.
struct Block {
  std::int64_t B, S, D, I, NH;
  kernels::DataType type;

  Block(const torch::Tensor& x, const torch::Tensor& skip, torch::ScalarType dtype)
      : B(x.size(0)), S(x.size(1)), D(x.size(2)), I(skip.size(0)), NH(kernels::kGates / 2), type(data_type(dtype)) {}

  kernels::BlockShape shape() const { return {B, S, I, NH}; }
  std::int64_t tokens() const { return B * S; }
  /// [B·S, I] contiguous as the cell's [B, S, NH, DH].
  torch::Tensor heads(const torch::Tensor& x) const { return x.view({B, S, NH, I / NH}); }
  /// From q, k, v [3, B·S, I].
  CellInputs cell(const torch::Tensor& qkv, const torch::Tensor& gates, const Flags& flags) const {
    return {heads(qkv[0]), heads(qkv[1]),
            heads(qkv[2]), {floats(gates), floats(gates) + tokens() * NH, flags.sigmoid_input},
            flags.isa,     flags.eps};
  }

  kernels::AddNormParams add_norm(const Flags& flags, const torch::Tensor& weight, const torch::Tensor& sum) const {
    kernels::AddNormParams p;
    p.B = B;
    p.S = S;
    p.D = D;
    p.reverse_y = flags.reverse_delta;
    p.reverse_u = flags.reverse;
    p.weight = floats(weight);
    p.sum = sum.data_ptr<float>();
    return p;
  }

  kernels::GateWeights gate_weights(const tensor_list& arguments) const {
    kernels::GateWeights p;
    p.I = I;
    p.i_weight = floats(arguments[kIGateWeight]);
    p.f_weight = floats(arguments[kFGateWeight]);
    p.q_weight = floats(arguments[kQProj]);
    p.k_weight = floats(arguments[kKProj]);
    p.v_weight = floats(arguments[kVProj]);
    return p;
  }

  /// `folded` [2, 8, I]: the gates' weights of c and a.
  kernels::BlockInputParams input(const tensor_list& arguments, const torch::Tensor& folded,
                                  const torch::Tensor& up) const {
    kernels::BlockInputParams p;
    p.shape = shape();
    p.up = up.data_ptr();
    p.conv_weight = floats(arguments[kConvWeight]);
    p.conv_bias = floats(arguments[kConvBias]);
    p.q_weight = floats(arguments[kQProj]);
    p.k_weight = floats(arguments[kKProj]);
    p.v_weight = floats(arguments[kVProj]);
    p.c_weight = floats(folded);
    p.a_weight = p.c_weight + kernels::kGates * I;
    p.i_bias = floats(arguments[kIGateBias]);
    p.f_bias = floats(arguments[kFGateBias]);
    return p;
  }

  /// With what it writes: c, q, k, v [4, B·S, I] and the gates.
  kernels::BlockInputParams full_input(const tensor_list& arguments, const torch::Tensor& folded,
                                       const torch::Tensor& up, const torch::Tensor& cqkv,
                                       const torch::Tensor& gates) const {
    auto p = input(arguments, folded, up);
    p.c = cqkv[0].data_ptr();
    p.q = cqkv[1].data_ptr();
    p.k = cqkv[2].data_ptr();
    p.v = cqkv[3].data_ptr();
    p.gates = gates.data_ptr<float>();
    return p;
  }

  kernels::BlockOutputParams output(const tensor_list& arguments, const torch::Tensor& h, const torch::Tensor& c,
                                    const torch::Tensor& up, const torch::Tensor& out) const {
    kernels::BlockOutputParams p;
    p.shape = shape();
    p.h = h.data_ptr();
    p.c = c.data_ptr();
    p.up = up.data_ptr();
    p.weight = floats(arguments[kOutNorm]);
    p.skip = floats(arguments[kSkip]);
    p.out = out.data_ptr();
    return p;
  }
};

/// What the forward pass leaves for the backward pass.
struct Saved {
  torch::Tensor sum, u, up_weight, down_weight, up;
  torch::Tensor cqkv;  // undefined: to be computed again
  torch::Tensor gates, h, scans, record, n, folded;
  tensor_list arguments;  // the weights; x and delta are not kept
  Flags flags{};
  bool has_delta = false;

  Saved() = default;
  explicit Saved(const AutogradContext& context) {
    const auto tensors = context.get_saved_variables();
    constexpr auto kTensors = std::size(kMembers);
    for (std::size_t at = 0; at < kTensors; ++at) this->*kMembers[at] = tensors[at];
    arguments.resize(kArguments);
    std::copy(tensors.begin() + kTensors, tensors.end(), arguments.begin() + kNorm);
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
      &Saved::gates, &Saved::h, &Saved::scans,     &Saved::record,      &Saved::n,  &Saved::folded};
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
        cqkv_(saved.cqkv.defined() ? saved.cqkv : input_again()),
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
  /// dq, dk, dv [3, B·S, I] and those of the gates [2, B, S, NH].
  struct Cell {
    torch::Tensor dqkv, dgates;
  };

  torch::Tensor input_again() const {
    const auto cqkv = torch::empty({4, block_.tokens(), block_.I}, narrow_);
    check_launch(kernels::block_input(block_.full_input(saved_.arguments, saved_.folded, saved_.up, cqkv, saved_.gates),
                                      block_.type, call_.stream()));
    return cqkv;
  }

  /// Through the down-projection, and what the cell's output goes through before it. Writes z's half of dup_.
  Mix output(const torch::Tensor& ddelta) {
    const auto dout = ddelta.mm(saved_.down_weight);  // [B·S, I]; becomes the gradient of the mix
    const auto out = torch::empty_like(dout);
    Mix mix{torch::empty_like(dout), dout, torch::empty({block_.tokens(), block_.NH, 2}, wide_)};
    kernels::BlockOutputBackwardParams params;
    params.forward = block_.output(saved_.arguments, saved_.h, cqkv_[0], saved_.up, out);
    params.dout = dout.data_ptr();
    params.dh = mix.dh.data_ptr();
    params.dmix = mix.dmix.data_ptr();
    params.dup = dup_.data_ptr();
    params.h_norm = reinterpret_cast<float2*>(mix.h_norm.data_ptr<float>());
    check_launch(kernels::block_output_backward(params, block_.type, call_.stream()));
    result_[kProjDown] = ddelta.t().mm(out).to(torch::kFloat32);
    return mix;
  }

  Cell cell(const torch::Tensor& dh) {
    Cell cell{torch::empty({3, block_.tokens(), block_.I}, narrow_), torch::empty_like(saved_.gates)};
    const auto &dqkv = cell.dqkv, &dgates = cell.dgates;
    cell_backward(block_.cell(cqkv_.narrow(0, 1, 3), saved_.gates, saved_.flags),
                  {saved_.scans, saved_.record, saved_.n}, block_.heads(dh),
                  {block_.heads(dqkv[0]), block_.heads(dqkv[1]), block_.heads(dqkv[2]), dgates[0].data_ptr<float>(),
                   dgates[1].data_ptr<float>()},
                  call_.stream());
    return cell;
  }

  /// Through convolution, projections and gates, all weights included. Writes a's half of dup_.
  void input(const Mix& mix, const Cell& cell) {
    const int parts = kernels::input_parts(block_.shape());
    const auto sums = torch::empty({parts, kernels::kInputRows, block_.I}, wide_);
    kernels::BlockInputBackwardParams params;
    params.forward = block_.input(saved_.arguments, saved_.folded, saved_.up);
    params.dq = cell.dqkv[0].data_ptr();
    params.dk = cell.dqkv[1].data_ptr();
    params.dv = cell.dqkv[2].data_ptr();
    params.dgates = cell.dgates.data_ptr<float>();
    params.dmix = mix.dmix.data_ptr();
    params.h = saved_.h.data_ptr();
    params.h_norm = reinterpret_cast<const float2*>(mix.h_norm.data_ptr<float>());
    params.skip = floats(saved_.arguments[kSkip]);
    params.dup = dup_.data_ptr();
    params.parts = sums.data_ptr<float>();
    params.part_count = parts;
    check_launch(kernels::block_input_backward(params, block_.type, call_.stream()));

    const auto sum = sums.sum(0);
    const auto rows = [&](std::int64_t first, std::int64_t count) { return sum.narrow(0, first, count); };
    const auto like = [&](Argument argument, std::int64_t first, std::int64_t count) {
      result_[argument] = rows(first, count).view_as(saved_.arguments[argument]);
    };
    like(kConvWeight, kernels::kConvRows, kernels::kConvTaps);
    result_[kConvBias] = sum[kernels::kConvBiasRow];
    result_[kSkip] = sum[kernels::kSkipRow];
    result_[kOutNorm] = sum[kernels::kNormRow];
    like(kQProj, kernels::kQRows, kernels::kBlockChannels);
    like(kKProj, kernels::kKRows, kernels::kBlockChannels);
    like(kVProj, kernels::kVRows, kernels::kBlockChannels);
    unfold_gates(rows(kernels::kCGateRows, kernels::kGates), rows(kernels::kAGateRows, kernels::kGates));
    const auto dbiases = cell.dgates.sum({1, 2});
    result_[kIGateBias] = dbiases[0];
    result_[kFGateBias] = dbiases[1];
  }

  /// From the gradients of the folded gate weights, [8, I] of c and of a, to those of the gates' own, and adds theirs
  /// to those of q_proj, k_proj and v_proj.
  void unfold_gates(const torch::Tensor& dc_weight, const torch::Tensor& da_weight) {
    const auto dweights = torch::empty({2, block_.NH, 3 * block_.I}, wide_);
    kernels::FoldGatesBackwardParams params;
    params.weights = block_.gate_weights(saved_.arguments);
    params.dc_weight = floats(dc_weight);
    params.da_weight = floats(da_weight);
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
    result_[kNorm] = sums.sum(0);
  }

  const Saved& saved_;
  const Block block_;
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
    const Block block(x, arguments[kSkip], dtype);
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
    const auto folded = torch::empty({2, kernels::kGates, block.I}, x.options());
    kernels::FoldGatesParams fold;
    fold.weights = block.gate_weights(arguments);
    fold.c_weight = folded[0].data_ptr<float>();
    fold.a_weight = folded[1].data_ptr<float>();
    check_launch(kernels::fold_gates(fold, call.stream()));
    const auto cqkv = torch::empty({4, block.tokens(), block.I}, narrow);
    const auto gates = torch::empty({2, block.B, block.S, block.NH}, x.options());
    check_launch(kernels::block_input(block.full_input(arguments, folded, up, cqkv, gates), block.type, call.stream()));

    const auto h = torch::empty({block.tokens(), block.I}, narrow);
    const CellState state(block.B, block.NH, block.S, x.options());
    cell_forward(block.cell(cqkv.narrow(0, 1, 3), gates, flags), state, block.heads(h), call.stream());

    const auto out = torch::empty_like(h);
    check_launch(kernels::block_output(block.output(arguments, h, cqkv[0], up, out), block.type, call.stream()));
    const auto result = out.mm(down_weight.t()).view(x.sizes());

    Saved saved;
    saved.sum = sum;
    saved.u = u;
    saved.up_weight = up_weight;
    saved.down_weight = down_weight;
    saved.up = up;
    if (!recompute) saved.cqkv = cqkv;
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
  // The kernels read 16 bytes at once, which a view may not begin on.
  const auto dense = [](const torch::Tensor& x) {
    const auto y = x.contiguous();
    return reinterpret_cast<std::uintptr_t>(y.const_data_ptr()) % 16 == 0 ? y : y.clone();
  };
  const tensor_list tensors{dense(weights.norm),        weights.proj_up,
                            dense(weights.conv_weight), dense(weights.conv_bias),
                            dense(weights.q_proj),      dense(weights.k_proj),
                            dense(weights.v_proj),      dense(weights.igate_weight),
                            dense(weights.igate_bias),  dense(weights.fgate_weight),
                            dense(weights.fgate_bias),  dense(weights.outnorm),
                            dense(weights.skip),        weights.proj_down};
  std::optional<torch::Tensor> delta;
  if (stream.delta.defined()) delta = dense(stream.delta.to(options.dtype));
  const auto results = BlockFunction::apply(dense(stream.x.to(torch::kFloat32)), delta, at::TensorList(tensors),
                                            stream.reversed, options.reverse, options.input_gate == InputGate::kSigmoid,
                                            options.isa, options.recompute, options.dtype, options.eps);
  return {results[0], results[1], options.reverse};
}

}  // namespace axlstm::ops
