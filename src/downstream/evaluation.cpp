#include "axlstm/downstream/evaluation.h"

#include <cmath>
#include <limits>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/hear/python_random.h"
#include "axlstm/hear/score_file.h"
#include "hear/python_json.h"
#include "predictions_file.h"

namespace axlstm::downstream {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// The grid points that are tried, in their order.
std::vector<hear::DownstreamConfig> points_to_try(const hear::TaskMetadata& metadata,
                                                  const EvaluationOptions& options) {
  AXLSTM_CHECK(options.max_grid_points > 0, "grid points: ", options.max_grid_points, " is not positive");
  std::vector<hear::DownstreamConfig> grid = hear::grid_points(options.grid, metadata);
  hear::PythonRandom(options.seed).shuffle(grid);
  if (grid.size() > static_cast<std::size_t>(options.max_grid_points)) {
    grid.resize(static_cast<std::size_t>(options.max_grid_points));
  }
  return grid;
}

FoldScores test_fold(const DownstreamFit& fit, const hear::DownstreamConfig& config,
                     const DownstreamObjective& objective, const TaskData& data, const hear::SplitPlan& plan,
                     DownstreamRandom& random, const EvaluationOptions& options) {
  FoldScores fold;
  fold.name = plan.test.front();
  const SplitData& split = data.split(fold.name);
  const DownstreamTest tested = test_downstream_model(fit, config, objective, split, random);
  for (const auto& [name, value] : tested.values) {
    fold.values.emplace_back("test_" + name, value);
    if (name == "loss") fold.values.emplace_back("test_score", tested.values.at(1).second);
  }
  if (options.predictions) {
    options.predictions(
        fold.name, predictions_pickle(tested.predictions, tested.logits, split, data.labels(), fit.postprocessing));
  }
  fold.validation_score = fit.validation_score;
  fold.epoch = fit.epoch;
  fold.minutes = fit.minutes;
  return fold;
}

/// What the score file lists for a fold, in its order.
std::vector<std::pair<std::string, double>> numbers_of(const FoldScores& fold) {
  auto numbers = fold.values;
  numbers.emplace_back("validation_score", fold.validation_score);
  numbers.emplace_back("epoch", fold.epoch);
  numbers.emplace_back("time_in_min", fold.minutes);
  return numbers;
}

/// Mean and sample standard deviation over folds, as pandas computes them: NaN values are left out.
std::pair<double, double> mean_and_deviation(const std::vector<double>& values) {
  double sum = 0.0;
  double count = 0.0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    count += 1.0;
  }
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const double mean = count > 0.0 ? sum / count : kNaN;
  double squares = 0.0;
  for (const double value : values) {
    if (!std::isnan(value)) squares += (mean - value) * (mean - value);
  }
  return {mean, count > 1.0 ? std::sqrt(squares / (count - 1.0)) : kNaN};
}

ordered_json aggregate(const std::vector<FoldScores>& folds) {
  ordered_json aggregated;
  const auto names = numbers_of(folds.front());
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::vector<double> values;
    values.reserve(folds.size());
    for (const FoldScores& fold : folds) values.push_back(numbers_of(fold)[i].second);
    const auto [mean, deviation] = mean_and_deviation(values);
    aggregated[names[i].first + "_mean"] = mean;
    aggregated[names[i].first + "_std"] = deviation;
  }
  return aggregated;
}

/// The grid point with the kit's names for what never varies.
ordered_json to_json(const hear::DownstreamConfig& config) {
  const bool uniform = config.initialization == hear::Initialization::kXavierUniform;
  return {{"batch_size", config.batch_size},
          {"check_val_every_n_epoch", config.check_val_every_n_epoch},
          {"dropout", config.dropout},
          {"embedding_norm", "<class 'torch.nn.modules.linear.Identity'>"},
          {"hidden_dim", config.hidden_dim},
          {"hidden_layers", config.hidden_layers},
          {"hidden_norm", "<class 'torch.nn.modules.batchnorm.BatchNorm1d'>"},
          {"initialization", uniform ? "<function xavier_uniform_>" : "<function xavier_normal_>"},
          {"lr", config.lr},
          {"max_epochs", config.max_epochs},
          {"norm_after_activation", false},
          {"optim", "<class 'torch.optim.adam.Adam'>"},
          {"patience", config.patience}};
}

/// `[["median_filter_ms", 250], ["min_duration", 125]]`; whole numbers without a point, as HEAR's metadata has them.
ordered_json to_json(const hear::Postprocessing& postprocessing) {
  const auto number = [](double value) -> ordered_json {
    if (value == std::floor(value)) return static_cast<std::int64_t>(value);
    return value;
  };
  // Pairs, which an initialiser list alone would make the members of an object.
  return ordered_json::array({ordered_json::array({"median_filter_ms", number(postprocessing.median_filter_ms)}),
                              ordered_json::array({"min_duration", number(postprocessing.min_duration_ms)})});
}

}  // namespace

double TaskScores::test_score() const {
  double sum = 0.0;
  for (const FoldScores& fold : folds) sum += fold.values.at(1).second;
  return sum / static_cast<double>(folds.size());
}

TaskScores evaluate_task(const TaskData& data, const EvaluationOptions& options) {
  const DownstreamObjective objective = objective_of(data.metadata());
  const std::vector<hear::DownstreamConfig> grid = points_to_try(data.metadata(), options);
  const std::vector<hear::SplitPlan> plans = hear::plan_splits(data.metadata());
  DownstreamRandom random(options.seed, data.device());

  const int total = static_cast<int>(grid.size() + plans.size()) - 1;
  int done = 0;
  const auto fit_plan = [&](const hear::DownstreamConfig& config, const hear::SplitPlan& plan) {
    DownstreamFit fit = fit_downstream_model(config, objective, data.splits(plan.train), data.split(plan.valid.front()),
                                             random, options.stop);
    if (options.progress) options.progress(++done, total);
    return fit;
  };

  TaskScores scores{data.directory(), grid.front(), {}, objective.maximize(), {}};
  std::vector<DownstreamFit> fits{fit_plan(grid.front(), plans.front())};
  for (std::size_t i = 1; i < grid.size(); ++i) {
    DownstreamFit fit = fit_plan(grid[i], plans.front());
    if (objective.is_better(fit.validation_score, fits.front().validation_score)) {
      fits.front() = std::move(fit);
      scores.config = grid[i];
    }
  }
  scores.postprocessing = fits.front().postprocessing;
  for (std::size_t i = 1; i < plans.size(); ++i) fits.push_back(fit_plan(scores.config, plans[i]));
  for (std::size_t i = 0; i < plans.size(); ++i) {
    scores.folds.push_back(test_fold(fits[i], scores.config, objective, data, plans[i], random, options));
  }
  return scores;
}

void write_scores(const TaskScores& scores, const fs::path& directory) {
  ordered_json file;
  for (const FoldScores& fold : scores.folds) {
    ordered_json& entry = file[fold.name];
    for (const auto& [name, value] : numbers_of(fold)) entry[name] = value;
    entry["epoch"] = fold.epoch;
  }
  if (scores.folds.size() > 1) file["aggregated_scores"] = aggregate(scores.folds);
  file["hparams"] = to_json(scores.config);
  file["postprocessing"] = scores.postprocessing ? to_json(*scores.postprocessing) : ordered_json::array();
  file["score_mode"] = scores.maximize ? "max" : "min";
  file["embedding_path"] = scores.embeddings_dir.string();
  write_file_atomic(directory / hear::kScoreFile, hear::python_json(file, 4));
}

}  // namespace axlstm::downstream
