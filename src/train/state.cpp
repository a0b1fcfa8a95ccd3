#include "axlstm/train/state.h"

#include <torch/torch.h>

#include <cmath>

#include "axlstm/core/log.h"
#include "axlstm/core/random.h"
#include "axlstm/model/blocks.h"
#include "axlstm/objective/classification.h"
#include "axlstm/train/initial_weights.h"

namespace axlstm::train {
namespace {

std::unique_ptr<objective::Objective> build(const config::RunConfig& config, const runtime::Arithmetic& arithmetic) {
  const auto plan = model::kernel_plan(config.model, arithmetic);
  if (!plan.warning.empty()) log::warn_for_run(plan.warning);
  torch::manual_seed(derive_seed({static_cast<std::uint64_t>(config.train.seed), kInitStream}));
  auto objective = objective::make_objective(config);
  objective->module().to(arithmetic.device);
  return objective;
}

std::map<std::string, torch::Tensor> as_map(const checkpoints::NamedTensors& tensors) {
  return {tensors.begin(), tensors.end()};
}

}  // namespace

State::State(const config::RunConfig& config, const runtime::Arithmetic& arithmetic)
    : objective(build(config, arithmetic)),
      optimizer(module(), config.optim),
      scaler(arithmetic.device, arithmetic.precision == runtime::Precision::kFp16),
      ema(module(), config.train.ema_decay) {}

checkpoints::Checkpoint State::checkpoint(const std::string& config_yaml, const std::string& data_fingerprint) const {
  auto optimizer_state = optimizer.state();
  for (auto& tensor : scaler.state()) optimizer_state.push_back(std::move(tensor));
  return {.step = step,
          .model = as_map(checkpoints::state_dict(module())),
          .optimizer = as_map(optimizer_state),
          .config_yaml = config_yaml,
          .data_fingerprint = data_fingerprint,
          .skipped_steps = skipped_steps,
          .skipped_in_a_row = skipped_in_a_row,
          .ema = as_map(ema.state()),
          .best_step = best_step,
          .best_score = best_score};
}

void State::load(const checkpoints::Checkpoint& checkpoint, const std::string& source) {
  checkpoints::load_state_dict(module(), checkpoint.model, source);
  optimizer.load_state(checkpoint.optimizer, source);
  scaler.load_state(checkpoint.optimizer, source);
  ema.load_state(checkpoint.ema, source);
  step = resumed_step = checkpoint.step;
  skipped_steps = checkpoint.skipped_steps;
  skipped_in_a_row = checkpoint.skipped_in_a_row;
  best_step = checkpoint.best_step;
  best_score = checkpoint.best_score;
}

void State::note_score(double score) {
  if (skipped_in_a_row > 0 || std::isnan(score) || (best_step >= 0 && score <= best_score)) return;
  best_step = step;
  best_score = score;
}

void State::begin_with_encoder(const config::RunConfig& config) {
  auto* classification = objective->classification();
  if (!classification) return;
  load_encoder(*classification, config);
  ema = Ema(module(), config.train.ema_decay);
}

void State::share_best(distributed::ProcessGroup& group) {
  const auto best = torch::tensor({static_cast<double>(best_step), best_score}, torch::kFloat64).to(group.device());
  group.broadcast({best});
  const auto on_cpu = best.cpu();
  best_step = static_cast<std::int64_t>(on_cpu[0].item<double>());
  best_score = on_cpu[1].item<double>();
}

void State::share(distributed::ProcessGroup& group) {
  const auto counters =
      torch::tensor({step, resumed_step, skipped_steps, skipped_in_a_row, best_step}, torch::kInt64).to(group.device());
  const auto score = torch::full({1}, best_score, torch::dtype(torch::kFloat64).device(group.device()));
  std::vector<torch::Tensor> tensors{counters, score};
  for (const auto& state : {checkpoints::state_dict(module()), optimizer.state(), scaler.state(), ema.state()}) {
    for (const auto& [name, tensor] : state) tensors.push_back(tensor);
  }
  group.broadcast(tensors);
  const auto on_cpu = counters.cpu();
  const auto* values = on_cpu.const_data_ptr<std::int64_t>();
  step = values[0];
  resumed_step = values[1];
  skipped_steps = values[2];
  skipped_in_a_row = values[3];
  best_step = values[4];
  best_score = score.item<double>();
}

}  // namespace axlstm::train
