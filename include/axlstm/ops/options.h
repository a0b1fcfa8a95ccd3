// How the mLSTM cell is computed.
#pragma once

#include <array>

#include "axlstm/core/enum_names.h"

namespace axlstm::ops {

/// The input gate's log value: its preactivation (paper, eq. 5), or log-sigmoid of it (the Table 5 ablation).
enum class InputGate { kExponential, kSigmoid };
constexpr auto enum_names(InputGate) { return std::array{"exponential", "sigmoid"}; }

/// kReference: stabilised parallel form through LibTorch operators. kRecurrent: one step at a time, carrying a state.
/// kCell: this project's own code for the cell, without an S×S tensor in memory. kFused: for the whole block. Both are
/// CUDA kernels (kFused in float16 and bfloat16), or on the CPU vector code in float32. kAuto: the fastest of fused,
/// cell and reference that can run; in float32 on a GPU the reference.
enum class Backend { kAuto, kReference, kRecurrent, kCell, kFused };
constexpr auto enum_names(Backend) { return std::array{"auto", "reference", "recurrent", "cell", "fused"}; }

/// Instructions that the cell's CUDA kernels use. kPortable: of compute capability 8.0 and higher. kHopper: wgmma and
/// TMA of 9.0, in float16 and bfloat16. kAuto: the faster ones that can run.
enum class Isa { kAuto, kPortable, kHopper };
constexpr auto enum_names(Isa) { return std::array{"auto", "portable", "hopper"}; }

struct MlstmOptions {
  InputGate input_gate = InputGate::kExponential;
  Backend backend = Backend::kAuto;
  Isa isa = Isa::kAuto;
  double eps = 1e-6;  ///< added to the normaliser, in the stabilised domain
};

}  // namespace axlstm::ops
