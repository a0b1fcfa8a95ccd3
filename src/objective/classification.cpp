#include "axlstm/objective/classification.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/objective/augmentation.h"

namespace axlstm::objective {
namespace {

// Columns of draw().
constexpr std::int64_t kFrequency = 0, kTime = 2, kRoll = 4, kFirstBranch = 5;

}  // namespace

data::ClassList class_list(const config::RunConfig& config) {
  need(!config.head.classes.empty(), "head.classes is empty; `finetune` fills it in from the labels of the clips");
  data::ClassList classes(config.head.classes, "head.classes");
  if (config.classification.labels.empty()) return classes;
  auto of_file = data::load_class_list(expand_home(config.classification.labels));
  AXLSTM_CHECK(of_file.names() == config.head.classes, config.classification.labels,
               ": has other classes than head.classes, which the run has; give the file that it began with");
  return of_file;
}

torch::Tensor targets_of(const data::ClipClasses& classes, const std::vector<std::int64_t>& clips, std::int64_t count) {
  const auto targets = torch::zeros({static_cast<std::int64_t>(clips.size()), count});
  auto* row = targets.mutable_data_ptr<float>();
  for (const std::int64_t clip : clips) {
    if (clip >= 0)
      for (const std::int32_t c : classes[clip]) row[c] = 1;
    row += count;
  }
  return targets;
}

torch::Tensor softmax_loss(const torch::Tensor& logits, const torch::Tensor& targets) {
  return -(targets * logits.to(torch::kFloat32).log_softmax(-1)).sum(-1).mean();
}

torch::Tensor sigmoid_loss(const torch::Tensor& logits, const torch::Tensor& targets) {
  return torch::binary_cross_entropy_with_logits(logits.to(torch::kFloat32), targets);
}

torch::Tensor smoothed(const torch::Tensor& targets, double epsilon) {
  if (epsilon == 0) return targets;
  return targets * (1 - epsilon) + epsilon / static_cast<double>(targets.size(-1));
}

Classification::Classification(const config::RunConfig& config)
    : options_(config.classification), classes_(class_list(config)), model_(config.model, config.head) {
  if (options_.train == Trained::kAll) return;
  for (auto& item : model_->named_parameters())
    item.value().requires_grad_(model::ClassifierImpl::is_of_head(item.key()));
}

torch::Tensor Classification::draw(std::int64_t batch, torch::Generator generator) const {
  const std::int64_t branches = options_.drop_path > 0 ? model_->residual_branches() : 0;
  const std::int64_t inputs = model_->head_options().dropout > 0 ? model_->last_width() : 0;
  return torch::rand({batch, kFirstBranch + branches + inputs}, std::move(generator));
}

torch::Tensor Classification::augmented(torch::Tensor spectrogram, const torch::Tensor& drawn) const {
  spectrogram = rolled(spectrogram, options_.time_roll, drawn.select(1, kRoll));
  spectrogram = masked(spectrogram, 3, options_.frequency_mask, drawn.narrow(1, kFrequency, 2));
  return masked(spectrogram, 2, options_.time_mask, drawn.narrow(1, kTime, 2));
}

torch::Tensor Classification::targets(const data::Batch& batch) const {
  AXLSTM_CHECK(batch.classes, "a batch without classes was given to a classifier");
  auto targets = targets_of(*batch.classes, batch.clips, classes_.size());
  if (!batch.share.defined()) return targets;
  const auto second = targets_of(*batch.classes, batch.mixed_in, classes_.size());  // 0 where the share is 1
  const auto share = batch.share.unsqueeze(1);
  return share * targets + (1 - share) * second;
}

torch::Tensor Classification::loss(const data::Batch& batch, const torch::Tensor& drawn) {
  const auto spectrogram = augmented(batch.spectrogram, drawn);
  const auto wanted = smoothed(targets(batch), options_.label_smoothing).to(spectrogram.device());
  const auto& head = model_->head_options();
  model::ClassifierImpl::Random random;
  std::int64_t column = kFirstBranch;
  if (options_.drop_path > 0) {
    const std::int64_t branches = model_->residual_branches();
    random.factors =
        drop_path_factors(drawn.narrow(1, column, branches), options_.drop_path, branches / model_->options().depth)
            .repeat_interleave(head.windows, 1);
    column += branches;
  }
  if (head.dropout > 0) random.kept = dropout_factors(drawn.narrow(1, column, model_->last_width()), head.dropout);
  const auto found = options_.train == Trained::kHead ? model_->logits_of_frozen(spectrogram, random.kept)
                                                      : model_->logits(spectrogram, random);
  return loss_of(found, wanted);
}

torch::Tensor Classification::loss_of(const torch::Tensor& logits, const torch::Tensor& targets) const {
  return options_.targets == Targets::kMulticlass ? softmax_loss(logits, targets) : sigmoid_loss(logits, targets);
}

model::Encoder Classification::encoder() {
  return model::Encoder(std::static_pointer_cast<model::EncoderImpl>(model_.ptr()));
}

double Classification::backward_flops() const {
  return options_.train == Trained::kHead ? 0 : Objective::backward_flops();
}

}  // namespace axlstm::objective
