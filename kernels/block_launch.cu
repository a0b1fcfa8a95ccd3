#include "block_launch.h"

#include <algorithm>

#include "block_gates.cuh"
#include "block_input.cuh"
#include "block_input_backward.cuh"
#include "block_norm.cuh"
#include "block_output.cuh"

namespace axlstm::kernels {
namespace {

constexpr int kParts = 264;  // two for each multiprocessor of an H100

/// Calls launch(element of the type), for generic lambdas.
template <typename Launch>
cudaError_t by_type(DataType type, const Launch& launch) {
  if (type == DataType::kFloat16) {
    launch(__half{});
  } else if (type == DataType::kBFloat16) {
    launch(__nv_bfloat16{});
  } else {
    return cudaErrorInvalidValue;
  }
  return cudaGetLastError();
}

/// With more dynamic shared memory than a kernel has unasked. A failure is the launch's too, for cudaGetLastError().
template <typename Params>
void launch_with_shared(void (*kernel)(Params), unsigned blocks, int threads, int bytes, const Params& params,
                        cudaStream_t stream) {
  if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) != cudaSuccess) return;
  kernel<<<blocks, threads, bytes, stream>>>(params);
}

template <int Pairs, typename T>
void launch_norm_backward(const AddNormBackwardParams& params, cudaStream_t stream) {
  constexpr int kBytes = kNormThreads / kWarp * Pairs * kWarp * static_cast<int>(sizeof(float2));
  add_norm_backward_kernel<Pairs, T><<<params.parts, kNormThreads, kBytes, stream>>>(params);
}

/// Lanes that share a head's channels.
int output_lanes(const BlockShape& shape) {
  const std::int64_t DH = shape.I / shape.NH;
  return DH <= 4 * kOutputChunks * 8 ? 4 : DH <= 8 * kOutputChunks * 8 ? 8 : 16;
}

}  // namespace

int norm_parts(std::int64_t tokens) {
  return static_cast<int>(std::min<std::int64_t>(ceil_div(tokens, kNormThreads / kWarp), 2 * kParts));
}

int input_parts(const BlockShape& shape) {
  const std::int64_t parts = kParts * kInputBackwardWarps / (shape.I / kTileChannels);
  return static_cast<int>(std::clamp<std::int64_t>(parts, 1, shape.B * ceil_div(shape.S, kInputBackwardTokens)));
}

cudaError_t add_norm(const AddNormParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    const unsigned blocks = ceil_div(params.B * params.S, kNormThreads / kWarp);
    if (params.D <= 256) {
      add_norm_kernel<4, T><<<blocks, kNormThreads, 0, stream>>>(params);
    } else if (params.D <= 512) {
      add_norm_kernel<8, T><<<blocks, kNormThreads, 0, stream>>>(params);
    } else if (params.D <= 768) {
      add_norm_kernel<12, T><<<blocks, kNormThreads, 0, stream>>>(params);
    } else {
      add_norm_kernel<20, T><<<blocks, kNormThreads, 0, stream>>>(params);
    }
  });
}

cudaError_t add_norm_backward(const AddNormBackwardParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    if (params.forward.D <= 256) {
      launch_norm_backward<4, T>(params, stream);
    } else if (params.forward.D <= 512) {
      launch_norm_backward<8, T>(params, stream);
    } else if (params.forward.D <= 768) {
      launch_norm_backward<12, T>(params, stream);
    } else {
      launch_norm_backward<20, T>(params, stream);
    }
  });
}

cudaError_t fold_gates(const FoldGatesParams& params, cudaStream_t stream) {
  fold_gates_kernel<<<ceil_div(params.weights.I, kFoldThreads), kFoldThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t fold_gates_backward(const FoldGatesBackwardParams& params, cudaStream_t stream) {
  fold_gates_backward_kernel<<<ceil_div(params.weights.I, kFoldThreads), kFoldThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t block_input(const BlockInputParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    const unsigned blocks = static_cast<unsigned>(params.shape.B) * ceil_div(params.shape.S, kInputTokens);
    launch_with_shared(block_input_kernel<T>, blocks, kInputWarps * kWarp, kInputBytes<T>, params, stream);
  });
}

cudaError_t block_input_backward(const BlockInputBackwardParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    const unsigned blocks = ceil_div(params.part_count * (params.forward.shape.I / kTileChannels), kInputBackwardWarps);
    launch_with_shared(block_input_backward_kernel<T>, blocks, kInputBackwardWarps * kWarp, InputStep<T>::kBytes,
                       params, stream);
  });
}

cudaError_t block_output(const BlockOutputParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    const std::int64_t heads = params.shape.B * params.shape.S * params.shape.NH;
    switch (output_lanes(params.shape)) {
      case 4:
        block_output_kernel<4, T><<<ceil_div(heads, kOutputThreads / 4), kOutputThreads, 0, stream>>>(params);
        break;
      case 8:
        block_output_kernel<8, T><<<ceil_div(heads, kOutputThreads / 8), kOutputThreads, 0, stream>>>(params);
        break;
      default:
        block_output_kernel<16, T><<<ceil_div(heads, kOutputThreads / 16), kOutputThreads, 0, stream>>>(params);
    }
  });
}

cudaError_t block_output_backward(const BlockOutputBackwardParams& params, DataType type, cudaStream_t stream) {
  return by_type(type, [&](auto element) {
    using T = decltype(element);
    const BlockShape& shape = params.forward.shape;
    const std::int64_t heads = shape.B * shape.S * shape.NH;
    switch (output_lanes(shape)) {
      case 4:
        block_output_backward_kernel<4, T><<<ceil_div(heads, kOutputThreads / 4), kOutputThreads, 0, stream>>>(params);
        break;
      case 8:
        block_output_backward_kernel<8, T><<<ceil_div(heads, kOutputThreads / 8), kOutputThreads, 0, stream>>>(params);
        break;
      default:
        block_output_backward_kernel<16, T>
            <<<ceil_div(heads, kOutputThreads / 16), kOutputThreads, 0, stream>>>(params);
    }
  });
}

}  // namespace axlstm::kernels
