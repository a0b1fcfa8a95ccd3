#include "axlstm/objective/masked_reconstruction.h"

#include <torch/torch.h>

#include "axlstm/model/architecture.h"
#include "axlstm/model/masking.h"
#include "axlstm/objective/reconstruction_picture.h"

namespace axlstm::objective {

MaskedReconstruction::MaskedReconstruction(const model::EncoderOptions& encoder, const model::MaskOptions& mask,
                                           const model::LossOptions& loss)
    : model_(encoder), mask_(mask), loss_(loss) {}

torch::Tensor MaskedReconstruction::draw(std::int64_t batch, torch::Generator generator) const {
  return model::draw_mask_noise(batch, model_->options(), mask_, std::move(generator));
}

torch::Tensor MaskedReconstruction::loss(const data::Batch& batch, const torch::Tensor& drawn) {
  return model_->loss(batch.spectrogram, drawn, mask_, loss_);
}

bool MaskedReconstruction::draw_picture(const std::filesystem::path& png, const data::Batch& batch,
                                        const torch::Tensor& drawn) {
  const auto mask = model::mask_from_noise(drawn, model_->options(), mask_);
  const auto prediction = model_->reconstruct(batch.spectrogram, mask);
  write_reconstruction(png, batch.spectrogram, mask, prediction, model_->options(), loss_, /*unbiased=*/true);
  return true;
}

model::Encoder MaskedReconstruction::encoder() {
  return model::Encoder(std::static_pointer_cast<model::EncoderImpl>(model_.ptr()));
}

double MaskedReconstruction::forward_flops() const {
  const auto& options = model_->options();
  const auto D = static_cast<double>(options.dim), N = static_cast<double>(options.patches());
  const auto P = static_cast<double>(options.patch_pixels());
  return model::encoder_flops(options, options.patches()) + N * 2 * (D * D + D * P);  // and the head
}

}  // namespace axlstm::objective
