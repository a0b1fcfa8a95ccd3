// How the mLSTM cell is computed.
#pragma once

namespace axlstm::ops {

/// The input gate's log value: its preactivation (paper, eq. 5), or log-sigmoid of it (the Table 5 ablation).
enum class InputGate { kExponential, kSigmoid };

/// kReference: stabilised parallel form through LibTorch operators. kRecurrent: one step at a time, carrying a state.
/// kCell: this project's CUDA kernels, without an S×S tensor in memory. kAuto: kReference, so far the fastest in
/// float32.
enum class Backend { kAuto, kReference, kRecurrent, kCell };

struct MlstmOptions {
  InputGate input_gate = InputGate::kExponential;
  Backend backend = Backend::kAuto;
  double eps = 1e-6;  ///< added to the normaliser, in the stabilised domain
};

}  // namespace axlstm::ops
