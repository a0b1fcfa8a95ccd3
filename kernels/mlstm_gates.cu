// Launches of the scans over the gates.
#include "mlstm_launch.h"
#include "mlstm_scans.cuh"

namespace axlstm::kernels {
namespace {

unsigned pairs(const MlstmShape& shape) { return static_cast<unsigned>(shape.B * shape.NH); }
unsigned threads(const MlstmShape& shape) { return static_cast<unsigned>(scan_threads(shape.S)); }

}  // namespace

cudaError_t mlstm_scan_gates(const ForwardParams& params, cudaStream_t stream) {
  gate_forward_kernel<<<pairs(params.shape), threads(params.shape), 0, stream>>>(params.shape, params.gates,
                                                                                 params.state);
  return cudaGetLastError();
}

cudaError_t mlstm_backward_gates(const BackwardParams& params, cudaStream_t stream) {
  gate_backward_kernel<<<pairs(params.shape), threads(params.shape), 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace axlstm::kernels
