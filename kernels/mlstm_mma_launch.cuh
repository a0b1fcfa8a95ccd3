// Grids of the tensor-core kernels for one element type.
#pragma once

#include "mlstm_launch.h"
#include "mlstm_mma.cuh"
#include "mlstm_mma_rows.cuh"
#include "mlstm_width.h"

namespace axlstm::kernels {

template <int W, typename Kernel, typename Params>
cudaError_t launch_strips(Kernel kernel, const Params& params, int results, cudaStream_t stream) {
  const cudaError_t failure = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kStripBytes<W>);
  if (failure != cudaSuccess) return failure;
  const MlstmShape& shape = params.shape;
  const std::int64_t strips = (shape.S + kStripTokens - 1) / kStripTokens, parts = (shape.DH + W - 1) / W;
  kernel<<<static_cast<unsigned>(shape.B * shape.NH * strips * parts * results), kStripThreads, kStripBytes<W>,
           stream>>>(params);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_mma_forward(const ForwardParams& params, cudaStream_t stream) {
  switch (mma_width(params.shape.DH)) {
    case 64:
      return launch_strips<64>(mma_forward_kernel<64, T>, params, 1, stream);
    case 96:
      return launch_strips<96>(mma_forward_kernel<96, T>, params, 1, stream);
    case 144:
      return launch_strips<144>(mma_forward_kernel<144, T>, params, 1, stream);
    default:
      return launch_strips<kMaxMmaWidth>(mma_forward_kernel<kMaxMmaWidth, T>, params, 1, stream);
  }
}

template <int W, typename T>
cudaError_t launch_rows(const BackwardParams& params, cudaStream_t stream) {
  const auto kernel = mma_row_terms_kernel<W, T>;
  const cudaError_t failure = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kRowBytes<W>);
  if (failure != cudaSuccess) return failure;
  const MlstmShape& shape = params.shape;
  const std::int64_t strips = (shape.S + kStripTokens - 1) / kStripTokens;
  kernel<<<static_cast<unsigned>(shape.B * shape.NH * strips), kStripThreads, kRowBytes<W>, stream>>>(params);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_mma_row_terms(const BackwardParams& params, cudaStream_t stream) {
  switch (row_width(params.shape.DH)) {
    case 64:
      return launch_rows<64, T>(params, stream);
    case 96:
      return launch_rows<96, T>(params, stream);
    default:
      return launch_rows<144, T>(params, stream);
  }
}

template <typename T>
cudaError_t launch_mma_backward(const BackwardParams& params, cudaStream_t stream) {
  const cudaError_t failure = launch_mma_row_terms<T>(params, stream);
  if (failure != cudaSuccess) return failure;
  switch (mma_width(params.shape.DH)) {
    case 64:
      return launch_strips<64>(mma_backward_kernel<64, T>, params, 3, stream);
    case 96:
      return launch_strips<96>(mma_backward_kernel<96, T>, params, 3, stream);
    case 144:
      return launch_strips<144>(mma_backward_kernel<144, T>, params, 3, stream);
    default:
      return launch_strips<kMaxMmaWidth>(mma_backward_kernel<kMaxMmaWidth, T>, params, 3, stream);
  }
}

}  // namespace axlstm::kernels
