// Sizes of the ablations' models.
#include <gtest/gtest.h>

#include <algorithm>

#include "axlstm/core/csv.h"
#include "axlstm/model/encoder.h"
#include "axlstm/objective/objective.h"
#include "axlstm/report/published.h"
#include "axlstm/sweep/plan.h"

namespace axlstm::sweep {
namespace {

std::int64_t parameters_of(const Cell& cell) {
  return model::parameter_count(objective::make_objective(cell.config)->module());
}

/// Positions that are trained, of encoder and decoder; published rows do not count them.
std::int64_t trained_positions(const config::RunConfig& config) {
  if (!config.model.train_positions) return 0;
  return (config.model.class_tokens() + config.model.patches()) * (config.model.dim + config.decoder.dim);
}

TEST(AblationConfigsTest, HaveThePapersParameters) {
  const std::filesystem::path folder = std::filesystem::path(AXLSTM_TEST_DATA).parent_path() / "configs" / "ablation";
  constexpr std::int64_t kE2 = 2'917'408, kE3 = 4'343'584, kE4 = 5'769'760, kSsam = 4'760'512, kSsast = 5'401'024;
  // A patch of P pixels has P·D weights in the embedding, P·D and P biases in the reconstruction; D is 192.
  const auto with_patch = [](std::int64_t parameters, std::int64_t pixels) {
    return parameters + (pixels - 64) * (2 * 192 + 1);
  };
  const std::map<std::string, std::vector<std::int64_t>> expected{
      {"table3", {kSsast, kE2, kE3, kE4, kE2}},
      {"table4",
       {with_patch(kSsast, 128), kSsast, with_patch(kSsast, 32), with_patch(kE2, 128), kE2, with_patch(kE2, 32), kE2}},
      {"table5", {kE2, kE2, kE2, kE2, kE3, kE3, kE3, kE3, kE3}},
      {"mask", {kE3, kE3, kE3, kE3, kE3, kE3}},
      {"real", {kE2, kSsast, kE3, kE2, kE3, kE2, kE3, kSsast}},
      {"backbones", {kE2, kSsast, kE2, kSsast, kE3, kSsam}}};
  for (const auto& [name, counts] : expected) {
    const Plan plan = load_plan(folder / (name + ".yaml"), {});
    for (std::size_t i = 0; i < counts.size(); ++i) {
      SCOPED_TRACE(name + ": " + plan.cells[i].name);
      EXPECT_EQ(parameters_of(plan.cells[i]), counts[i]);
    }
  }
}

TEST(AblationConfigsTest, Table2HasTheElevenModelsWithThePublishedRowsParameters) {
  const auto file = std::filesystem::path(AXLSTM_TEST_DATA).parent_path() / "configs" / "ablation" / "table2.yaml";
  const Plan plan = load_plan(file, {});
  const auto rows = parse_csv(report::table2_csv(), "table2.csv");
  constexpr std::size_t kModel = 1, kMillions = 3;  // columns
  for (const auto& [cell, row] : {std::pair{0, "AxLSTM-T"},
                                  {1, "AxLSTM-S"},
                                  {3, "SSAM-Tiny"},
                                  {4, "SSAM-Small"},
                                  {6, "SSAST-T"},
                                  {7, "SSAST-S"},
                                  {9, "MWMAE-Tiny"}}) {  // B: slow to make
    SCOPED_TRACE(row);
    const auto found = std::find_if(rows.begin(), rows.end(), [name = row](const CsvRow& each) {
      return each.fields.size() > kMillions && each.fields[kModel] == name;
    });
    ASSERT_NE(found, rows.end());
    const Cell& model = plan.cells[static_cast<std::size_t>(cell)];
    EXPECT_NEAR(std::stod(found->fields[kMillions]),
                static_cast<double>(parameters_of(model) - trained_positions(model.config)) / 1e6, 1e-9);
  }
}

}  // namespace
}  // namespace axlstm::sweep
