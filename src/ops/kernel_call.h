// From LibTorch's tensors to what the CUDA kernels take.
#pragma once

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/types.h>

#include <optional>

#include "axlstm/core/error.h"
#include "axlstm/ops/mlstm_block.h"
#include "linear_launch.h"
#include "mlstm_launch.h"

namespace axlstm::ops {

/// The device of `tensor` for the time of some launches, and its current stream. (A tensor on the CPU, in tests that
/// put an emulator behind the kernels' entry points, has neither.)
class KernelContext {
 public:
  explicit KernelContext(const torch::Tensor& tensor) {
    if (!tensor.is_cuda()) return;
    guard_.emplace(tensor.device());
    stream_ = c10::cuda::getCurrentCUDAStream();
  }
  cudaStream_t stream() const { return stream_; }

 private:
  std::optional<c10::cuda::CUDAGuard> guard_;
  cudaStream_t stream_ = nullptr;
};

/// Throws Error if a launch failed.
inline void check_launch(cudaError_t status) {
  AXLSTM_CHECK(status == cudaSuccess, "a CUDA kernel could not be started: ", cudaGetErrorString(status));
}

/// The same, contiguous and where the kernels can read 16 bytes at once, which a view may not begin on.
inline torch::Tensor aligned(const torch::Tensor& x) {
  const auto y = x.contiguous();
  return reinterpret_cast<std::uintptr_t>(y.const_data_ptr()) % 16 == 0 ? y : y.clone();
}

/// Sums of `parts` [parts, ...] float32 over their first dimension, in a fixed order.
inline torch::Tensor sum_of_parts(const torch::Tensor& parts, cudaStream_t stream) {
  const auto sum = torch::empty(parts.sizes().slice(1), parts.options());
  if (sum.numel() == 0) return sum;
  check_launch(kernels::sum_over_parts(
      {parts.size(0), sum.numel(), parts.const_data_ptr<float>(), sum.data_ptr<float>()}, stream));
  return sum;
}

inline kernels::DataType data_type(torch::ScalarType type) {
  if (type == torch::kFloat16) return kernels::DataType::kFloat16;
  return type == torch::kBFloat16 ? kernels::DataType::kBFloat16 : kernels::DataType::kFloat32;
}

/// Of q [B, S, NH, DH].
inline kernels::MlstmShape cell_shape(const torch::Tensor& q, Isa isa, double eps) {
  return {q.size(0),
          q.size(1),
          q.size(2),
          q.size(3),
          kernels::chunk_tokens(q.size(1), data_type(q.scalar_type())),
          resolve_isa(isa, q.device(), q.scalar_type(), q.size(1)) == Isa::kHopper,
          static_cast<float>(eps)};
}

/// [B, S, NH, DH] as the kernels see it.
inline kernels::Tensor4 view(const torch::Tensor& x) { return {x.data_ptr(), x.stride(0), x.stride(1), x.stride(2)}; }

/// What the forward pass of the cell leaves for the backward pass.
struct CellState {
  torch::Tensor scans;   ///< [5, B, NH, S] float32: g, G (high, low), exp(−m)
  torch::Tensor record;  ///< [B, NH, S] int32
  torch::Tensor n;       ///< [B, NH, S] float32

  CellState(std::int64_t B, std::int64_t NH, std::int64_t S, const torch::TensorOptions& device)
      : scans(torch::empty({5, B, NH, S}, device.dtype(torch::kFloat32))),
        record(torch::empty({B, NH, S}, device.dtype(torch::kInt32))),
        n(torch::empty({B, NH, S}, device.dtype(torch::kFloat32))) {}
  CellState(torch::Tensor saved_scans, torch::Tensor saved_record, torch::Tensor saved_n)
      : scans(std::move(saved_scans)), record(std::move(saved_record)), n(std::move(saved_n)) {}

  kernels::GateState gates() const {
    const auto scan = [&](std::int64_t row) { return scans[row].data_ptr<float>(); };
    return {scan(0), scan(1), scan(2), scan(3), scan(4), record.data_ptr<std::int32_t>()};
  }
};

}  // namespace axlstm::ops
