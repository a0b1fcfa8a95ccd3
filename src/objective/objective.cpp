#include "axlstm/objective/objective.h"

#include "axlstm/objective/classification.h"
#include "axlstm/objective/masked_autoencoding.h"
#include "axlstm/objective/masked_reconstruction.h"

namespace axlstm::objective {

bool Objective::draw_picture(const std::filesystem::path&, const data::Batch&, const torch::Tensor&) { return false; }

std::unique_ptr<Objective> make_objective(const config::RunConfig& config) {
  if (config.objective == Kind::kClassification) return std::make_unique<Classification>(config);
  if (config.objective == Kind::kMaskedAutoencoder) return std::make_unique<MaskedAutoencoding>(config);
  return std::make_unique<MaskedReconstruction>(config.model, config.mask, config.loss);
}

}  // namespace axlstm::objective
