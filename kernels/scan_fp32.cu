#include "scan_launches.cuh"

namespace axlstm::kernels {

template cudaError_t launch_scan_forward<float>(const ScanParams&, cudaStream_t);
template cudaError_t launch_scan_backward<float>(const ScanBackwardParams&, cudaStream_t);
template cudaError_t launch_convolution<float>(const ConvolutionParams&, cudaStream_t);
template cudaError_t launch_convolution_backward<float>(const ConvolutionBackwardParams&, cudaStream_t);

}  // namespace axlstm::kernels
