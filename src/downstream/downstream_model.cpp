#include "axlstm/downstream/downstream_model.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "hidden_unit.h"

namespace axlstm::downstream {

DownstreamRandom::DownstreamRandom(std::uint64_t seed, torch::Device device)
    : cpu_(at::make_generator<at::CPUGeneratorImpl>(seed)), device_(cpu_) {
  if (device.is_cpu()) return;
  const auto& hooks = at::globalContext().getAcceleratorHooksInterface(device.type());
  device_ = hooks.getNewGenerator(device.has_index() ? device.index() : 0);
  device_.set_current_seed(seed);
}

/// For each hidden layer Linear, BatchNorm, Dropout, ReLU in this order, then a Linear to the classes. The inputs are
/// not normalised.
class DownstreamModel {
 public:
  DownstreamModel(std::int64_t D, std::int64_t C, const hear::DownstreamConfig& config, DownstreamRandom& random)
      : dropout_(config.dropout) {
    std::int64_t width = D;
    for (int i = 0; i < config.hidden_layers; ++i) {
      hidden_.push_back({Linear(width, config.hidden_dim, i == 0 ? 1.0 : std::numbers::sqrt2, config, random),
                         {torch::ones({config.hidden_dim}), torch::zeros({config.hidden_dim}),
                          torch::zeros({config.hidden_dim}), torch::ones({config.hidden_dim})}});
      width = config.hidden_dim;
    }
    projection_ = Linear(width, C, config.hidden_layers == 0 ? 1.0 : std::numbers::sqrt2, config, random);
  }

  void to(torch::Device device) {
    for (torch::Tensor* tensor : state()) *tensor = tensor->to(device);
    for (torch::Tensor& parameter : parameters()) parameter.requires_grad_();
  }

  /// [B, D] -> logits [B, C]. Batch statistics and dropout if `random`, running statistics and no dropout if not.
  torch::Tensor forward(torch::Tensor x, DownstreamRandom* random = nullptr) const {
    for (const Hidden& layer : hidden_) {
      x = layer.linear.forward(x);
      x = random != nullptr ? norm_dropout_relu(x, layer.norm, dropout_, random->device())
                            : layer.norm.forward(x, /*training=*/false).relu_();
    }
    return projection_.forward(x);
  }

  /// What the optimiser changes.
  std::vector<torch::Tensor> parameters() const {
    std::vector<torch::Tensor> all;
    for (const Hidden& layer : hidden_) {
      all.insert(all.end(), {layer.linear.weight, layer.linear.bias, layer.norm.weight, layer.norm.bias});
    }
    all.insert(all.end(), {projection_.weight, projection_.bias});
    return all;
  }

  /// Copies of all weights and running statistics.
  std::vector<torch::Tensor> snapshot() {
    std::vector<torch::Tensor> copies;
    for (const torch::Tensor* tensor : state()) copies.push_back(tensor->detach().clone());
    return copies;
  }

  void restore(const std::vector<torch::Tensor>& copies) {
    const torch::NoGradGuard no_grad;
    const auto tensors = state();
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i]->copy_(copies[i]);
  }

 private:
  struct Linear {
    Linear() = default;

    /// The kit draws torch's default weight first and overwrites it; the default bias stays.
    Linear(std::int64_t inputs, std::int64_t outputs, double gain, const hear::DownstreamConfig& config,
           DownstreamRandom& random)
        : weight(torch::empty({outputs, inputs})), bias(torch::empty({outputs})) {
      const double fan_in = static_cast<double>(inputs), fan_out = static_cast<double>(outputs);
      const double bound = 1.0 / std::sqrt(fan_in);
      weight.uniform_(-bound, bound, random.cpu());
      bias.uniform_(-bound, bound, random.cpu());
      const double deviation = gain * std::sqrt(2.0 / (fan_in + fan_out));
      if (config.initialization == hear::Initialization::kXavierNormal) {
        weight.normal_(0.0, deviation, random.cpu());
      } else {
        const double limit = std::sqrt(3.0) * deviation;
        weight.uniform_(-limit, limit, random.cpu());
      }
    }

    torch::Tensor forward(const torch::Tensor& x) const { return torch::linear(x, weight, bias); }

    torch::Tensor weight, bias;
  };

  struct Hidden {
    Linear linear;
    BatchNorm norm;
  };

  std::vector<torch::Tensor*> state() {
    std::vector<torch::Tensor*> all;
    for (Hidden& layer : hidden_) {
      all.insert(all.end(), {&layer.linear.weight, &layer.linear.bias, &layer.norm.weight, &layer.norm.bias,
                             &layer.norm.running_mean, &layer.norm.running_var});
    }
    all.insert(all.end(), {&projection_.weight, &projection_.bias});
    return all;
  }

  double dropout_;
  std::vector<Hidden> hidden_;
  Linear projection_;
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
void draw_loader_seed(DownstreamRandom& random) { torch::empty({}, torch::kInt64).random_(random.cpu()); }

torch::Tensor loss_of(const torch::Tensor& logits, const torch::Tensor& targets, const DownstreamObjective& objective) {
  if (objective.prediction_type == hear::PredictionType::kMultilabel) {
    return torch::binary_cross_entropy_with_logits(logits, targets);
  }
  return torch::cross_entropy_loss(logits, targets.argmax(1));
}

std::int64_t row_count(const std::vector<SplitData>& splits) {
  std::int64_t rows = 0;
  for (const SplitData& split : splits) rows += split.embeddings.size(0);
  return rows;
}

/// Rows first … first + count - 1 of the splits, one after the other. Always copied: matrix products round differently
/// at other alignments, and the kit's batches are new tensors too.
torch::Tensor gather(const std::vector<SplitData>& splits, torch::Tensor SplitData::*table, std::int64_t first,
                     std::int64_t count) {
  std::vector<torch::Tensor> pieces;
  for (const SplitData& split : splits) {
    const torch::Tensor& rows = split.*table;
    const std::int64_t N = rows.size(0);
    const std::int64_t begin = std::clamp<std::int64_t>(first, 0, N);
    const std::int64_t end = std::clamp<std::int64_t>(first + count, 0, N);
    if (begin < end) pieces.push_back(rows.narrow(0, begin, end - begin));
    first -= N;
  }
  return torch::cat(pieces);
}

/// Calls `use(embeddings [b, D], targets [b, C])` for consecutive batches.
template <typename Use>
void for_each_batch(const std::vector<SplitData>& splits, std::int64_t batch_size, Use&& use) {
  const std::int64_t N = row_count(splits);
  for (std::int64_t first = 0; first < N; first += batch_size) {
    const std::int64_t count = std::min(batch_size, N - first);
    use(gather(splits, &SplitData::embeddings, first, count), gather(splits, &SplitData::targets, first, count));
  }
}

void train_epoch(DownstreamModel& model, Adam& adam, const hear::DownstreamConfig& config,
                 const DownstreamObjective& objective, const std::vector<SplitData>& train, DownstreamRandom& random) {
  draw_loader_seed(random);
  for_each_batch(train, config.batch_size, [&](const torch::Tensor& embeddings, const torch::Tensor& targets) {
    loss_of(model.forward(embeddings, &random), targets, objective).backward();
    adam.step();
  });
}

struct Predicted {
  torch::Tensor predictions;  // [N, C] float32 probabilities on the CPU, contiguous
  double loss = 0.0;
  torch::Tensor logits;  // [N, C] float32 on the model's device
};

Predicted predict(const DownstreamModel& model, const hear::DownstreamConfig& config,
                  const DownstreamObjective& objective, const SplitData& data, DownstreamRandom& random) {
  const torch::NoGradGuard no_grad;
  draw_loader_seed(random);
  std::vector<torch::Tensor> batches;
  for_each_batch({data}, config.batch_size, [&](const torch::Tensor& embeddings, const torch::Tensor&) {
    batches.push_back(model.forward(embeddings));
  });
  const torch::Tensor logits = torch::cat(batches);
  const bool multilabel = objective.prediction_type == hear::PredictionType::kMultilabel;
  return {(multilabel ? logits.sigmoid() : logits.softmax(1)).cpu().contiguous(),
          loss_of(logits, data.targets, objective).item<double>(), logits};
}

void check_batches(const hear::DownstreamConfig& config, std::int64_t rows) {
  AXLSTM_CHECK(config.hidden_layers == 0 || rows % config.batch_size != 1, rows, " training rows in batches of ",
               config.batch_size, " leave a last batch of one row, which batch normalisation cannot take");
}

}  // namespace

DownstreamFit fit_downstream_model(const hear::DownstreamConfig& config, const DownstreamObjective& objective,
                                   const std::vector<SplitData>& train, const SplitData& valid,
                                   DownstreamRandom& random, const std::atomic<bool>* stop) {
  check_batches(config, row_count(train));
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t D = valid.embeddings.size(1);
  DownstreamFit fit;
  fit.model = std::make_shared<DownstreamModel>(D, valid.targets.size(1), config, random);
  torch::rand({64, D}, random.cpu());  // the kit prints a summary of the model, which draws an input batch
  fit.model->to(valid.embeddings.device());
  Adam adam(fit.model->parameters(), config.lr);

  const double worst = std::numeric_limits<double>::infinity() * (objective.maximize() ? -1.0 : 1.0);
  std::optional<std::vector<torch::Tensor>> best_weights;
  double best = worst;
  int validations_without_gain = 0;
  for (int epoch = 0; epoch < config.max_epochs; ++epoch) {
    if (stop != nullptr && *stop) throw Interrupted("stopped");
    train_epoch(*fit.model, adam, config, objective, train, random);
    if ((epoch + 1) % config.check_val_every_n_epoch != 0) continue;

    const Predicted predicted = predict(*fit.model, config, objective, valid, random);
    const bool scored = !objective.monitor_loss || !objective.postprocessing.empty();
    const PrimaryScore score = scored ? primary_score(objective, predicted.predictions, valid) : PrimaryScore{};
    const double value = objective.monitor_loss ? predicted.loss : score.value;
    const bool gained = objective.is_better(value, best);
    if (gained || !best_weights) {
      best = std::isnan(value) ? worst : value;
      best_weights = fit.model->snapshot();
      fit.epoch = epoch;
      fit.postprocessing = score.postprocessing;
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

DownstreamTest test_downstream_model(const DownstreamFit& fit, const hear::DownstreamConfig& config,
                                     const DownstreamObjective& objective, const SplitData& test,
                                     DownstreamRandom& random) {
  const Predicted predicted = predict(*fit.model, config, objective, test, random);
  DownstreamTest result{{{"loss", predicted.loss}}, predicted.predictions, predicted.logits.cpu()};
  for (auto& score : all_scores(objective, predicted.predictions, test, fit.postprocessing)) {
    result.values.push_back(score);
  }
  return result;
}

}  // namespace axlstm::downstream
