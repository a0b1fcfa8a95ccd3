#include "axlstm/objective/options.h"

namespace axlstm::objective {

void visit(Kind& kind, Visitor& v) {
  v.begin_section("objective", "What training minimises.");
  v.choice("name", kind,
           "masked_tokens: as in the paper; masked_autoencoder: the encoder sees visible patches alone (MAE; with "
           "decoder.windows MW-MAE), of any model.arch; classification: labels, of any model.arch (`finetune`)");
  v.end_section();
}

void visit(ClassificationOptions& classification, Visitor& v) {
  v.begin_section("classification", "How a classifier is trained (`finetune`). docs/finetune.md.");
  v.text(
      "encoder", classification.encoder,
      "the run or checkpoint whose encoder it begins with; it also gives the sections model and audio. Empty: random "
      "weights");
  v.boolean("encoder_ema", classification.encoder_ema, "begin with its averaged weights");
  v.choice("train", classification.train, "all: encoder and head; head: the head alone, on a frozen encoder");
  v.choice("targets", classification.targets,
           "multiclass: a clip has one label, softmax and cross-entropy; multilabel: any number of at least one, "
           "sigmoid and binary cross-entropy");
  v.text(
      "labels", classification.labels,
      "the classes: AudioSet's class_labels_indices.csv, a HEAR task's labelvocabulary.csv, or a text file with one in "
      "each line; empty: the labels of the training clips",
      Effect::kNone);
  v.choice("positions", classification.positions,
           "where model.frames is not that of the encoder's training: extended: sines go on with the same step; "
           "interpolated: its positions are stretched. Trained positions can only be interpolated");
  v.boolean("balanced", classification.balanced,
            "draw clips with replacement, each by the sum of 1 / (clips of a class) over its labels, so that rare "
            "classes are seen as often as frequent ones");
  v.number("label_smoothing", classification.label_smoothing, {0, 0.999},
           "multiclass only: this much of the target is spread evenly over all classes");
  v.number("mixup", classification.mixup, kFraction,
           "share of the crops that are mixed with a crop of another clip, log-mel and labels alike");
  v.number("mixup_alpha", classification.mixup_alpha, {1e-3, 1e3},
           "of the Beta(α, α) distribution that the first crop's share is drawn from");
  v.integer("frequency_mask", classification.frequency_mask, kNotNegative,
            "SpecAugment: at most this many neighbouring mel bins are set to 0, the clip's mean");
  v.integer("time_mask", classification.time_mask, kNotNegative, "the same of frames");
  v.integer("time_roll", classification.time_roll, kNotNegative,
            "crops are rolled along time by up to this many frames in either direction");
  v.number("drop_path", classification.drop_path, {0, 0.999},
           "stochastic depth: share of the clips whose last block is left out; blocks before it less, the first none");
  v.end_section();
}

}  // namespace axlstm::objective
