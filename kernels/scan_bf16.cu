#include "scan_launches.cuh"

namespace axlstm::kernels {

template cudaError_t launch_scan_forward<__nv_bfloat16>(const ScanParams&, cudaStream_t);
template cudaError_t launch_scan_backward<__nv_bfloat16>(const ScanBackwardParams&, cudaStream_t);
template cudaError_t launch_convolution<__nv_bfloat16>(const ConvolutionParams&, cudaStream_t);
template cudaError_t launch_convolution_backward<__nv_bfloat16>(const ConvolutionBackwardParams&, cudaStream_t);

}  // namespace axlstm::kernels
