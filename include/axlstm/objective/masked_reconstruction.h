// The paper's pre-training: the encoder sees half of the patches, a head predicts the pixels of the others.
#pragma once

#include "axlstm/model/masked_model.h"
#include "axlstm/objective/objective.h"

namespace axlstm::objective {

class MaskedReconstruction final : public Objective {
 public:
  MaskedReconstruction(const model::EncoderOptions& encoder, const model::MaskOptions& mask,
                       const model::LossOptions& loss);

  torch::nn::Module& module() override { return *model_; }
  torch::Tensor draw(std::int64_t batch, torch::Generator generator) const override;
  torch::Tensor loss(const data::Batch& batch, const torch::Tensor& drawn) override;
  bool draw_picture(const std::filesystem::path& png, const data::Batch& batch, const torch::Tensor& drawn) override;
  model::Encoder encoder() override;
  double forward_flops() const override;

 private:
  model::MaskedModel model_;
  model::MaskOptions mask_;
  model::LossOptions loss_;
};

}  // namespace axlstm::objective
