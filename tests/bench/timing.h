// Times work on the GPU and knows what the hardware could do at best.
#pragma once

#include <torch/torch.h>

#include <functional>

namespace axlstm::bench {

/// Median milliseconds of `work` by CUDA events, after a warm-up of three runs.
double time_ms(const std::function<void()>& work, int runs);

/// What the GPU at hand reaches: bytes read plus written by a large copy, and a large bfloat16 matrix product.
struct Ceilings {
  double bytes_per_second;
  double flops_per_second;
};
Ceilings measure_ceilings();

/// Highest memory in use since the last reset, in GB (1e9).
double peak_memory_gb();
void reset_peak_memory();

}  // namespace axlstm::bench
