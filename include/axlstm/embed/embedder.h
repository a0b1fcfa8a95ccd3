// Waveforms → timestamp and scene embeddings.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "axlstm/embed/clip_encoder.h"
#include "axlstm/embed/options.h"
#include "axlstm/features/log_mel.h"
#include "axlstm/model/encoder.h"

namespace axlstm::embed {

/// Tokens [B, N, D], class token dropped → features [B, L / patch frames, W] in the given layout.
torch::Tensor arrange_tokens(const torch::Tensor& tokens, const model::EncoderOptions& encoder, EmbeddingLayout layout);

/// Splits the normalised log-mel of a whole clip into chunks of the encoder's length (the last one padded with zeros),
/// encodes them without a mask and joins the time steps that audio stands behind.
class Embedder final : public ClipEncoder {
 public:
  /// At most `batch_chunks` chunks go through the encoder at once. `description` names the weights and the layout.
  Embedder(model::Encoder encoder, const features::LogMelOptions& log_mel, EmbeddingLayout layout, torch::Device device,
           std::int64_t batch_chunks = 64, std::string description = {});

  /// Clips of different lengths share batches.
  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms) override;
  int sample_rate() const override { return static_cast<int>(log_mel_.options().sample_rate); }
  std::string description() const override { return description_; }

  /// Normalised chunks [N, 1, L, F] → their time steps [N, L / patch frames, W], float32 on the CPU.
  torch::Tensor encode(const torch::Tensor& chunks);

  const model::EncoderOptions& encoder_options() const { return encoder_->options(); }
  const features::LogMel& log_mel() const { return log_mel_; }
  const torch::Device& device() const { return device_; }  ///< where chunks are encoded

 private:
  model::Encoder encoder_;
  features::LogMel log_mel_;
  EmbeddingLayout layout_;
  torch::Device device_;
  std::int64_t batch_chunks_;
  std::string description_;
};

}  // namespace axlstm::embed
