// How well a classifier does on clips that it is not trained on.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "axlstm/data/clip_source.h"
#include "axlstm/metrics/clip_scores.h"
#include "axlstm/objective/classification.h"
#include "axlstm/runtime/arithmetic.h"

namespace axlstm::train {

/// The classes of every clip of a source. Throws Error naming the first clip without a label, or with one that is no
/// class.
data::ClipClasses classes_of_clips(const data::ClipSource& clips, const data::ClassList& classes,
                                   objective::Targets targets);

/// Warns of classes that no clip of `source` has, naming some.
void warn_of_missing_classes(const data::ClipClasses& classes_of_clips, const data::ClassList& classes,
                             const std::string& source);

class Evaluation {
 public:
  struct Result {
    double loss = 0;  ///< of the mean probabilities of each clip's crops
    metrics::ClipScores scores;
    torch::Tensor probabilities, targets;  ///< [clips, C] float32 on the CPU
    std::int64_t clips() const { return targets.size(0); }
  };

  /// Of data.validation, data.test or a part of data.task. Throws as held_out_data(), open_clips() and
  /// classes_of_clips().
  Evaluation(const config::RunConfig& config, data::Part part, const objective::Classification& objective);

  std::int64_t size() const { return source_->size(); }

  /// How many of its clips `training` has too, by their names; one of them.
  std::pair<std::int64_t, std::string> shared_with(const data::ClipSource& training) const;

  /// Whole clips, in the precision of training; of several crops of a clip the mean of the probabilities. Clips that
  /// cannot be read are passed over, as in training.
  Result score(objective::Classification& objective, const runtime::Arithmetic& arithmetic);

 private:
  config::RunConfig config_;
  std::shared_ptr<data::ClipSource> source_;
  std::string name_;
  data::ClipClasses classes_;
};

/// What eval.metric names; more is better (the loss is negated).
double value_of(Metric metric, objective::Targets targets, const Evaluation::Result& result);

/// "auto" as what it means.
Metric resolve(Metric metric, objective::Targets targets);

}  // namespace axlstm::train
