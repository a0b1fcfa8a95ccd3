#include "mlstm_chunk_launch.cuh"

namespace axlstm::kernels {

template cudaError_t launch_mma_forward<__nv_bfloat16>(const ForwardParams&, cudaStream_t);
template cudaError_t launch_mma_backward<__nv_bfloat16>(const BackwardParams&, cudaStream_t);

}  // namespace axlstm::kernels
