#include "mlstm_chunk_launch.cuh"

namespace axlstm::kernels {

template cudaError_t launch_mma_forward<__half>(const ForwardParams&, cudaStream_t);
template cudaError_t launch_mma_backward<__half>(const BackwardParams&, cudaStream_t);

}  // namespace axlstm::kernels
