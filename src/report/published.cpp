#include "axlstm/report/published.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "axlstm/core/csv.h"
#include "axlstm/core/error.h"

namespace axlstm::report {
namespace {

constexpr std::array<PaperTask, 10> kPaperTasks{{{"BO", "beijing_opera-", "", 51.4},
                                                 {"Mri-S", "mridangam_stroke-", "", 59.5},
                                                 {"Mri-T", "mridangam_tonic-", "", 66.1},
                                                 {"NS-5h", "nsynth_pitch-", "-5h", 68.1},
                                                 {"CD", "tfds_crema_d-", "", 45.4},
                                                 {"LC", "libricount-", "", 38.3},
                                                 {"SC-5h", "speech_commands-", "-5h", 85.5},
                                                 {"VL", "vox_lingua_top10-", "", 57.8},
                                                 {"E50", "esc50-", "", 90.0},
                                                 {"F50K", "fsd50k-", "", 56.8}}};
constexpr double kPublishedOffset = -40.15;
constexpr const char* kSColumn = "s(m)";

/// A CSV file with named columns.
class Columns {
 public:
  Columns(const std::vector<CsvRow>& rows, std::string source) : rows_(rows), source_(std::move(source)) {
    AXLSTM_CHECK(!rows_.empty(), source_, ": empty");
  }

  const std::string& text(std::size_t row, const std::string& column) const {
    const auto& header = rows_.front().fields;
    const auto found = std::find(header.begin(), header.end(), column);
    AXLSTM_CHECK(found != header.end(), source_, ": no column \"", column, "\"");
    const auto& [line, fields] = rows_[row];
    AXLSTM_CHECK(fields.size() == header.size(), source_, ":", line, ": ", fields.size(), " fields, the header has ",
                 header.size());
    return fields[static_cast<std::size_t>(found - header.begin())];
  }

  PublishedValue value(std::size_t row, const std::string& column) const {
    return {number(row, column), number(row, column + "_ci95")};
  }

 private:
  double number(std::size_t row, const std::string& column) const {
    const std::string& field = text(row, column);
    double value = 0.0;
    const auto [end, failure] = std::from_chars(field.data(), field.data() + field.size(), value);
    AXLSTM_CHECK(failure == std::errc() && end == field.data() + field.size(), source_, ":", rows_[row].line, ": ",
                 column, " \"", field, "\" is no number");
    return value;
  }

  const std::vector<CsvRow>& rows_;
  std::string source_;
};

}  // namespace

std::span<const PaperTask> paper_tasks() { return kPaperTasks; }

std::optional<std::size_t> paper_task_of(std::string_view task_folder) {
  for (std::size_t i = 0; i < kPaperTasks.size(); ++i) {
    if (task_folder.starts_with(kPaperTasks[i].folder) && task_folder.ends_with(kPaperTasks[i].folder_mode)) return i;
  }
  return {};
}

double published_s(std::span<const double> scores) {
  AXLSTM_CHECK(scores.size() == kPaperTasks.size(), "s(m) needs the scores of ", kPaperTasks.size(), " tasks, got ",
               scores.size());
  double s = kPublishedOffset;
  for (std::size_t i = 0; i < scores.size(); ++i) s += 10.0 * scores[i] / kPaperTasks[i].published_range;
  return s;
}

std::vector<PublishedRow> parse_published(std::string_view text, const std::string& source) {
  std::vector<CsvRow> rows = parse_csv(text, source);
  std::erase_if(rows, [](const CsvRow& row) { return row.fields.front().starts_with('#'); });
  const Columns columns(rows, source);
  std::vector<PublishedRow> published;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    PublishedRow row{columns.text(i, "group"), columns.text(i, "model"), {}, columns.value(i, kSColumn)};
    for (const PaperTask& task : kPaperTasks) row.scores.push_back(columns.value(i, std::string(task.column)));
    published.push_back(std::move(row));
  }
  return published;
}

}  // namespace axlstm::report
