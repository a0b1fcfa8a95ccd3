// Host entry points of the kernels of attention within windows. Both enqueue on `stream`, allocate nothing and return
// the launch's error.
#pragma once

#include <cuda_runtime_api.h>

#include "window_params.h"

namespace axlstm::kernels {

/// Whether the kernels can run: by sizes and windows alone.
bool window_kernels_take(const WindowParams& params);

cudaError_t window_forward(const WindowParams& params, DataType type, cudaStream_t stream);
cudaError_t window_backward(const WindowBackwardParams& params, DataType type, cudaStream_t stream);

}  // namespace axlstm::kernels
