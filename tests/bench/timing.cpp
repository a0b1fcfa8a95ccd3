#include "bench/timing.h"

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>

namespace axlstm::bench {

double time_ms(const std::function<void()>& work, int runs) {
  for (int n = 0; n < 3; ++n) work();
  std::vector<double> times;
  for (int n = 0; n < runs; ++n) {
    at::cuda::CUDAEvent begin(cudaEventDefault), end(cudaEventDefault);
    begin.record();
    work();
    end.record();
    end.synchronize();
    times.push_back(begin.elapsed_time(end));
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return times[times.size() / 2];
}

Ceilings measure_ceilings() {
  const auto gpu = torch::TensorOptions(torch::kCUDA);
  const auto from = torch::randn({1 << 28}, gpu), to = torch::empty_like(from);
  const double copy_ms = time_ms([&] { to.copy_(from); }, 10);
  const auto a = torch::randn({8192, 8192}, gpu).to(torch::kBFloat16), b = torch::randn_like(a);
  const double product_ms = time_ms([&] { a.mm(b); }, 10);
  return {2.0 * static_cast<double>(from.nbytes()) / copy_ms * 1e3, 2.0 * 8192.0 * 8192.0 * 8192.0 / product_ms * 1e3};
}

double peak_memory_gb() {
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(0);
  return static_cast<double>(stats.allocated_bytes[0].peak) / 1e9;
}

void reset_peak_memory() {
  c10::cuda::CUDACachingAllocator::emptyCache();
  c10::cuda::CUDACachingAllocator::resetPeakStats(0);
}

}  // namespace axlstm::bench
