#include "window_launch.h"

#include "launch.cuh"
#include "window_backward.cuh"
#include "window_forward.cuh"

namespace axlstm::kernels {

bool window_kernels_take(const WindowParams& params) { return takes_windows(params); }

cudaError_t window_forward(const WindowParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_sixteens(params.DH, [&](auto sixteens) {
      return enqueue(window_forward_kernel<decltype(sixteens)::value, T>, plan_window_forward(params), stream, params);
    });
  });
}

cudaError_t window_backward(const WindowBackwardParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    return by_sixteens(params.forward.DH, [&](auto sixteens) {
      return enqueue(window_backward_kernel<decltype(sixteens)::value, T>, plan_window_backward(params), stream,
                     params);
    });
  });
}

}  // namespace axlstm::kernels
