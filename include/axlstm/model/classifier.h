// An encoder with a head that tells classes apart.
#pragma once

#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/pimpl.h>

#include "axlstm/model/encoder.h"

namespace axlstm::model {

/// Encoder plus head, by one class for the names of the state dict (`blocks.0…` beside `head.0…`). The head is
/// [LayerNorm,] [Linear, GELU,] Linear.
class ClassifierImpl : public EncoderImpl {
 public:
  /// `head.classes` must be known. Weights are drawn from LibTorch's global generator; those of the last layer from
  /// N(0, 0.02²), cut at two deviations, its biases are 0.
  ClassifierImpl(const EncoderOptions& options, const HeadOptions& head);

  /// What is random in training. Undefined: nothing is.
  struct Random {
    torch::Tensor factors;  ///< [residual_branches(), B · windows]: see EncoderImpl::hidden()
    torch::Tensor kept;     ///< [B, last_width()]: what the last layer's input is multiplied by (dropout)
  };

  /// Spectrogram [B, 1, windows · L, F] → logits [B, C].
  torch::Tensor logits(const torch::Tensor& spectrogram, const Random& random);
  torch::Tensor logits(const torch::Tensor& spectrogram) { return logits(spectrogram, Random()); }

  /// The same through an encoder that gets no gradients.
  torch::Tensor logits_of_frozen(const torch::Tensor& spectrogram, const torch::Tensor& kept);

  const HeadOptions& head_options() const { return head_options_; }
  std::int64_t last_width() const;  ///< inputs of the last layer

  /// Multiplications and additions in a clip's forward pass.
  double forward_flops() const;

  /// Parameters of the head.
  static bool is_of_head(const std::string& parameter) { return parameter.starts_with("head."); }

 private:
  torch::Tensor embedding(const torch::Tensor& spectrogram, const torch::Tensor& factors);
  torch::Tensor classify(torch::Tensor embedding, const torch::Tensor& kept);
  std::int64_t embedding_width() const;

  HeadOptions head_options_;
  torch::nn::Sequential head_;
};
TORCH_MODULE(Classifier);

/// What a softmax (one label a clip) or a sigmoid (several) makes of logits [B, C]: [B, C] float32.
torch::Tensor probabilities(const torch::Tensor& logits, bool exclusive);

/// Positions [1, C + N, D] of an encoder whose grid has `from` rows, stretched to those of `options` by linear
/// interpolation along time (of the centres of the rows, as images are resized). The class token's stays.
torch::Tensor interpolated_positions(const torch::Tensor& positions, std::int64_t from, const EncoderOptions& options);

}  // namespace axlstm::model
