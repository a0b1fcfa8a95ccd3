// Every key of the configuration, with its meaning, default and range: the one list that reading, dumping and the
// reference in docs/config.md are made from.
#pragma once

#include <string>

#include "axlstm/config/config.h"
#include "axlstm/data/options.h"
#include "axlstm/distributed/options.h"
#include "axlstm/embed/options.h"
#include "axlstm/features/options.h"
#include "axlstm/model/options.h"
#include "axlstm/train/options.h"

namespace axlstm::config {

struct RunConfig {
  features::LogMelOptions audio;
  data::DataOptions data;
  model::EncoderOptions model;
  model::MaskOptions mask;
  model::LossOptions loss;
  train::OptimOptions optim;
  train::TrainOptions train;
  distributed::DistributedOptions distributed;
  train::EvalOptions eval;
  embed::EmbeddingLayout embedding_layout = embed::EmbeddingLayout::kTimeFrequency;
};

/// Shows every field to `visitor`, section by section.
void describe(RunConfig& config, Visitor& visitor);

/// Reads a tree strictly, fills model.size's values in and checks what keys mean together. Throws UsageError.
RunConfig read(const Node& root);

/// The resolved configuration as YAML; read(parse(dump(c))) gives c again.
std::string dump(RunConfig config);

/// docs/config.md: every key in a Markdown table.
std::string reference();

/// Keys of two resolved configurations (as dumped) whose values differ, except those that do not change the numbers of
/// a run (intervals, worker counts and the like) and those of where the data lies. Keys that `old_yaml` lacks, as an
/// earlier version wrote it, are taken at their defaults.
std::vector<std::string> changed_keys(const std::string& old_yaml, const std::string& new_yaml);

}  // namespace axlstm::config
