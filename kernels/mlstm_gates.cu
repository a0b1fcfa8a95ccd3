// Launches of the scans over the gates.
#include "mlstm_launch.h"
#include "mlstm_scans.cuh"

namespace axlstm::kernels {
namespace {

unsigned pairs(const MlstmShape& shape) { return static_cast<unsigned>(shape.B * shape.NH); }

}  // namespace

void launch_gate_forward(const ForwardParams& params, cudaStream_t stream) {
  gate_forward_kernel<<<pairs(params.shape), kWarp, 0, stream>>>(params.shape, params.gates, params.state);
}

void launch_gate_backward(const BackwardParams& params, int parts, cudaStream_t stream) {
  gate_backward_kernel<<<pairs(params.shape), kWarp, 0, stream>>>(params, parts);
}

}  // namespace axlstm::kernels
