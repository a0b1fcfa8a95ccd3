#include "axlstm/hear/probe.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/hear/metrics.h"

namespace axlstm::hear {

/// For each hidden layer Linear, BatchNorm, Dropout, ReLU in this order, then a Linear to the classes. The inputs are
/// not normalised.
class ProbeModel : public torch::nn::Module {
 public:
  ProbeModel(std::int64_t D, std::int64_t C, const ProbeConfig& config) {
    std::int64_t width = D;
    for (int i = 0; i < config.hidden_layers; ++i) {
      layers_->push_back(make_linear(width, config.hidden_dim, i == 0 ? 1.0 : std::numbers::sqrt2, config));
      layers_->push_back(torch::nn::BatchNorm1d(config.hidden_dim));
      layers_->push_back(torch::nn::Dropout(config.dropout));
      layers_->push_back(torch::nn::ReLU());
      width = config.hidden_dim;
    }
    const double gain = config.hidden_layers == 0 ? 1.0 : std::numbers::sqrt2;
    layers_->push_back(make_linear(width, C, gain, config));
    register_module("layers", layers_);
  }

  /// [B, D] -> logits [B, C]
  torch::Tensor forward(const torch::Tensor& embeddings) { return layers_->forward(embeddings); }

  /// Copies of all parameters and buffers.
  std::vector<torch::Tensor> snapshot() const {
    std::vector<torch::Tensor> copies;
    for (const auto& tensor : state()) copies.push_back(tensor.detach().clone());
    return copies;
  }

  void restore(const std::vector<torch::Tensor>& copies) {
    const torch::NoGradGuard no_grad;
    auto tensors = state();
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].copy_(copies[i]);
  }

 private:
  /// The default weight is drawn and then overwritten: the kit's generator is advanced by it. The bias stays.
  static torch::nn::Linear make_linear(std::int64_t inputs, std::int64_t outputs, double gain,
                                       const ProbeConfig& config) {
    torch::nn::Linear linear(inputs, outputs);
    if (config.initialization == Initialization::kXavierUniform) {
      torch::nn::init::xavier_uniform_(linear->weight, gain);
    } else {
      torch::nn::init::xavier_normal_(linear->weight, gain);
    }
    return linear;
  }

  std::vector<torch::Tensor> state() const {
    std::vector<torch::Tensor> tensors = parameters();
    for (const auto& buffer : buffers()) tensors.push_back(buffer);
    return tensors;
  }

  torch::nn::Sequential layers_;
};

namespace {

/// Adam with the operations of PyTorch's Python implementation in their order; LibTorch's own rounds differently.
class Adam {
 public:
  Adam(std::vector<torch::Tensor> parameters, double lr) : parameters_(std::move(parameters)), lr_(lr) {
    for (const auto& parameter : parameters_) {
      exp_avg_.push_back(torch::zeros_like(parameter));
      exp_avg_sq_.push_back(torch::zeros_like(parameter));
    }
  }

  /// Uses the gradients and removes them.
  void step() {
    constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEps = 1e-8;
    const torch::NoGradGuard no_grad;
    ++steps_;
    const double correction1 = 1.0 - std::pow(kBeta1, steps_);
    const double correction2 = 1.0 - std::pow(kBeta2, steps_);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      const torch::Tensor gradient = parameters_[i].grad();
      exp_avg_[i].lerp_(gradient, 1.0 - kBeta1);
      exp_avg_sq_[i].mul_(kBeta2).addcmul_(gradient, gradient, 1.0 - kBeta2);
      const torch::Tensor denominator = (exp_avg_sq_[i].sqrt() / std::sqrt(correction2)).add_(kEps);
      parameters_[i].addcdiv_(exp_avg_[i], denominator, -(lr_ / correction1));
      parameters_[i].mutable_grad().reset();
    }
  }

 private:
  std::vector<torch::Tensor> parameters_, exp_avg_, exp_avg_sq_;
  double lr_;
  double steps_ = 0.0;
};

/// The kit's data loaders draw one 64-bit seed whenever they are iterated over.
void draw_loader_seed() { torch::empty({}, torch::kInt64).random_(); }

torch::Tensor loss_of(const torch::Tensor& logits, const torch::Tensor& targets, const ProbeObjective& objective) {
  if (objective.prediction_type == PredictionType::kMultilabel) {
    return torch::binary_cross_entropy_with_logits(logits, targets);
  }
  return torch::cross_entropy_loss(logits, targets.argmax(1));
}

/// Calls `use(embeddings [b, D], targets [b, C])` for consecutive batches.
template <typename Use>
void for_each_batch(const ProbeData& data, std::int64_t batch_size, Use&& use) {
  const std::int64_t N = data.embeddings.size(0);
  for (std::int64_t first = 0; first < N; first += batch_size) {
    const std::int64_t count = std::min(batch_size, N - first);
    use(data.embeddings.narrow(0, first, count), data.targets.narrow(0, first, count));
  }
}

void train_epoch(ProbeModel& model, Adam& adam, const ProbeConfig& config, const ProbeObjective& objective,
                 const ProbeData& train) {
  draw_loader_seed();
  model.train();
  for_each_batch(train, config.batch_size, [&](const torch::Tensor& embeddings, const torch::Tensor& targets) {
    loss_of(model.forward(embeddings), targets, objective).backward();
    adam.step();
  });
}

/// Predictions for all rows of a data set, and its loss.
struct Evaluated {
  torch::Tensor predictions, targets;  // [N, C] float32 on the CPU, contiguous
  double loss = 0.0;

  /// As the kit logs it: a Python float becomes float32, d_prime alone stays float64.
  double score(const std::string& name) const {
    const auto span = [](const torch::Tensor& table) {
      return std::span<const float>(table.const_data_ptr<float>(), static_cast<std::size_t>(table.numel()));
    };
    const double value = hear::score(name, {span(predictions), span(targets), targets.size(1)});
    return name == "d_prime" ? value : static_cast<double>(static_cast<float>(value));
  }
};

Evaluated evaluate(ProbeModel& model, const ProbeConfig& config, const ProbeObjective& objective,
                   const ProbeData& data) {
  const torch::NoGradGuard no_grad;
  draw_loader_seed();
  model.eval();
  std::vector<torch::Tensor> batches;
  for_each_batch(data, config.batch_size, [&](const torch::Tensor& embeddings, const torch::Tensor&) {
    batches.push_back(model.forward(embeddings));
  });
  const torch::Tensor logits = torch::cat(batches);
  const bool multilabel = objective.prediction_type == PredictionType::kMultilabel;
  return {(multilabel ? logits.sigmoid() : logits.softmax(1)).cpu().contiguous(), data.targets.cpu().contiguous(),
          loss_of(logits, data.targets, objective).item<double>()};
}

void check_batches(const ProbeConfig& config, std::int64_t rows) {
  AXLSTM_CHECK(config.hidden_layers == 0 || rows % config.batch_size != 1, rows, " training rows in batches of ",
               config.batch_size, " leave a last batch of one row, which batch normalisation cannot take");
}

/// All combinations in ParameterGrid's order: names sorted, the last one (patience) changing fastest.
struct GridTable {
  std::vector<int> check_val_every_n_epoch{3};
  std::vector<double> dropout{0.1};
  std::vector<int> hidden_dim{1024};
  std::vector<int> hidden_layers{1, 2};
  std::vector<Initialization> initialization{Initialization::kXavierUniform, Initialization::kXavierNormal};
  std::vector<double> lr{3.2e-3, 1e-3, 3.2e-4, 1e-4};
  std::vector<int> max_epochs{500};
  std::vector<int> patience{20};

  std::vector<ProbeConfig> points() const {
    std::vector<ProbeConfig> grid{ProbeConfig{}};
    vary(grid, &ProbeConfig::check_val_every_n_epoch, check_val_every_n_epoch);
    vary(grid, &ProbeConfig::dropout, dropout);
    vary(grid, &ProbeConfig::hidden_dim, hidden_dim);
    vary(grid, &ProbeConfig::hidden_layers, hidden_layers);
    vary(grid, &ProbeConfig::initialization, initialization);
    vary(grid, &ProbeConfig::lr, lr);
    vary(grid, &ProbeConfig::max_epochs, max_epochs);
    vary(grid, &ProbeConfig::patience, patience);
    return grid;
  }

 private:
  /// Replaces each point by one for every value of a field.
  template <typename T>
  static void vary(std::vector<ProbeConfig>& grid, T ProbeConfig::*field, const std::vector<T>& values) {
    std::vector<ProbeConfig> finer;
    for (const ProbeConfig& point : grid) {
      for (const T& value : values) finer.emplace_back(point).*field = value;
    }
    grid = std::move(finer);
  }
};

}  // namespace

std::vector<ProbeConfig> grid_points(const std::string& name) {
  GridTable table;
  if (name == "default") return table.points();
  if (name == "released") {
    table.hidden_layers = {1};
    table.dropout = {0.1, 0.25};
    table.lr = {1e-4};
    table.initialization = {Initialization::kXavierNormal};
    return table.points();
  }
  if (name == "fast") {
    table.max_epochs = {10, 50};
    table.check_val_every_n_epoch = {3, 10};
    return table.points();
  }
  if (name == "faster") {
    table.hidden_layers = {0, 1};
    table.hidden_dim = {64, 128};
    table.patience = {1, 3};
    table.max_epochs = {10};
    table.check_val_every_n_epoch = {1};
    return table.points();
  }
  throw UsageError(str("grid \"", name, "\" is not known; known: released, default, fast, faster"));
}

ProbeFit fit_probe(const ProbeConfig& config, const ProbeObjective& objective, const ProbeData& train,
                   const ProbeData& valid) {
  check_batches(config, train.embeddings.size(0));
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t D = train.embeddings.size(1);
  ProbeFit fit;
  fit.model = std::make_shared<ProbeModel>(D, train.targets.size(1), config);
  torch::rand({64, D});  // the kit prints a summary of the model, which draws an input batch
  fit.model->to(train.embeddings.device());
  Adam adam(fit.model->parameters(), config.lr);

  const double worst = std::numeric_limits<double>::infinity() * (objective.monitor_loss ? 1.0 : -1.0);
  std::optional<std::vector<torch::Tensor>> best_weights;
  double best = worst;
  int validations_without_gain = 0;
  for (int epoch = 0; epoch < config.max_epochs; ++epoch) {
    train_epoch(*fit.model, adam, config, objective, train);
    if ((epoch + 1) % config.check_val_every_n_epoch != 0) continue;

    const Evaluated evaluated = evaluate(*fit.model, config, objective, valid);
    const double value = objective.monitor_loss ? evaluated.loss : evaluated.score(objective.scores.front());
    const bool gained = objective.is_better(value, best);
    if (gained || !best_weights) {
      best = std::isnan(value) ? worst : value;
      best_weights = fit.model->snapshot();
      fit.epoch = epoch;
    }
    if (!std::isfinite(value)) {
      log::warn(str("the validation score of epoch ", epoch, " is ", value,
                    ": training of this model stops here, as in the official kit"));
      break;
    }
    validations_without_gain = gained ? 0 : validations_without_gain + 1;
    if (validations_without_gain >= config.patience) break;
  }
  AXLSTM_CHECK(best_weights, "no epoch was validated: ", config.max_epochs, " epochs, validation every ",
               config.check_val_every_n_epoch);
  fit.model->restore(*best_weights);
  fit.validation_score = best;
  fit.minutes = std::chrono::duration<double, std::ratio<60>>(std::chrono::steady_clock::now() - start).count();
  return fit;
}

std::vector<std::pair<std::string, double>> test_probe(const ProbeFit& fit, const ProbeConfig& config,
                                                       const ProbeObjective& objective, const ProbeData& test) {
  const Evaluated evaluated = evaluate(*fit.model, config, objective, test);
  std::vector<std::pair<std::string, double>> values{{"loss", evaluated.loss}};
  for (const std::string& name : objective.scores) values.emplace_back(name, evaluated.score(name));
  return values;
}

}  // namespace axlstm::hear
