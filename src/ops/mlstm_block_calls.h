// The fused block's sizes and weights, as its kernels take them.
#pragma once

#include <torch/types.h>

#include <vector>

#include "block_launch.h"
#include "mlstm_chunks.h"

namespace axlstm::ops {

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

inline const float* floats(const torch::Tensor& x) { return x.const_data_ptr<float>(); }
inline std::uint32_t* packed(const torch::Tensor& x) {
  return reinterpret_cast<std::uint32_t*>(x.data_ptr<std::int32_t>());
}

/// The weights that kernels use in place of the gates' and of those of q and k.
struct Folded {
  torch::Tensor gates;  ///< [2, 8, I]: of c and of a
  torch::Tensor cell;   ///< [2, packed_weights()] int32: of scores and values; undefined: the cell has q, k and v
};

/// The block's sizes, the parameter structs that its kernels share, and the calls that both passes make.
struct BlockCalls {
  std::int64_t B, S, D, I, NH;
  kernels::DataType type;

  BlockCalls(const torch::Tensor& x, const torch::Tensor& skip, torch::ScalarType dtype)
      : B(x.size(0)), S(x.size(1)), D(x.size(2)), I(skip.size(0)), NH(kernels::kGates / 2), type(data_type(dtype)) {}

  kernels::BlockShape shape() const { return {B, S, I, NH}; }
  std::int64_t tokens() const { return B * S; }
  /// [B·S, I] as the cell's [B, S, NH, DH].
  torch::Tensor heads(const torch::Tensor& x) const { return x.view({B, S, NH, I / NH}); }
  /// From c, q, k, v [4, B·S, I] or, where the cell takes weights, from c [1, B·S, I] and a.
  CellInputs cell(const torch::Tensor& cqkv, const torch::Tensor& up, const Folded& folded, const torch::Tensor& gates,
                  const Flags& flags) const {
    const kernels::Gates preactivations{floats(gates), floats(gates) + tokens() * NH, flags.sigmoid_input};
    if (folded.cell.defined()) {
      const auto c = heads(cqkv[0]);
      const kernels::CellWeights weights{packed(folded.cell[0]), packed(folded.cell[1])};
      return {c, c, heads(up.narrow(1, 0, I)), preactivations, weights, flags.isa, flags.eps};
    }
    return {heads(cqkv[1]), heads(cqkv[2]), heads(cqkv[3]), preactivations, {}, flags.isa, flags.eps};
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

  kernels::GateWeights gate_weights(const std::vector<torch::Tensor>& arguments) const {
    kernels::GateWeights p;
    p.I = I;
    p.i_weight = floats(arguments[kIGateWeight]);
    p.f_weight = floats(arguments[kFGateWeight]);
    p.q_weight = floats(arguments[kQProj]);
    p.k_weight = floats(arguments[kKProj]);
    p.v_weight = floats(arguments[kVProj]);
    return p;
  }

  Folded fold(const std::vector<torch::Tensor>& arguments, const Flags& flags, const KernelContext& call) const {
    const auto& skip = arguments[kSkip];
    Folded folded{torch::empty({2, kernels::kGates, I}, skip.options()), {}};
    kernels::FoldGatesParams params;
    params.weights = gate_weights(arguments);
    params.c_weight = folded.gates[0].data_ptr<float>();
    params.a_weight = folded.gates[1].data_ptr<float>();
    if (takes_weights(flags.isa, skip.device(), flags.dtype, S)) {
      folded.cell = torch::empty({2, kernels::packed_weights(NH, I / NH)}, skip.options().dtype(torch::kInt32));
      check_launch(kernels::pack_weights(
          {params.weights, NH, kernels::hopper_eighths(I / NH), packed(folded.cell[0]), packed(folded.cell[1])}, type,
          call.stream()));
    }
    check_launch(kernels::fold_gates(params, call.stream()));
    return folded;
  }

  kernels::BlockInputParams input(const std::vector<torch::Tensor>& arguments, const Folded& folded,
                                  const torch::Tensor& up) const {
    kernels::BlockInputParams p;
    p.shape = shape();
    p.up = up.data_ptr();
    p.conv_weight = floats(arguments[kConvWeight]);
    p.conv_bias = floats(arguments[kConvBias]);
    p.q_weight = floats(arguments[kQProj]);
    p.k_weight = floats(arguments[kKProj]);
    p.v_weight = floats(arguments[kVProj]);
    p.c_weight = floats(folded.gates);
    p.a_weight = p.c_weight + kernels::kGates * I;
    p.i_bias = floats(arguments[kIGateBias]);
    p.f_bias = floats(arguments[kFGateBias]);
    return p;
  }

  /// Writes and returns c [1, B·S, I] or, unless the cell makes them itself, c, q, k, v [4, B·S, I]; writes the gates.
  torch::Tensor make_input(const std::vector<torch::Tensor>& arguments, const Folded& folded, const torch::Tensor& up,
                           const torch::Tensor& gates, const KernelContext& call) const {
    const auto cqkv = torch::empty({folded.cell.defined() ? 1 : 4, tokens(), I}, up.options());
    auto p = input(arguments, folded, up);
    p.c = cqkv[0].data_ptr();
    if (!folded.cell.defined()) {
      p.q = cqkv[1].data_ptr();
      p.k = cqkv[2].data_ptr();
      p.v = cqkv[3].data_ptr();
    }
    p.gates = gates.data_ptr<float>();
    check_launch(kernels::block_input(p, type, call.stream()));
    return cqkv;
  }

  kernels::BlockOutputParams output(const std::vector<torch::Tensor>& arguments, const torch::Tensor& h,
                                    const torch::Tensor& c, const torch::Tensor& up, const torch::Tensor& out) const {
    kernels::BlockOutputParams p;
    p.shape = shape();
    p.h = h.data_ptr();
    p.c = c.data_ptr();
    p.up = up.data_ptr();
    p.weight = floats(arguments[kOutNorm]);
    p.skip = floats(arguments[kSkip]);
    p.out = out.defined() ? out.data_ptr() : nullptr;
    return p;
  }
};

}  // namespace axlstm::ops
