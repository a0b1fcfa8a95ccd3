#include "axlstm/report/report.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <tuple>

#include "axlstm/core/error.h"
#include "axlstm/hear/evaluation_record.h"
#include "axlstm/hear/options.h"
#include "axlstm/hear/score_file.h"

namespace axlstm::report {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPublishedGrid = hear::kGrids.front();
constexpr const char* kOwnGroup = "Evaluated here";

/// How many points of a grid were tried matters too, unless it is what HEAR tries, or all.
std::string grid_name(const hear::EvaluationRecord& record) {
  constexpr int kReleasedPoints = 2;
  const bool usual =
      record.grid == kPublishedGrid ? record.grid_points >= kReleasedPoints : record.grid_points == hear::kGridPoints;
  return usual ? record.grid : str(record.grid, " of ", record.grid_points);
}

/// "<model>_<seed>" → both; anything else is a model.
std::pair<std::string, std::uint64_t> split_name(const std::string& name) {
  const std::size_t underscore = name.rfind('_');
  std::uint64_t seed = 0;
  if (underscore == std::string::npos || underscore == 0) return {name, 0};
  const char *begin = name.data() + underscore + 1, *end = name.data() + name.size();
  const auto [stop, failure] = std::from_chars(begin, end, seed);
  if (failure != std::errc() || stop != end) return {name, 0};
  return {name.substr(0, underscore), seed};
}

SeedScore read_score(const fs::path& file) {
  const fs::path folder = fs::canonical(file).parent_path();
  SeedScore score{{}, {}, 0, "unknown", hear::read_test_score(folder), file};
  if (const auto record = hear::read_record(folder)) {
    score.model = record->model;
    score.task = record->task;
    score.seed = record->seed;
    score.grid = grid_name(*record);
  } else {
    score.task = folder.filename().string();
    std::tie(score.model, score.seed) = split_name(folder.parent_path().filename().string());
  }
  return score;
}

/// Scores in percent of one model and grid, by column and seed.
struct OwnRow {
  std::string model, grid;
  std::vector<std::map<std::uint64_t, double>> columns;
};

/// The rows in the order in which they first appear.
std::vector<OwnRow> own_rows(const std::vector<const SeedScore*>& scores, const std::vector<std::string>& columns,
                             const std::map<std::string, std::size_t>& column_of) {
  std::vector<OwnRow> rows;
  for (const SeedScore* score : scores) {
    auto row = std::find_if(rows.begin(), rows.end(), [&](const OwnRow& candidate) {
      return candidate.model == score->model && candidate.grid == score->grid;
    });
    if (row == rows.end()) {
      rows.push_back({score->model, score->grid, std::vector<std::map<std::uint64_t, double>>(columns.size())});
      row = rows.end() - 1;
    }
    row->columns[column_of.at(score->task)][score->seed] = 100.0 * score->score;
  }
  return rows;
}

std::vector<double> values_of(const std::map<std::uint64_t, double>& by_seed) {
  std::vector<double> values;
  values.reserve(by_seed.size());
  for (const auto& entry : by_seed) values.push_back(entry.second);
  return values;
}

/// s over the means of a row, with the interval over the seeds that all its tasks have.
template <typename Scale>
std::optional<MeanInterval> aggregate(const OwnRow& row, const ReportRow& means, const Scale& scale) {
  std::vector<double> x;
  for (const auto& cell : means.scores) {
    if (!cell) return {};
    x.push_back(cell->mean);
  }
  MeanInterval s{scale(x), {}, 1};
  std::vector<double> of_seeds;
  for (const auto& entry : row.columns.front()) {
    std::vector<double> of_seed;
    for (const auto& column : row.columns) {
      if (const auto found = column.find(entry.first); found != column.end()) of_seed.push_back(found->second);
    }
    if (of_seed.size() == row.columns.size()) of_seeds.push_back(scale(of_seed));
  }
  if (of_seeds.size() > 1) {
    s.half_width = mean_interval(of_seeds).half_width;
    s.n = of_seeds.size();
  }
  return s;
}

/// 100 (x - min) / (max - min) of each task, averaged; a task in which all are equal counts 0.
class TableScale {
 public:
  explicit TableScale(const ReportTable& table) : min_(table.columns.size(), INFINITY), max_(min_.size(), -INFINITY) {
    for (const ReportRow& row : table.rows) {
      for (std::size_t i = 0; i < row.scores.size(); ++i) {
        if (!row.scores[i]) continue;
        min_[i] = std::min(min_[i], row.scores[i]->mean);
        max_[i] = std::max(max_[i], row.scores[i]->mean);
      }
    }
  }

  double operator()(const std::vector<double>& scores) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (max_[i] > min_[i]) sum += 100.0 * (scores[i] - min_[i]) / (max_[i] - min_[i]);
    }
    return sum / static_cast<double>(scores.size());
  }

 private:
  std::vector<double> min_, max_;
};

void add_published(ReportTable& table, const std::vector<PublishedRow>& published) {
  for (const PublishedRow& source : published) {
    ReportRow& row = table.rows.emplace_back();
    row.group = source.group;
    row.model = source.model;
    row.grid = kPublishedGrid;
    row.published = true;
    for (const PublishedValue& value : source.scores)
      row.scores.push_back(MeanInterval{value.mean, value.half_width, 0});
    row.s_published = MeanInterval{source.s.mean, source.s.half_width, 0};
  }
}

void fill(ReportTable& table, const std::vector<const SeedScore*>& scores,
          const std::map<std::string, std::size_t>& column_of, const std::vector<PublishedRow>& published) {
  add_published(table, published);
  const std::size_t first_own = table.rows.size();
  const std::vector<OwnRow> own = own_rows(scores, table.columns, column_of);
  for (const OwnRow& source : own) {
    ReportRow& row = table.rows.emplace_back();
    row.group = kOwnGroup;
    row.model = source.model;
    row.grid = source.grid;
    for (const auto& column : source.columns) {
      row.scores.push_back(column.empty() ? std::nullopt : std::optional(mean_interval(values_of(column))));
    }
  }
  const TableScale scale(table);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    ReportRow& row = table.rows[i];
    if (row.published) {
      std::vector<double> x;
      for (const auto& cell : row.scores) x.push_back(cell->mean);
      row.s_table = MeanInterval{scale(x), {}, 0};
      continue;
    }
    row.s_table = aggregate(own[i - first_own], row, scale);
    if (table.of_the_paper) {
      row.s_published = aggregate(own[i - first_own], row, [](const std::vector<double>& x) { return published_s(x); });
    }
  }
}

/// Rows of different grids are not comparable: refused, or named in each row.
void check_grids(Report& report, bool mix_grids) {
  for (ReportTable& table : report.tables) {
    std::map<std::string, std::string> examples;  // grid → a model
    for (const ReportRow& row : table.rows) examples.emplace(row.grid, row.model);
    if (examples.size() < 2) continue;
    std::string list;
    for (const auto& [grid, model] : examples) list += str(list.empty() ? "" : ", ", grid, " (", model, ")");
    if (!mix_grids) {
      throw UsageError(str("the scores come from different hyper-parameter grids: ", list,
                           "; --mix-grids puts them into one table all the same, --no-published leaves out the "
                           "paper's rows"));
    }
    for (ReportRow& row : table.rows) row.model += " [" + row.grid + "]";
    report.notes.push_back(str(table.title, " mixes hyper-parameter grids, named in brackets: ", list,
                               ". Scores of different grids are not comparable."));
  }
}

}  // namespace

std::vector<SeedScore> collect_scores(const std::vector<fs::path>& directories) {
  std::vector<SeedScore> scores;
  for (const fs::path& directory : directories) {
    if (!fs::is_directory(directory)) throw UsageError(directory.string() + ": no such folder of scores");
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.path().filename() == hear::kScoreFile) files.push_back(entry.path());
    }
    if (files.empty()) throw UsageError(str(directory.string(), ": no ", hear::kScoreFile, " under this folder"));
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) scores.push_back(read_score(file));
  }
  std::map<std::tuple<std::string, std::string, std::string, std::uint64_t>, fs::path> seen;
  for (const SeedScore& score : scores) {
    const auto [twin, added] = seen.emplace(std::tuple(score.model, score.grid, score.task, score.seed), score.file);
    AXLSTM_CHECK(added, score.file.string(), ": the same model, grid, task and seed as ", twin->second.string());
  }
  return scores;
}

Report make_report(const std::vector<SeedScore>& scores, const ReportOptions& options) {
  std::vector<const SeedScore*> of_paper, others;
  std::map<std::string, std::size_t> paper_columns, other_columns;
  for (const SeedScore& score : scores) {
    const auto paper_task = options.paper_table ? paper_task_of(score.task) : std::nullopt;
    (paper_task ? of_paper : others).push_back(&score);
    if (paper_task) {
      paper_columns[score.task] = *paper_task;
    } else {
      other_columns[score.task] = 0;
    }
  }

  Report report;
  if (!of_paper.empty()) {
    ReportTable& table = report.tables.emplace_back();
    table.title = "Tasks of the paper";
    table.of_the_paper = true;
    for (const PaperTask& task : paper_tasks()) table.columns.emplace_back(task.column);
    fill(table, of_paper, paper_columns, options.published);
  }
  if (!others.empty()) {
    ReportTable& table = report.tables.emplace_back();
    table.title = of_paper.empty() ? "Tasks" : "Other tasks";
    for (auto& [task, column] : other_columns) {
      column = table.columns.size();
      table.columns.push_back(task);
    }
    fill(table, others, other_columns, {});
  }
  check_grids(report, options.mix_grids);
  report.notes.emplace_back(
      "Scores in percent: each task's primary one, mean ± half width of the 95 % t-interval over seeds.");
  report.notes.emplace_back(
      "s(m), table scale: mean over tasks of 100 (x - min) / (max - min) with the minima and maxima of the table "
      "shown; it changes when a row is added.");
  if (!of_paper.empty()) {
    report.notes.emplace_back(
        "s(m), published scale: as the paper prints it; for other rows -40.15 + sum of 10 x / range, a fit to the "
        "printed values, which Table 2's own minima and maxima do not reproduce.");
    if (!options.published.empty()) {
      report.notes.emplace_back(
          "Rows of other groups are published: Table 2 of Yadav, Theodoridis, Tan, \"AxLSTMs: learning self-supervised "
          "audio representations with xLSTMs\".");
    }
  }
  return report;
}

}  // namespace axlstm::report
