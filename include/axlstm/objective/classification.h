// The labels of a clip, predicted from its crop.
#pragma once

#include <string>
#include <vector>

#include "axlstm/data/clip_classes.h"
#include "axlstm/data/lists/class_list.h"
#include "axlstm/model/classifier.h"
#include "axlstm/objective/objective.h"

namespace axlstm::objective {

/// The classes of a configuration: head.classes, with the other names that classification.labels has for them. Throws
/// UsageError if there are none, Error if the file has others.
data::ClassList class_list(const config::RunConfig& config);

/// 1 for the classes of each of `clips`, else 0: [B, C] float32 on the CPU, with C = `count`. Clips −1 have none.
torch::Tensor targets_of(const data::ClipClasses& classes, const std::vector<std::int64_t>& clips, std::int64_t count);

/// Cross-entropy of logits [B, C] with targets [B, C] that are distributions: mean over clips of −Σ t·log softmax(z).
torch::Tensor softmax_loss(const torch::Tensor& logits, const torch::Tensor& targets);

/// Binary cross-entropy: mean over clips and classes of −t·log σ(z) − (1 − t)·log(1 − σ(z)).
torch::Tensor sigmoid_loss(const torch::Tensor& logits, const torch::Tensor& targets);

/// (1 − ε)·t + ε / C.
torch::Tensor smoothed(const torch::Tensor& targets, double epsilon);

class Classification final : public Objective {
 public:
  /// `config.head.classes` must be known.
  explicit Classification(const config::RunConfig& config);

  torch::nn::Module& module() override { return *model_; }
  Classification* classification() override { return this; }
  /// [B, K]: uniform numbers of SpecAugment, roll, drop path and dropout, in this order.
  torch::Tensor draw(std::int64_t batch, torch::Generator generator) const override;
  torch::Tensor loss(const data::Batch& batch, const torch::Tensor& drawn) override;
  model::Encoder encoder() override;
  double forward_flops() const override { return model_->forward_flops(); }
  double backward_flops() const override;

  /// Of crops [B, 1, frames, F], as they are: [B, C]. The caller autocasts.
  torch::Tensor logits(const torch::Tensor& spectrogram) { return model_->logits(spectrogram); }

  /// Of logits as logits() gives them and targets as targets_of().
  torch::Tensor loss_of(const torch::Tensor& logits, const torch::Tensor& targets) const;

  const data::ClassList& classes() const { return classes_; }
  const ClassificationOptions& options() const { return options_; }
  std::int64_t crop_frames() const { return model_->head_options().crop_frames(model_->options()); }

 private:
  torch::Tensor augmented(torch::Tensor spectrogram, const torch::Tensor& drawn) const;
  torch::Tensor targets(const data::Batch& batch) const;

  ClassificationOptions options_;
  data::ClassList classes_;
  model::Classifier model_;
};

}  // namespace axlstm::objective
