// Grids of the tensor-core kernels for one element type.
#pragma once

#include "mlstm_chunk_kernels.cuh"
#include "mlstm_launch.h"
#include "mlstm_mma_rows.cuh"
#include "mlstm_width.h"

namespace axlstm::kernels {

/// Calls launch(kernel choice as types) for how the head is cut.
template <bool Held, int W>
struct Cut {
  static constexpr bool kHeld = Held;
  static constexpr int kWidth = W;
};
template <typename Launch>
cudaError_t by_cut(const MlstmShape& shape, const Launch& launch) {
  const HeadCut cut = cut_head(shape.DH, shape.S);
  if (cut.held) return cut.width == 96 ? launch(Cut<true, 96>{}) : launch(Cut<true, 144>{});
  switch (cut.width) {
    case 64:
      return launch(Cut<false, 64>{});
    case 96:
      return launch(Cut<false, 96>{});
    case 144:
      return launch(Cut<false, 144>{});
    default:
      return launch(Cut<false, kMaxMmaWidth>{});
  }
}

template <typename Cut, typename Kernel, typename Params>
cudaError_t launch_strips(Kernel kernel, const Params& params, int results, cudaStream_t stream) {
  const MlstmShape& shape = params.shape;
  const std::int64_t strips = (shape.S + kStripTokens - 1) / kStripTokens;
  const int bytes = kStripBytes<Cut::kWidth> + (Cut::kHeld ? static_cast<int>(strips) * kHeldTileBytes : 0);
  const cudaError_t failure = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (failure != cudaSuccess) return failure;
  const std::int64_t blocks = shape.B * shape.NH * strips * cut_head(shape.DH, shape.S).blocks * results;
  kernel<<<static_cast<unsigned>(blocks), kStripThreads, bytes, stream>>>(params);
  return cudaGetLastError();
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

template <int kWarps, typename Params>
cudaError_t launch_chunks(void (*kernel)(Params), const Params& params, bool backward, cudaStream_t stream) {
  const MlstmShape& shape = params.shape;
  const int bytes = chunk_bytes<kWarps>(backward);
  const cudaError_t failure = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (failure != cudaSuccess) return failure;
  const std::int64_t blocks = shape.B * shape.NH * ((shape.S + shape.chunk - 1) / shape.chunk);
  kernel<<<static_cast<unsigned>(blocks), kWarps * kWarp, bytes, stream>>>(params);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_mma_forward(const ForwardParams& params, cudaStream_t stream) {
  const std::int64_t chunk = params.shape.chunk;
  if (chunk > ChunkTerms<4>::kTokens) return launch_chunks<8>(chunk_forward_kernel<8, T>, params, false, stream);
  if (chunk > 0) return launch_chunks<4>(chunk_forward_kernel<4, T>, params, false, stream);
  return by_cut(params.shape, [&](auto cut) {
    using Cut = decltype(cut);
    return launch_strips<Cut>(mma_forward_kernel<Cut::kHeld, Cut::kWidth, T>, params, 1, stream);
  });
}

template <typename T>
cudaError_t launch_mma_backward(const BackwardParams& params, cudaStream_t stream) {
  const std::int64_t chunk = params.shape.chunk;
  if (chunk > ChunkTerms<4>::kTokens) return launch_chunks<8>(chunk_backward_kernel<8, T>, params, true, stream);
  if (chunk > 0) return launch_chunks<4>(chunk_backward_kernel<4, T>, params, true, stream);
  const cudaError_t failure = launch_mma_row_terms<T>(params, stream);
  if (failure != cudaSuccess) return failure;
  return by_cut(params.shape, [&](auto cut) {
    using Cut = decltype(cut);
    return launch_strips<Cut>(mma_backward_kernel<Cut::kHeld, Cut::kWidth, T>, params, 3, stream);
  });
}

}  // namespace axlstm::kernels
