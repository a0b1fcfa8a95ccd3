// A cheap score of embeddings: what the nearest training clips are. For watching a training, not for reporting.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/embed/clip_encoder.h"
#include "axlstm/hear/task.h"

namespace axlstm::downstream {

/// Probabilities [M, C] of clips `queries` [M, D]: the targets [N, C] of the `neighbours` clips of `embeddings` [N, D]
/// whose cosine similarity is largest, each weighed by exp(similarity / 0.07) (Wu et al., Unsupervised Feature Learning
/// via Non-Parametric Instance Discrimination, 2018). Columns are first brought to mean 0 and deviation 1 of
/// `embeddings`. All float32 on the CPU.
torch::Tensor nearest_neighbour_predictions(const torch::Tensor& queries, const torch::Tensor& embeddings,
                                            const torch::Tensor& targets, std::int64_t neighbours);

/// Some clips of a scene task, by which encoders are compared. Clips of the training splits are the neighbours, those
/// of the validation split are scored; the test split is left alone.
class NearestNeighbourProbe {
 public:
  /// At most `max_clips` of each, the same ones every time. Throws Error naming what is missing in the task's folder,
  /// UsageError for an event task.
  NearestNeighbourProbe(const std::filesystem::path& task_dir, int sample_rate, std::int64_t max_clips);

  /// The task's primary score of `encoder`. Draws no random numbers. Throws Error naming a file that cannot be read.
  double score(embed::ClipEncoder& encoder) const;

  /// Such as "esc50: top1_acc of 400 clips by the nearest of 1000".
  std::string description() const;

 private:
  struct Clips {
    std::vector<std::filesystem::path> files;
    torch::Tensor targets;  ///< [N, C] float32
  };
  Clips choose(const std::vector<std::string>& splits, std::int64_t max_clips) const;
  torch::Tensor embed(embed::ClipEncoder& encoder, const Clips& clips) const;

  std::filesystem::path task_dir_;
  int sample_rate_;
  hear::TaskMetadata metadata_;
  Clips train_, valid_;
};

}  // namespace axlstm::downstream
