// Launches of the scans over the gates.
#include "launch.cuh"
#include "mlstm_launch.h"
#include "mlstm_plan.h"
#include "mlstm_scans.cuh"

namespace axlstm::kernels {

cudaError_t mlstm_scan_gates(const ForwardParams& params, cudaStream_t stream) {
  return enqueue(gate_forward_kernel, plan_scan(params.shape), stream, params.shape, params.gates, params.state);
}

cudaError_t mlstm_backward_gates(const BackwardParams& params, cudaStream_t stream) {
  return enqueue(gate_backward_kernel, plan_scan(params.shape), stream, params);
}

}  // namespace axlstm::kernels
