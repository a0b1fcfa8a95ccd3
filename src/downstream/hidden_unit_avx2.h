// The loops behind norm_dropout_relu, with the vector instructions that ATen's own kernels use (private to hear/).
//
// All tables are float32 [B, C] row by row, C a multiple of 8; the statistics are [C].
#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>

namespace axlstm::downstream::avx2 {

/// True if this processor has AVX2 and FMA; the functions below need both.
bool supported();

struct Shape {
  std::int64_t B, C;
};

struct Normalisation {
  const float *mean, *invstd, *weight, *bias;
};

/// Mean and 1 / sqrt(variance + eps) over the rows; the running statistics are moved towards them by `momentum`.
void batch_statistics(const Shape& shape, const float* x, float* mean, float* invstd, double eps, double momentum,
                      float* running_mean, float* running_var);

/// y = relu(dropout(normalised x)). Bit c % 8 of passed[(b·C + c) / 8] tells whether y is above 0.
void forward(const Shape& shape, const float* x, const Normalisation& norm, double p, at::CPUGeneratorImpl& generator,
             float* y, std::uint8_t* passed);

/// The gradients of forward.
void backward(const Shape& shape, const float* x, const Normalisation& norm, double p, const std::uint8_t* passed,
              const float* grad_y, float* grad_x, float* grad_weight, float* grad_bias);

}  // namespace axlstm::downstream::avx2
