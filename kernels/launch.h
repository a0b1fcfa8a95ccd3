// What a launch of a kernel is: a plan, made on the host. The plans (*_plan.h) are shared by the .cu files and by
// tests/kernels/emulated_launch.cpp, so that a wrong grid, number of threads or amount of shared memory fails a test
// on a machine without a GPU.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

#include "mlstm_params.h"

namespace axlstm::kernels {

inline constexpr int kWarp = 32;

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

struct Launch {
  Grid grid;
  unsigned threads = 0;  ///< of a CTA, in one dimension
  int shared_bytes = 0;  ///< dynamic shared memory of a CTA
};

/// Parts of at most `part` that `size` is cut into.
constexpr unsigned ceil_div(std::int64_t size, std::int64_t part) {
  return static_cast<unsigned>((size + part - 1) / part);
}

/// Calls run(element of the type), for generic lambdas, and returns what it returns. The kernels that are compiled for
/// both narrow types take no other one.
template <typename Run>
cudaError_t by_type(DataType type, const Run& run) {
  switch (type) {
    case DataType::kFloat16:
      return run(__half{});
    case DataType::kBFloat16:
      return run(__nv_bfloat16{});
    case DataType::kFloat32:
      break;
  }
  return cudaErrorInvalidValue;
}

/// The same of all types.
template <typename Run>
cudaError_t by_any_type(DataType type, const Run& run) {
  return type == DataType::kFloat32 ? run(float{}) : by_type(type, run);
}

}  // namespace axlstm::kernels
