// The scores of HEAR's scene tasks, as scikit-learn (1.9) and the evaluation kit compute them, ties and rounding of
// the summation included: equal predictions give equal digits.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace axlstm::metrics {

/// Predictions of N clips for C classes beside the truth; a view, both row by row.
struct ScoredClips {
  std::span<const float> predictions;  ///< [N, C] probabilities
  std::span<const float> targets;      ///< [N, C] 1 for the labels of the clip, else 0
  std::int64_t C = 0;

  std::int64_t N() const { return static_cast<std::int64_t>(targets.size()) / C; }
};

/// Share of clips whose most probable class is the target; of equal values the first one counts, so that a clip of
/// several labels counts for its first label. Also the kit's `pitch_acc`.
double top1_accuracy(const ScoredClips& clips);

/// top1_accuracy of the class index modulo 12.
/// Official: the index, not the MIDI pitch, is reduced, which is right only for a vocabulary without gaps.
double chroma_accuracy(const ScoredClips& clips);

/// Mean over classes of the average precision sum_n (R_n - R_{n-1}) P_n over the distinct predictions; a class that
/// no clip has counts 0.
double mean_average_precision(const ScoredClips& clips);

/// Mean over classes of the area under the ROC curve; NaN if a class has all clips or none.
double mean_roc_auc(const ScoredClips& clips);

/// Mean over classes of sqrt(2) * Phi^-1(AUC); infinite if a class is perfectly separated, NaN as mean_roc_auc.
double d_prime(const ScoredClips& clips);

/// Whether score() knows the name.
bool is_score(const std::string& name);

/// The score of that name in task_metadata.json: top1_acc, pitch_acc, chroma_acc, mAP, aucroc or d_prime.
/// Throws Error for another name and for tables whose sizes differ.
double score(const std::string& name, const ScoredClips& clips);

}  // namespace axlstm::metrics
