#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#include <torch/torch.h>

#include <mutex>

#include "axlstm/runtime/device_graph.h"

namespace axlstm::runtime {
namespace {

c10::DeviceIndex index_of(const torch::Device& device) { return device.has_index() ? device.index() : 0; }

}  // namespace

struct DeviceGraph::Recorded {
  at::cuda::CUDAGraph graph;
};

DeviceGraph::DeviceGraph(const torch::Device& device, const std::function<void()>& work)
    : recorded_(std::make_unique<Recorded>()) {
  static std::mutex one_at_a_time;  // emptyCache() is for all GPUs
  const std::lock_guard lock(one_at_a_time);
  const c10::cuda::CUDAGuard guard(index_of(device));
  torch::cuda::synchronize(index_of(device));
  c10::cuda::CUDACachingAllocator::emptyCache();  // the graph takes memory of its own
  const c10::cuda::CUDAStreamGuard stream(c10::cuda::getStreamFromPool(false, index_of(device)));
  // Relaxed: threads that load data may meanwhile ask for memory and wait for their copies.
  recorded_->graph.capture_begin({0, 0}, cudaStreamCaptureModeRelaxed);
  try {
    work();
  } catch (...) {
    try {
      recorded_->graph.capture_end();
    } catch (const c10::Error&) {  // says only that the recording failed
    }
    throw;
  }
  recorded_->graph.capture_end();
}

DeviceGraph::~DeviceGraph() = default;

void DeviceGraph::replay() { recorded_->graph.replay(); }

bool DeviceGraph::can_record(const torch::Device& device) { return device.is_cuda(); }

bool DeviceGraph::has_room(const torch::Device& device) {
  const c10::cuda::CUDAGuard guard(index_of(device));
  std::size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return false;
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(index_of(device));
  return static_cast<std::size_t>(stats.allocated_bytes[0].peak) <= total / 3;  // [0]: of all pools
}

}  // namespace axlstm::runtime
