#include "mlstm_launch.cuh"

namespace axlstm::kernels {

template cudaError_t launch_forward<float>(const ForwardParams&, cudaStream_t);
template cudaError_t launch_backward<float>(const BackwardParams&, cudaStream_t);

}  // namespace axlstm::kernels
