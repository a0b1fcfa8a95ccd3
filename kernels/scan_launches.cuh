// The launches of one type, instantiated by scan_fp32.cu, scan_fp16.cu and scan_bf16.cu.
#pragma once

#include "launch.cuh"
#include "scan_backward.cuh"
#include "scan_convolution.cuh"
#include "scan_forward.cuh"

namespace axlstm::kernels {

template <typename T>
cudaError_t launch_scan_forward(const ScanParams& params, cudaStream_t stream) {
  return by_states(params.shape.N, [&](auto states) {
    constexpr int kStates = decltype(states)::value;
    return enqueue(scan_forward_kernel<kStates, T>, plan_scan_forward<kStates>(params.shape), stream, params);
  });
}

template <typename T>
cudaError_t launch_scan_backward(const ScanBackwardParams& params, cudaStream_t stream) {
  return by_states(params.forward.shape.N, [&](auto states) {
    constexpr int kStates = decltype(states)::value;
    return enqueue(scan_backward_kernel<kStates, T>, plan_scan_backward<kStates, T>(params.forward.shape), stream,
                   params);
  });
}

template <typename T>
cudaError_t launch_convolution(const ConvolutionParams& params, cudaStream_t stream) {
  return enqueue(convolution_kernel<T>, plan_convolution(params.shape), stream, params);
}

template <typename T>
cudaError_t launch_convolution_backward(const ConvolutionBackwardParams& params, cudaStream_t stream) {
  return enqueue(convolution_backward_kernel<T>, plan_convolution(params.forward.shape), stream, params);
}

}  // namespace axlstm::kernels
