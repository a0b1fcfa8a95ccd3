// Scores of a sweep → the table of an ablation.
#pragma once

#include <cstdint>
#include <functional>

#include "axlstm/report/report.h"
#include "axlstm/sweep/plan.h"

namespace axlstm::sweep {

struct TableOptions {
  /// Parameters of a cell's model; called once for each cell.
  std::function<std::int64_t(const config::RunConfig&)> parameters;
  std::vector<report::PublishedRow> published = {};  ///< as in report::ReportOptions
};

/// A row for each cell and layout that has scores, in the plan's order, with the cell's settings (plan.columns), its
/// parameters and the paper's s(m). With several pre-training seeds a value is the mean over seeds of the downstream
/// models, and the interval is over the pre-trainings; with one, over the downstream seeds.
/// Fine-tuned encoders have tables of their own behind these.
/// Throws UsageError if there are no scores yet.
report::Report make_table(const Plan& plan, const TableOptions& options);

}  // namespace axlstm::sweep
