#include "scan_launches.cuh"

namespace axlstm::kernels {

template cudaError_t launch_scan_forward<__half>(const ScanParams&, cudaStream_t);
template cudaError_t launch_scan_backward<__half>(const ScanBackwardParams&, cudaStream_t);
template cudaError_t launch_convolution<__half>(const ConvolutionParams&, cudaStream_t);
template cudaError_t launch_convolution_backward<__half>(const ConvolutionBackwardParams&, cudaStream_t);

}  // namespace axlstm::kernels
