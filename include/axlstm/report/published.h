// Table 2 of the AxLSTM paper: its ten tasks and the scores of the models in it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace axlstm::report {

/// A column of the table.
struct PaperTask {
  std::string_view column;       ///< as printed, such as "BO"
  std::string_view folder;       ///< how the task's folder name begins
  std::string_view folder_mode;  ///< how it ends; empty: in any way
  double published_range;        ///< max - min of the scores that the printed s(m) were made from, in percent
};

/// The ten tasks in the table's order.
std::span<const PaperTask> paper_tasks();

/// The place of a task folder among paper_tasks(), if it is one of them.
std::optional<std::size_t> paper_task_of(std::string_view task_folder);

/// s(m) on the paper's own scale from scores in percent for each of paper_tasks(). The minima and maxima of Table 2 do
/// not reproduce its printed s(m), for the authors compared more models than they print: this scale is a least-squares
/// fit to the 20 printed values, which it meets within 0.1.
double published_s(std::span<const double> scores);

struct PublishedValue {
  double mean = 0.0;
  double half_width = 0.0;  ///< of the 95 % interval
};

struct PublishedRow {
  std::string group, model;
  std::vector<PublishedValue> scores;  ///< in percent, for each of paper_tasks()
  PublishedValue s;                    ///< s(m) as printed
};

/// Reads text in the form of configs/hear/table2.csv; lines that begin with # are comments. `source` names it in
/// errors. Throws Error naming line and column.
std::vector<PublishedRow> parse_published(std::string_view text, const std::string& source);

/// configs/hear/table2.csv as it was when the program was built.
const char* table2_csv();

}  // namespace axlstm::report
