// The fused block: the order of its kernels and matrix products, forward and backward.
#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/ops/add_norm.h"
#include "axlstm/ops/mlstm_block.h"
#include "block_launch.h"
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

/// Order of what the backward pass is left: these, then the weights from kNorm on.
enum Saved { kSum, kU, kUpWeight, kDownWeight, kUp, kCqkv, kGates, kH, kScans, kRecord, kN, kFolded, kSaved };

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

    tensor_list saved(kSaved);
    saved[kSum] = sum;
    saved[kU] = u;
    saved[kUpWeight] = up_weight;
    saved[kDownWeight] = down_weight;
    saved[kUp] = up;
    if (!recompute) saved[kCqkv] = cqkv;
    saved[kGates] = gates;
    saved[kH] = h;
    saved[kScans] = state.scans;
    saved[kRecord] = state.record;
    saved[kN] = state.n;
    saved[kFolded] = folded;
    saved.insert(saved.end(), weights.begin(), weights.end());
    context->save_for_backward(saved);
    context->saved_data["reverse_delta"] = reverse_delta;
    context->saved_data["reverse"] = reverse;
    context->saved_data["sigmoid_input"] = sigmoid_input;
    context->saved_data["isa"] = static_cast<std::int64_t>(isa);
    context->saved_data["eps"] = eps;
    context->saved_data["has_delta"] = delta.has_value();
    context->set_materialize_grads(false);
    return {sum, result};
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &sum = saved[kSum], &u = saved[kU], &up_weight = saved[kUpWeight], &down_weight = saved[kDownWeight],
               &up = saved[kUp], &gates = saved[kGates], &h = saved[kH], &folded = saved[kFolded];
    const CellState state(saved[kScans], saved[kRecord], saved[kN]);
    tensor_list arguments(kArguments);
    std::copy(saved.begin() + kSaved, saved.end(), arguments.begin() + kNorm);
    const auto dtype = u.scalar_type();
    const Flags flags{context->saved_data["reverse_delta"].toBool(),
                      context->saved_data["reverse"].toBool(),
                      context->saved_data["sigmoid_input"].toBool(),
                      static_cast<Isa>(context->saved_data["isa"].toInt()),
                      dtype,
                      context->saved_data["eps"].toDouble()};
    const Block block(sum, arguments[kSkip], dtype);
    const KernelContext call(sum);
    const auto narrow = u.options(), wide = sum.options();
    const auto dresult = gradients[1].defined() ? gradients[1].to(dtype).contiguous().view({block.tokens(), block.D})
                                                : torch::zeros({block.tokens(), block.D}, narrow);

    auto cqkv = saved[kCqkv];
    if (!cqkv.defined()) {
      cqkv = torch::empty({4, block.tokens(), block.I}, narrow);
      check_launch(
          kernels::block_input(block.full_input(arguments, folded, up, cqkv, gates), block.type, call.stream()));
    }

    auto dout = dresult.mm(down_weight);  // [B·S, I]; becomes the gradient of the mix
    auto out = torch::empty_like(dout);
    const auto dh = torch::empty_like(dout), dup = torch::empty_like(up);
    const auto h_norm = torch::empty({block.tokens(), block.NH, 2}, wide);
    kernels::BlockOutputBackwardParams output;
    output.forward = block.output(arguments, h, cqkv[0], up, out);
    output.dout = dout.data_ptr();
    output.dh = dh.data_ptr();
    output.dmix = dout.data_ptr();
    output.dup = dup.data_ptr();
    output.h_norm = reinterpret_cast<float2*>(h_norm.data_ptr<float>());
    check_launch(kernels::block_output_backward(output, block.type, call.stream()));
    tensor_list result(kArguments);
    result[kProjDown] = dresult.t().mm(out).to(torch::kFloat32);
    out.reset();

    const auto dqkv = torch::empty({3, block.tokens(), block.I}, narrow);
    const auto dgates = torch::empty_like(gates);
    cell_backward(block.cell(cqkv.narrow(0, 1, 3), gates, flags), state, block.heads(dh),
                  {block.heads(dqkv[0]), block.heads(dqkv[1]), block.heads(dqkv[2]), dgates[0].data_ptr<float>(),
                   dgates[1].data_ptr<float>()},
                  call.stream());

    const int parts = kernels::input_parts(block.shape());
    const auto input_sums = torch::empty({parts, kernels::kInputRows, block.I}, wide);
    kernels::BlockInputBackwardParams input;
    input.forward = block.input(arguments, folded, up);
    input.dq = dqkv[0].data_ptr();
    input.dk = dqkv[1].data_ptr();
    input.dv = dqkv[2].data_ptr();
    input.dgates = dgates.data_ptr<float>();
    input.dmix = dout.data_ptr();
    input.h = h.data_ptr();
    input.h_norm = output.h_norm;
    input.skip = floats(arguments[kSkip]);
    input.dup = dup.data_ptr();
    input.parts = input_sums.data_ptr<float>();
    input.part_count = parts;
    check_launch(kernels::block_input_backward(input, block.type, call.stream()));
    const auto input_sum = input_sums.sum(0);
    const auto rows = [&](std::int64_t first, std::int64_t count) { return input_sum.narrow(0, first, count); };
    result[kConvWeight] = rows(kernels::kConvRows, kernels::kConvTaps).view_as(arguments[kConvWeight]);
    result[kConvBias] = input_sum[kernels::kConvBiasRow];
    result[kSkip] = input_sum[kernels::kSkipRow];
    result[kOutNorm] = input_sum[kernels::kNormRow];
    result[kQProj] = rows(kernels::kQRows, kernels::kBlockChannels).view_as(arguments[kQProj]);
    result[kKProj] = rows(kernels::kKRows, kernels::kBlockChannels).view_as(arguments[kKProj]);
    result[kVProj] = rows(kernels::kVRows, kernels::kBlockChannels).view_as(arguments[kVProj]);
    const auto dgate_weights = torch::empty({2, block.NH, 3 * block.I}, wide), dgate_biases = dgates.sum({1, 2});
    kernels::FoldGatesBackwardParams fold;
    fold.weights = block.gate_weights(arguments);
    fold.dc_weight = floats(rows(kernels::kCGateRows, kernels::kGates));
    fold.da_weight = floats(rows(kernels::kAGateRows, kernels::kGates));
    fold.di_weight = dgate_weights[0].data_ptr<float>();
    fold.df_weight = dgate_weights[1].data_ptr<float>();
    fold.dq_weight = result[kQProj].data_ptr<float>();
    fold.dk_weight = result[kKProj].data_ptr<float>();
    fold.dv_weight = result[kVProj].data_ptr<float>();
    check_launch(kernels::fold_gates_backward(fold, call.stream()));
    result[kIGateWeight] = dgate_weights[0];
    result[kIGateBias] = dgate_biases[0];
    result[kFGateWeight] = dgate_weights[1];
    result[kFGateBias] = dgate_biases[1];

    const auto du = dup.mm(up_weight);  // [B·S, D]
    result[kProjUp] = dup.t().mm(u).to(torch::kFloat32);
    const bool has_delta = context->saved_data["has_delta"].toBool();
    result[kX] = torch::empty_like(sum);
    if (has_delta) result[kDelta] = torch::empty(sum.sizes(), narrow);
    const int norm_parts = kernels::norm_parts(block.tokens());
    const auto norm_sums = torch::empty({norm_parts, block.D}, wide);
    const auto dsum = gradients[0].defined() ? gradients[0].contiguous() : torch::Tensor();
    kernels::AddNormBackwardParams norm;
    norm.forward = block.add_norm(flags, arguments[kNorm], sum);
    norm.dsum = dsum.defined() ? floats(dsum) : nullptr;
    norm.du = du.data_ptr();
    norm.dx = result[kX].data_ptr<float>();
    norm.dy = has_delta ? result[kDelta].data_ptr() : nullptr;
    norm.dweight_parts = norm_sums.data_ptr<float>();
    norm.parts = norm_parts;
    check_launch(kernels::add_norm_backward(norm, block.type, call.stream()));
    result[kNorm] = norm_sums.sum(0);
    result.resize(kArguments + 7);  // the flags have none
    return result;
  }
};

}  // namespace

std::string fused_block_obstacle(const torch::Device& device, torch::ScalarType dtype, std::int64_t dim,
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

ResidualStream fused_mlstm_block(const ResidualStream& stream, const BlockWeights& weights,
                                 const BlockOptions& options) {
  const std::int64_t I = weights.skip.size(0), NH = kernels::kGates / 2, width = kernels::kBlockChannels;
  const auto check = [](const char* name, const torch::Tensor& x, at::IntArrayRef sizes) {
    AXLSTM_CHECK(x.sizes() == sizes, "mlstm block: ", name, " must be ", sizes, ", got ", x.sizes());
  };
  check("q_proj", weights.q_proj, {I / width, width, width});
  check("k_proj", weights.k_proj, {I / width, width, width});
  check("v_proj", weights.v_proj, {I / width, width, width});
  check("igate_weight", weights.igate_weight, {NH, 3 * I});
  check("fgate_weight", weights.fgate_weight, {NH, 3 * I});
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
