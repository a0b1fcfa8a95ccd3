// How much of the machine a run uses: the model's arithmetic beside the device's, and memory.
#pragma once

#include <torch/types.h>

#include <optional>
#include <string>

#include "axlstm/model/options.h"
#include "axlstm/train/options.h"

namespace axlstm::train {

/// Multiplications and additions of matrix products and convolutions in one clip's forward pass of the pre-training
/// model. Of the cell's S×S products the causal half counts, of attention's all. `encoder` as model::resolve() returns
/// it.
double forward_flops(const model::EncoderOptions& encoder);

/// The same for a training step: the backward pass is twice the forward pass; what is computed again to save memory
/// does not count (Chowdhery et al., PaLM, appendix B).
inline double training_flops(const model::EncoderOptions& encoder) { return 3 * forward_flops(encoder); }

/// Dense matrix products a second that the data sheet of a GPU of this name promises in a resolved precision; nothing
/// for a GPU that is not in the table, and for fp32, which does not use the matrix units.
std::optional<double> peak_flops(const std::string& gpu_name, Precision precision);

/// Name of a GPU, such as "NVIDIA H100 80GB HBM3"; empty for the CPU, and if this program was built without CUDA.
std::string device_name(const torch::Device& device);

/// Most memory that the process has held so far, in 10^9 bytes: on the GPU what LibTorch reserved, else of the process.
std::optional<double> peak_memory_gb(const torch::Device& device);

}  // namespace axlstm::train
