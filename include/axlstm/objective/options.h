// What a training minimises.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "axlstm/core/visitor.h"

namespace axlstm::objective {

/// kMaskedTokens: the encoder sees mask tokens in place of hidden patches, a small head predicts their pixels.
/// kMaskedAutoencoder: it sees the visible patches alone, a decoder predicts those of the others.
/// kClassification: a head predicts the labels of a clip.
enum class Kind { kMaskedTokens, kMaskedAutoencoder, kClassification };
constexpr auto enum_names(Kind) { return std::array{"masked_tokens", "masked_autoencoder", "classification"}; }

/// kMulticlass: a clip has one label. kMultilabel: it has any number of at least one.
enum class Targets { kMulticlass, kMultilabel };
constexpr auto enum_names(Targets) { return std::array{"multiclass", "multilabel"}; }

/// What is trained of a classifier.
enum class Trained { kAll, kHead };
constexpr auto enum_names(Trained) { return std::array{"all", "head"}; }

/// Positions of crops that are longer than those of the pre-training. kExtended: the sines go on, at the same distance
/// from frame to frame. kInterpolated: the old ones are stretched over the new length.
enum class Positions { kExtended, kInterpolated };
constexpr auto enum_names(Positions) { return std::array{"extended", "interpolated"}; }

/// How a classifier is trained.
struct ClassificationOptions {
  std::string encoder;  ///< a run or checkpoint that it begins with; empty: random weights
  bool encoder_ema = false;
  Trained train = Trained::kAll;
  Targets targets = Targets::kMulticlass;
  std::string labels;  ///< a file with the names of the classes
  Positions positions = Positions::kExtended;
  bool balanced = false;
  double label_smoothing = 0;
  double mixup = 0;
  double mixup_alpha = 10;
  std::int64_t frequency_mask = 0;
  std::int64_t time_mask = 0;
  std::int64_t time_roll = 0;
  double drop_path = 0;
};

/// Sections `objective` and `classification`.
void visit(Kind& kind, Visitor& v);
void visit(ClassificationOptions& classification, Visitor& v);

}  // namespace axlstm::objective
