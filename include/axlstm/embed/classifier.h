// A classifier that `finetune` trained: sound → probabilities of its classes.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "axlstm/config/schema.h"
#include "axlstm/model/classifier.h"
#include "axlstm/runtime/arithmetic.h"

namespace axlstm::embed {

struct ClassifierArguments {
  std::string name;  ///< a run, whose best checkpoint is taken, or a checkpoint
  runtime::DeviceChoice device = runtime::DeviceChoice::kAuto;
  runtime::Precision precision = runtime::Precision::kAuto;  ///< kAuto: that of training on this device
};

/// Averaged weights are taken where training kept them: they were scored. Clips of any length: what is longer than a
/// crop of training is covered by several, whose probabilities are averaged; what is shorter is repeated.
class Classifier {
 public:
  /// Throws UsageError or Error naming what is no classifier or cannot be loaded. Logs what was loaded if `announced`.
  explicit Classifier(const ClassifierArguments& arguments, bool announced = true);

  const std::vector<std::string>& classes() const { return config_.head.classes; }
  int sample_rate() const { return static_cast<int>(config_.audio.sample_rate); }

  /// True if a clip has one class: its probabilities then sum to 1. False: each stands by itself.
  bool is_exclusive() const;

  /// Of mono waveforms [T] float32 at sample_rate(), any T ≥ 1: [N, C] float32 on the CPU.
  torch::Tensor probabilities(const std::vector<torch::Tensor>& waveforms);

  /// Takes the probabilities [C] of a file.
  using TakeFile = std::function<void(const std::filesystem::path& file, const torch::Tensor& probabilities)>;

  /// Of sound files, in their order; those that cannot be read are left out with a warning. Returns how many were. Long
  /// ones are read in pieces.
  std::size_t classify(const std::vector<std::filesystem::path>& files, const TakeFile& take);

 private:
  torch::Tensor of_crops(const torch::Tensor& crops);

  config::RunConfig config_;
  runtime::Arithmetic arithmetic_;
  model::Classifier model_{nullptr};
};

}  // namespace axlstm::embed
