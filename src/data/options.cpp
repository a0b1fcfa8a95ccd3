#include "axlstm/data/options.h"

namespace axlstm::data {

// Where the audio lies has no effect: a checkpoint's fingerprint tells whether the list of clips changed.
void visit(DataOptions& data, Visitor& v) {
  v.begin_section("data", "Training audio. Formats: docs/data.md.");
  v.text("root", data.root, "folder of audio, searched at any depth; with a manifest: what its paths are relative to",
         Effect::kNone);
  v.text("manifest", data.manifest,
         "a list of clips: table, paths, JSON, Lhotse, Kaldi, AudioSet's own `*_segments.csv` and more; empty: all "
         "audio under data.root",
         Effect::kNone);
  v.text("packed", data.packed, "folder of packed clips, as `pack` writes it, instead of root and manifest",
         Effect::kNone);
  v.integer(
      "synthetic", data.synthetic, kNotNegative,
      "number of clips of noise to train on instead of audio, to measure the speed without reading data; 0: none");
  v.text(
      "validation", data.validation,
      "held-out clips for the validation loss: a packed folder, a folder of audio, or a manifest (its paths relative "
      "to data.root); empty: none",
      Effect::kNone);
  v.text("test", data.test,
         "of `finetune`: clips, named as those of data.validation, on which the best checkpoint is scored at the end; "
         "empty: none",
         Effect::kNone);
  v.text("task", data.task,
         "of `finetune`: folder of a HEAR task of whole clips, whose splits or folds are trained on, validated and "
         "tested, "
         "instead of all these",
         Effect::kNone);
  v.integer("fold", data.fold, {-1, 1e6}, "of data.task: the one fold that is tested on, from 0 on; −1: all, in turn");
  v.integer("workers", data.workers, {0, 1024}, "threads that decode and transform; 0: one per core", Effect::kNone);
  v.integer("cache_mb", data.cache_mb, {0, 1e7}, "memory for decoded features, so that small sets are decoded once",
            Effect::kNone);
  v.number("max_bad_fraction", data.max_bad_fraction, kFraction,
           "unreadable clips are skipped with a warning; more than this share of them stops the run", Effect::kNone);
  v.number("min_decoded_fraction", data.min_decoded_fraction, kFraction,
           "a file is unreadable if less than this share of the length in its header can be decoded; with more, but "
           "not all, it is used with a warning",
           Effect::kNone);
  v.end_section();
}

}  // namespace axlstm::data
