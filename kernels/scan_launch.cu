#include "scan_launch.h"

#include "scan_plan.h"

namespace axlstm::kernels {

template <typename T>
cudaError_t launch_scan_forward(const ScanParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_scan_backward(const ScanBackwardParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_convolution(const ConvolutionParams& params, cudaStream_t stream);
template <typename T>
cudaError_t launch_convolution_backward(const ConvolutionBackwardParams& params, cudaStream_t stream);

int scan_parts(const ScanShape& shape) { return count_scan_parts(shape); }
std::int64_t convolution_stretches(const ScanShape& shape) { return count_stretches(shape); }
std::int64_t kept_elements(const ScanShape& shape) { return count_kept(shape); }

cudaError_t scan_forward(const ScanParams& params, DataType type, cudaStream_t stream) {
  return by_any_type(type, [&](auto element) { return launch_scan_forward<decltype(element)>(params, stream); });
}

cudaError_t scan_backward(const ScanBackwardParams& params, DataType type, cudaStream_t stream) {
  return by_any_type(type, [&](auto element) { return launch_scan_backward<decltype(element)>(params, stream); });
}

cudaError_t convolution(const ConvolutionParams& params, DataType type, cudaStream_t stream) {
  return by_any_type(type, [&](auto element) { return launch_convolution<decltype(element)>(params, stream); });
}

cudaError_t convolution_backward(const ConvolutionBackwardParams& params, DataType type, cudaStream_t stream) {
  return by_any_type(type,
                     [&](auto element) { return launch_convolution_backward<decltype(element)>(params, stream); });
}

}  // namespace axlstm::kernels
