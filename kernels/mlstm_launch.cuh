// Grids and tile widths of the kernels for one element type.
#pragma once

#include "mlstm_backward.cuh"
#include "mlstm_launch.h"

namespace axlstm::kernels {

/// Heads of the batch × blocks of 64 tokens × parts of the head's channels.
inline dim3 tile_grid(const MlstmShape& shape, int columns) {
  const auto parts = [](std::int64_t size, std::int64_t part) {
    return static_cast<unsigned>((size + part - 1) / part);
  };
  return {static_cast<unsigned>(shape.B * shape.NH), parts(shape.S, kTile), parts(shape.DH, kStep * columns)};
}

template <typename T>
cudaError_t launch_forward(const ForwardParams& params, cudaStream_t stream) {
  const MlstmShape& shape = params.shape;
  launch_gate_forward(params, stream);
  if (shape.DH <= 64) {
    forward_kernel<4, T><<<tile_grid(shape, 4), kThreads, 0, stream>>>(params);
  } else if (shape.DH <= 128) {
    forward_kernel<8, T><<<tile_grid(shape, 8), kThreads, 0, stream>>>(params);
  } else {
    forward_kernel<12, T><<<tile_grid(shape, 12), kThreads, 0, stream>>>(params);
  }
  return cudaGetLastError();
}

template <int Columns, typename T>
cudaError_t launch_columns(const BackwardParams& params, cudaStream_t stream) {
  constexpr int kBytes = sizeof(float) * (2 * kTile * (kTile + 1) + kScratch<Columns>);
  const auto kernel = backward_columns_kernel<Columns, T>;
  const cudaError_t failure = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes);
  if (failure != cudaSuccess) return failure;
  kernel<<<tile_grid(params.shape, Columns), kThreads, kBytes, stream>>>(params);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_backward(const BackwardParams& params, cudaStream_t stream) {
  const MlstmShape& shape = params.shape;
  constexpr int kRowsPerBlock = kThreads / kWarp;
  const std::int64_t rows = shape.B * shape.NH * shape.S;
  delta_kernel<T><<<static_cast<unsigned>((rows + kRowsPerBlock - 1) / kRowsPerBlock), kThreads, 0, stream>>>(params);
  cudaError_t failure = cudaSuccess;
  if (shape.DH <= 64) {
    failure = launch_columns<4, T>(params, stream);
    backward_rows_kernel<4, T><<<tile_grid(shape, 4), kThreads, 0, stream>>>(params);
  } else {
    failure = launch_columns<8, T>(params, stream);
    backward_rows_kernel<8, T><<<tile_grid(shape, 8), kThreads, 0, stream>>>(params);
  }
  if (failure != cudaSuccess) return failure;
  launch_gate_backward(params, stream);
  return cudaGetLastError();
}

}  // namespace axlstm::kernels
