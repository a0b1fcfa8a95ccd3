// The configuration of a training: the sections of all layers' options (beside each struct stands its visit), read,
// dumped and shown as the reference in docs/config.md.
#pragma once

#include <string>

#include "axlstm/config/config.h"
#include "axlstm/data/options.h"
#include "axlstm/distributed/options.h"
#include "axlstm/embed/options.h"
#include "axlstm/features/options.h"
#include "axlstm/model/options.h"
#include "axlstm/objective/options.h"
#include "axlstm/train/options.h"

namespace axlstm::config {

struct RunConfig {
  features::LogMelOptions audio;
  data::DataOptions data;
  model::EncoderOptions model;
  objective::Kind objective = objective::Kind::kMaskedTokens;
  model::MaskOptions mask;
  model::DecoderOptions decoder;
  model::LossOptions loss;
  model::HeadOptions head;
  objective::ClassificationOptions classification;
  train::OptimOptions optim;
  train::TrainOptions train;
  distributed::DistributedOptions distributed;
  train::EvalOptions eval;
  embed::EmbeddingOptions embedding;
};

/// Shows every field to `visitor`, section by section.
void visit(RunConfig& config, Visitor& visitor);

/// Reads a tree strictly, fills model.size's values in and checks what keys mean together. Throws UsageError.
RunConfig read(const Node& root);

/// Reads a configuration that is stored with a run or checkpoint, as `dump` of this or an earlier version wrote it.
/// Keys of other architectures, which earlier versions let pass, do not count. `source` names it in errors.
RunConfig read_stored(const std::string& yaml, const std::string& source);

/// The resolved configuration as YAML; read(parse(dump(c))) gives c again.
std::string dump(RunConfig config);

/// docs/config.md: every key in a Markdown table.
std::string reference();

/// The keys with Effect::kNone, in their order.
std::vector<std::string> effect_free_keys();

/// Keys of two resolved configurations (as dumped) whose values differ, except those with Effect::kNone. Keys that
/// `old_yaml` lacks, as an earlier version wrote it, are taken at their defaults.
std::vector<std::string> changed_keys(const std::string& old_yaml, const std::string& new_yaml);

}  // namespace axlstm::config
