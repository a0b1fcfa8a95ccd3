// Host entry points of the kernels of Mamba's mixer. All enqueue on `stream`, allocate nothing and return the launch's
// error.
#pragma once

#include <cuda_runtime_api.h>

#include "scan_params.h"

namespace axlstm::kernels {

/// Parts in which sums over channels (of dB, dC) are to be stored.
int scan_parts(const ScanShape& shape);
/// And sums over tokens, of a clip (of the convolution's weights).
std::int64_t convolution_stretches(const ScanShape& shape);
/// Elements, of the type of the tokens, of the states that are to be kept.
std::int64_t kept_elements(const ScanShape& shape);

cudaError_t scan_forward(const ScanParams& params, DataType type, cudaStream_t stream);
cudaError_t scan_backward(const ScanBackwardParams& params, DataType type, cudaStream_t stream);
cudaError_t convolution(const ConvolutionParams& params, DataType type, cudaStream_t stream);
cudaError_t convolution_backward(const ConvolutionBackwardParams& params, DataType type, cudaStream_t stream);

}  // namespace axlstm::kernels
