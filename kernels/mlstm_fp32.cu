// Grids and tile widths of the float32 kernels.
#include "mlstm_launch.h"
#include "mlstm_simt_backward.cuh"

namespace axlstm::kernels {
namespace {

/// Heads of the batch × blocks of 64 tokens × parts of the head's channels.
dim3 tile_grid(const MlstmShape& shape, int columns) {
  const auto parts = [](std::int64_t size, std::int64_t part) {
    return static_cast<unsigned>((size + part - 1) / part);
  };
  return {static_cast<unsigned>(shape.B * shape.NH), parts(shape.S, kTile), parts(shape.DH, kStep * columns)};
}

template <int Columns>
cudaError_t launch_backward(const BackwardParams& params, cudaStream_t stream) {
  constexpr int kBytes = sizeof(float) * (2 * kTile * (kTile + 1) + kScratch<Columns>);
  simt_row_terms_kernel<<<tile_grid(params.shape, kMaxHeadDim), kThreads, 0, stream>>>(params);
  const auto kernel = simt_backward_columns_kernel<Columns>;
  const cudaError_t failure = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (failure != cudaSuccess) return failure;
  kernel<<<tile_grid(params.shape, Columns), kThreads, kBytes, stream>>>(params);
  simt_backward_rows_kernel<Columns><<<tile_grid(params.shape, Columns), kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_simt_forward(const ForwardParams& params, cudaStream_t stream) {
  const MlstmShape& shape = params.shape;
  if (shape.DH <= 64) {
    simt_forward_kernel<4><<<tile_grid(shape, 4), kThreads, 0, stream>>>(params);
  } else if (shape.DH <= 128) {
    simt_forward_kernel<8><<<tile_grid(shape, 8), kThreads, 0, stream>>>(params);
  } else {
    simt_forward_kernel<12><<<tile_grid(shape, 12), kThreads, 0, stream>>>(params);
  }
  return cudaGetLastError();
}

cudaError_t launch_simt_backward(const BackwardParams& params, cudaStream_t stream) {
  return params.shape.DH <= 64 ? launch_backward<4>(params, stream) : launch_backward<8>(params, stream);
}

}  // namespace axlstm::kernels
