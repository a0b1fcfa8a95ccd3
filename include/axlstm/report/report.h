// Scores of models, tasks and seeds → tables in the layout of the paper's Table 2.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "axlstm/report/published.h"
#include "axlstm/report/statistics.h"

namespace axlstm::report {

/// One test.predicted-scores.json.
struct SeedScore {
  std::string model, task;
  std::uint64_t seed = 0;
  std::string grid;    ///< "unknown" for the official runner's files
  double score = 0.0;  ///< the primary one, as in the file
  std::filesystem::path file;
};

/// All scores under `directories`. Model and seed come from the note beside each file, or else from the folder names
/// <model>_<seed>/<task>, which AxLSTM's scripts use; without a seed in the name it is 0.
/// Throws Error naming the file(s) for damaged ones and for two of one model, grid, task and seed; UsageError if there
/// are none.
std::vector<SeedScore> collect_scores(const std::vector<std::filesystem::path>& directories);

struct ReportRow {
  std::string group, model;
  std::vector<std::string> facts;  ///< for each of the table's; empty: none
  std::string grid;
  bool published = false;
  std::vector<std::optional<MeanInterval>> scores;  ///< in percent, for each column; none: not evaluated
  std::optional<MeanInterval> s_table;              ///< s(m) with the minima and maxima of this table
  std::optional<MeanInterval> s_published;          ///< s(m) on the paper's scale, for its ten tasks
};

struct ReportTable {
  std::string title;
  std::vector<std::string> facts = {};  ///< names of what stands beside the models, such as settings; texts
  std::vector<std::string> columns;     ///< names of tasks
  std::vector<ReportRow> rows;
  bool of_the_paper = false;  ///< its ten tasks: rows have s_published
};

struct Report {
  std::vector<ReportTable> tables;
  std::vector<std::string> notes;  ///< sentences that belong below the tables
};

struct ReportOptions {
  std::vector<PublishedRow> published = {};  ///< to show beside the scores of the paper's tasks; may be empty
  bool mix_grids = false;
  bool paper_table = true;  ///< the paper's tasks have a table with its columns
};

/// A table of the paper's tasks, if there are scores of any, and one of the others; or one of all. A row is a model and
/// a grid; the interval is over seeds. s(m) = mean over tasks of 100 (x - min) / (max - min), with min and max over the
/// rows of the table, so that it changes when a row is added; rows that lack a task have none. Throws UsageError if the
/// scores are of different grids, the published ones being of `released`, unless mix_grids.
Report make_report(const std::vector<SeedScore>& scores, const ReportOptions& options);

/// Renderings. Terminal and Markdown are UTF-8; LaTeX needs booktabs; the page has its style and plots inside.
std::string terminal_report(const Report& report);
std::string markdown_report(const Report& report);
std::string latex_report(const Report& report);
std::string csv_report(const Report& report);
std::string html_report(const Report& report);

}  // namespace axlstm::report
