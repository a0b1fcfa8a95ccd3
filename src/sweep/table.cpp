#include "axlstm/sweep/table.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/model/architecture.h"
#include "core/json.h"

namespace axlstm::sweep {
namespace {

namespace fs = std::filesystem;

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

/// Scores with the pre-training's seed in front.
using SeededScores = std::vector<std::pair<std::int64_t, report::SeedScore>>;

/// The scores of one row, named after it; the seeds are those over which the interval is taken.
std::vector<report::SeedScore> of_row(const Cell& cell, const SeededScores& found, const std::string& label) {
  std::vector<report::SeedScore> scores;
  std::map<std::pair<std::string, std::int64_t>, std::vector<report::SeedScore>> by_pretraining;
  for (const auto& [seed, score] : found) by_pretraining[{score.task, seed}].push_back(score);
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

/// Those of a cell's embeddings in one layout.
SeededScores scores_of(const Plan& plan, const std::vector<report::SeedScore>& all, const Cell& cell,
                       const std::string& layout) {
  std::map<std::string, std::int64_t> names;  // of embeddings → pre-training seed
  for (const Run& run : runs_of(plan)) {
    if (&plan.cells[run.cell] == &cell) names[embedding_name(plan, run, layout)] = run.seed;
  }
  SeededScores found;
  for (const report::SeedScore& score : all) {
    if (const auto name = names.find(score.model); name != names.end()) found.emplace_back(name->second, score);
  }
  return found;
}

/// The task's own score of a fine-tuning: the mean over its folds, or that of its only model. Nothing if it is not
/// finished, or the score is no number.
std::optional<double> finetuned_score(const fs::path& folder) {
  const fs::path of_folds = folder / "scores.json", of_one = folder / "test.json";
  const fs::path file = fs::exists(of_folds) ? of_folds : of_one;
  if (!fs::exists(file)) return {};
  const nlohmann::json score = parse_json(read_file(file), file.string()).value("task_score", nlohmann::json::object());
  const auto value = score.find(file == of_folds ? "mean" : "value");
  if (!score.is_object() || value == score.end() || !value->is_number()) return {};
  return value->get<double>();
}

/// Those of a cell's fine-tuned encoders.
SeededScores finetuned_scores_of(const Plan& plan, const Cell& cell) {
  SeededScores found;
  for (const Run& run : runs_of(plan)) {
    if (&plan.cells[run.cell] != &cell) continue;
    for (std::int64_t seed = 0; seed < plan.finetuning.seeds; ++seed) {
      std::error_code none;
      for (const auto& entry : fs::directory_iterator(finetuning_folder(plan, run, seed, ""), none)) {
        const auto score = finetuned_score(entry.path());
        if (!score) continue;
        found.emplace_back(
            run.seed, report::SeedScore{cell.name, entry.path().filename().string(), static_cast<std::uint64_t>(seed),
                                        "fine-tuned", *score, entry.path()});
      }
    }
  }
  return found;
}

/// The rows of a report and what stands beside their names.
struct Rows {
  std::vector<report::SeedScore> scores;
  std::map<std::string, std::vector<std::string>> facts;  // by the name of the row
  std::string missing;

  void add(const std::string& label, const std::vector<report::SeedScore>& of_row,
           const std::vector<std::string>& facts_of_row) {
    if (of_row.empty()) missing += (missing.empty() ? "" : "; ") + label;
    scores.insert(scores.end(), of_row.begin(), of_row.end());
    facts[label] = facts_of_row;
  }

  report::Report report(const std::string& title, const std::vector<std::string>& names,
                        const report::ReportOptions& options) const {
    report::Report report = report::make_report(scores, options);
    for (report::ReportTable& table : report.tables) {
      table.title = title + ": " + table.title;
      table.facts = names;
      for (report::ReportRow& row : table.rows) {
        if (!row.published) row.facts = facts.at(row.model);
      }
    }
    return report;
  }
};

}  // namespace

report::Report make_table(const Plan& plan, const TableOptions& options) {
  const fs::path folder = plan.output / "scores";
  const bool evaluated = fs::is_directory(folder), finetunes = !plan.finetuning.tasks.empty();
  if (!evaluated && !finetunes) throw UsageError(folder.string() + ": no scores yet");
  const auto all = evaluated ? report::collect_scores({folder}) : std::vector<report::SeedScore>{};
  Rows embedded, finetuned;
  bool several = false;
  for (const Cell& cell : plan.cells) {
    const std::vector<std::string> facts = facts_of(plan, cell, options);
    for (const std::string& layout : layouts_of(plan, cell)) {
      const std::string label = label_of(plan, cell, layout);
      embedded.add(label, of_row(cell, scores_of(plan, all, cell, layout), label), facts);
    }
    if (finetunes && cell.model != CellModel::kNaive)
      finetuned.add(cell.name, of_row(cell, finetuned_scores_of(plan, cell), cell.name), facts);
    several |= cell.seeds > 1;
  }
  if (embedded.scores.empty() && finetuned.scores.empty())
    throw UsageError(folder.string() + ": no scores of this sweep's cells");

  std::vector<std::string> names = plan.columns;
  names.insert(names.end(), {"parameters [M]", "paper s(m)"});
  report::Report report;
  if (!embedded.scores.empty()) report = embedded.report(plan.title, names, {.published = options.published});
  if (!finetuned.scores.empty()) {
    // Apart, for s(m) is over the rows of a table, and the paper fine-tunes nothing.
    const report::Report of_these = finetuned.report(plan.title + ", fine-tuned", names, {.paper_table = false});
    report.tables.insert(report.tables.end(), of_these.tables.begin(), of_these.tables.end());
    report.notes.emplace_back(
        "Fine-tuned: encoder and head trained on the task (`finetune`); the task's primary score in percent, of a task "
        "with folds the mean over them.");
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
  if (!embedded.missing.empty() && !plan.hear.tasks.empty())
    report.notes.push_back("Not evaluated yet: " + embedded.missing + ".");
  if (!finetuned.missing.empty()) report.notes.push_back("Not fine-tuned yet: " + finetuned.missing + ".");
  return report;
}

}  // namespace axlstm::sweep
