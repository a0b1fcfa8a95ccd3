// How the mLSTM cell is computed.
#pragma once

namespace axlstm::ops {

/// The input gate's log value: its preactivation (paper, eq. 5), or log-sigmoid of it (the Table 5 ablation).
enum class InputGate { kExponential, kSigmoid };

/// kReference: stabilised parallel form through LibTorch operators. kRecurrent: one step at a time, carrying a state.
/// kCell: this project's CUDA kernels for the cell, without an S×S tensor in memory. kFused: CUDA kernels for the whole
/// block (float16, bfloat16). kAuto: the fastest of fused, cell and reference that can run; in float32 the reference.
enum class Backend { kAuto, kReference, kRecurrent, kCell, kFused };

/// Instructions that the cell's CUDA kernels use. kPortable: of compute capability 8.0 and higher. kHopper: wgmma and
/// TMA of 9.0, in float16 and bfloat16. kAuto: the faster ones that can run.
enum class Isa { kAuto, kPortable, kHopper };

struct MlstmOptions {
  InputGate input_gate = InputGate::kExponential;
  Backend backend = Backend::kAuto;
  Isa isa = Isa::kAuto;
  double eps = 1e-6;  ///< added to the normaliser, in the stabilised domain
};

}  // namespace axlstm::ops
