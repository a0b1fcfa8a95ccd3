// Which patches are hidden from the encoder.
#pragma once

#include <torch/types.h>

#include "axlstm/model/options.h"

namespace axlstm::model {

/// The uniform numbers a mask is drawn from: [B, N] for unstructured masks, [B, rows] for timestep masks; on the CPU.
torch::Tensor draw_mask_noise(std::int64_t batch, const EncoderOptions& encoder, const MaskOptions& mask,
                              torch::Generator generator);

/// Mask [B, N], true = hidden, on the noise's device. The ⌊N·(100 − 100·ratio)/100⌋ patches with the smallest noise
/// stay visible, ties by index; timestep noise counts for every frequency of its time step.
torch::Tensor mask_from_noise(const torch::Tensor& noise, const EncoderOptions& encoder, const MaskOptions& mask);

/// How many patches of a clip mask_from_noise() hides: the same number in every clip.
std::int64_t masked_patches(const EncoderOptions& encoder, const MaskOptions& mask);

/// Indices [B · masked] of the hidden patches of a mask [B, N] that hides `masked` in every clip, into [B · N]; without
/// a wait for the device.
torch::Tensor masked_rows(const torch::Tensor& mask, std::int64_t masked);

}  // namespace axlstm::model
