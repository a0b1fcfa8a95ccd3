#include "axlstm/sweep/table.h"

#include <algorithm>
#include <iomanip>
#include <map>

#include "axlstm/core/error.h"
#include "axlstm/model/architecture.h"

namespace axlstm::sweep {
namespace {

std::string label_of(const Plan& plan, const Cell& cell, const std::string& layout) {
  const bool ambiguous = plan.layouts.size() > 1 && !layout.empty();
  return cell.name + (ambiguous ? ", " + layout : "");
}

/// Dotted keys of a resolved configuration with their values.
std::map<std::string, std::string> values_of(const config::RunConfig& config) {
  std::map<std::string, std::string> values;
  for (const auto& [section, keys] : config::parse(config::dump(config), "the cell's configuration").entries) {
    for (const auto& [key, value] : keys.entries) {
      std::string text = value.scalar;
      for (const config::Node& item : value.items) text += (text.empty() ? "" : ", ") + item.scalar;
      values[section + "." + key] = text;
    }
  }
  return values;
}

std::string millions(std::int64_t parameters) {
  return str(std::fixed, std::setprecision(2), static_cast<double>(parameters) / 1e6);
}

/// Whether `key` is one of other architectures or objectives than the cell's, which ignores it.
bool is_foreign(const std::string& key, const config::RunConfig& config) {
  if (key.starts_with("decoder.")) return config.objective != objective::Kind::kMaskedAutoencoder;
  const auto has = [&](const model::Architecture& each) {
    return std::any_of(each.keys.begin(), each.keys.end(),
                       [&](const std::string& own) { return key == "model." + own; });
  };
  const auto& all = model::architectures();
  return std::any_of(all.begin(), all.end(), has) && !has(model::architecture(config.model.arch));
}

/// What stands beside a cell's name.
std::vector<std::string> facts_of(const Plan& plan, const Cell& cell, const TableOptions& options) {
  std::vector<std::string> facts;
  if (cell.model == CellModel::kNaive) {
    facts.assign(plan.columns.size() + 1, "");
  } else {
    const auto values = values_of(cell.config);
    for (const std::string& key : plan.columns) {
      facts.push_back(is_foreign(key, cell.config) ? "" : values.at(key));
    }
    facts.push_back(millions(options.parameters(cell.config)));
  }
  facts.push_back(cell.published);
  return facts;
}

/// The scores of one row, named after it; the seeds are those over which the interval is taken.
std::vector<report::SeedScore> scores_of_row(const Plan& plan, const std::vector<report::SeedScore>& all,
                                             const Cell& cell, const std::string& layout, const std::string& label) {
  std::map<std::string, std::int64_t> names;  // of embeddings → pre-training seed
  for (const Run& run : runs_of(plan)) {
    if (&plan.cells[run.cell] == &cell) names[embedding_name(plan, run, layout)] = run.seed;
  }
  std::vector<report::SeedScore> scores;
  std::map<std::pair<std::string, std::int64_t>, std::vector<report::SeedScore>> by_pretraining;
  for (const report::SeedScore& score : all) {
    const auto found = names.find(score.model);
    if (found == names.end()) continue;
    by_pretraining[{score.task, found->second}].push_back(score);
  }
  for (const auto& [key, group] : by_pretraining) {
    if (cell.seeds == 1) {
      for (report::SeedScore score : group) {
        score.model = label;
        scores.push_back(score);
      }
      continue;
    }
    report::SeedScore mean = group.front();
    mean.model = label;
    mean.seed = static_cast<std::uint64_t>(key.second);
    mean.score = 0.0;
    for (const report::SeedScore& score : group) mean.score += score.score / static_cast<double>(group.size());
    scores.push_back(mean);
  }
  return scores;
}

}  // namespace

report::Report make_table(const Plan& plan, const TableOptions& options) {
  if (!std::filesystem::is_directory(plan.output / "scores")) {
    throw UsageError((plan.output / "scores").string() + ": no scores yet");
  }
  const std::vector<report::SeedScore> all = report::collect_scores({plan.output / "scores"});
  std::vector<report::SeedScore> scores;
  std::map<std::string, std::vector<std::string>> facts;  // by the name of the row
  std::string missing;
  bool several = false;
  for (const Cell& cell : plan.cells) {
    const std::vector<std::string> of_cell = facts_of(plan, cell, options);
    for (const std::string& layout : layouts_of(plan, cell)) {
      const std::string label = label_of(plan, cell, layout);
      const auto of_row = scores_of_row(plan, all, cell, layout, label);
      if (of_row.empty()) missing += (missing.empty() ? "" : "; ") + label;
      scores.insert(scores.end(), of_row.begin(), of_row.end());
      facts[label] = of_cell;
    }
    several |= cell.seeds > 1;
  }
  if (scores.empty()) throw UsageError((plan.output / "scores").string() + ": no scores of this sweep's cells");

  report::Report report = report::make_report(scores, {options.published, /*mix_grids=*/false});
  for (report::ReportTable& table : report.tables) {
    table.title = plan.title + ": " + table.title;
    table.facts = plan.columns;
    table.facts.insert(table.facts.end(), {"parameters [M]", "paper s(m)"});
    for (report::ReportRow& row : table.rows) {
      if (!row.published) row.facts = facts.at(row.model);
    }
  }
  if (several) {
    report.notes.emplace_back(
        "Rows of several pre-trainings: each value is a pre-training's mean over downstream seeds, the interval is "
        "over "
        "pre-trainings.");
  }
  report.notes.emplace_back(
      "paper s(m): as published, on its ten HEAR tasks after pre-training on AudioSet; s(m) of other tasks or models "
      "is "
      "on another scale, only orders can be compared.");
  if (!missing.empty()) report.notes.push_back("Not evaluated yet: " + missing + ".");
  return report;
}

}  // namespace axlstm::sweep
