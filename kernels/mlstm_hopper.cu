// The Hopper kernels' launches, compiled for sm_90a alone.
#include <cudaTypedefs.h>

#include "launch.cuh"
#include "mlstm_hopper_kernels.cuh"
#include "mlstm_launch.h"
#include "mlstm_plan.h"

namespace axlstm::kernels {
namespace {

/// The driver's function that describes tensors to the copy engine; found at run time, so that nothing links the
/// driver.
PFN_cuTensorMapEncodeTiled_v12000 map_encoder() {
  static const auto found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const cudaError_t failure =
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result);
    if (failure != cudaSuccess || result != cudaDriverEntryPointSuccess) function = nullptr;
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }();
  return found;
}

bool make_map(TensorMap& map, const Tensor4& x, const MlstmShape& shape, DataType type) {
  const auto bytes = [](std::int64_t elements) { return static_cast<cuuint64_t>(2 * elements); };
  const auto size = [](std::int64_t n) { return static_cast<cuuint64_t>(n); };
  const cuuint64_t sizes[] = {size(shape.DH), size(shape.NH), size(shape.S), size(shape.B)};
  const cuuint64_t strides[] = {bytes(x.head_stride), bytes(x.sequence_stride), bytes(x.batch_stride)};
  const cuuint32_t box[] = {kTileWidth, 1, ChunkTerms<8>::kTokens, 1}, steps[] = {1, 1, 1, 1};
  return map_encoder()(&map,
                       type == DataType::kFloat16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                       4, x.data, sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                       CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

/// Of the current device; 0 if there is none.
int count_multiprocessors() {
  int device = 0, count = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 0;
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
}

template <typename Params>
cudaError_t enqueue_on_all(void (*kernel)(Params), const Params& params, cudaStream_t stream) {
  return enqueue(kernel, plan_hopper(params.cell.shape, count_multiprocessors()), stream, params);
}

}  // namespace

static_assert(kWeightWarps == HopperLayout::kConsumers / kWarp);
int weight_parts(const MlstmShape& shape) {
  return static_cast<int>(hopper_ctas_of_head(shape, count_multiprocessors()));
}

bool hopper_kernels_run() {
  int device = 0, major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess && major == 9 &&
         map_encoder() != nullptr;
}

cudaError_t launch_hopper_forward(const ForwardParams& params, DataType type, cudaStream_t stream) {
  HopperForward all{params, {}, {}, {}};
  const auto map = [&](TensorMap& to, const Tensor4& x) { return make_map(to, x, params.shape, type); };
  if (!map(all.q, params.q) || !map(all.k, params.k) || !map(all.v, params.v)) return cudaErrorInvalidValue;
  return by_type(type, [&](auto element) {
    return enqueue_on_all<HopperForward>(hopper_forward_for<decltype(element)>(params), all, stream);
  });
}

cudaError_t launch_hopper_backward(const BackwardParams& params, DataType type, cudaStream_t stream) {
  HopperBackward all{params, {}, {}, {}, {}};
  const auto map = [&](TensorMap& to, const Tensor4& x) { return make_map(to, x, params.shape, type); };
  if (!map(all.q, params.q) || !map(all.k, params.k) || !map(all.v, params.v) || !map(all.dh, params.dh)) {
    return cudaErrorInvalidValue;
  }
  return by_type(type, [&](auto element) {
    return enqueue_on_all<HopperBackward>(hopper_backward_for<decltype(element)>(params), all, stream);
  });
}

}  // namespace axlstm::kernels
