// The pre-training of masked autoencoders: the encoder sees the visible patches alone.
#pragma once

#include "axlstm/model/masked_autoencoder.h"
#include "axlstm/objective/objective.h"

namespace axlstm::objective {

class MaskedAutoencoding final : public Objective {
 public:
  explicit MaskedAutoencoding(const config::RunConfig& config);

  torch::nn::Module& module() override { return *model_; }
  torch::Tensor draw(std::int64_t batch, torch::Generator generator) const override;
  torch::Tensor loss(const data::Batch& batch, const torch::Tensor& drawn) override;
  bool draw_picture(const std::filesystem::path& png, const data::Batch& batch, const torch::Tensor& drawn) override;
  model::Encoder encoder() override;
  double forward_flops() const override;

 private:
  model::MaskedAutoencoder model_;
  model::MaskOptions mask_;
  model::LossOptions loss_;
};

}  // namespace axlstm::objective
