#include "axlstm/objective/masked_autoencoding.h"

#include <torch/torch.h>

#include "axlstm/model/masking.h"
#include "axlstm/objective/reconstruction_picture.h"

namespace axlstm::objective {

MaskedAutoencoding::MaskedAutoencoding(const config::RunConfig& config)
    : model_(config.model, config.decoder), mask_(config.mask), loss_(config.loss) {}

torch::Tensor MaskedAutoencoding::draw(std::int64_t batch, torch::Generator generator) const {
  return model::draw_mask_noise(batch, model_->options(), mask_, std::move(generator));
}

torch::Tensor MaskedAutoencoding::loss(const data::Batch& batch, const torch::Tensor& drawn) {
  return model_->loss(batch.spectrogram, drawn, mask_, loss_);
}

bool MaskedAutoencoding::draw_picture(const std::filesystem::path& png, const data::Batch& batch,
                                      const torch::Tensor& drawn) {
  const auto mask = model::mask_from_noise(drawn, model_->options(), mask_);
  const auto prediction = model_->reconstruct(batch.spectrogram, mask);
  write_reconstruction(png, batch.spectrogram, mask, prediction, model_->options(), loss_, /*unbiased=*/false);
  return true;
}

model::Encoder MaskedAutoencoding::encoder() {
  return model::Encoder(std::static_pointer_cast<model::EncoderImpl>(model_.ptr()));
}

double MaskedAutoencoding::forward_flops() const { return model_->forward_flops(mask_); }

}  // namespace axlstm::objective
