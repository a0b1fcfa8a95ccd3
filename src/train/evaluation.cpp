#include "axlstm/train/evaluation.h"

#include <torch/torch.h>

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/data/whole_clips.h"

namespace axlstm::train {
namespace {

constexpr std::int64_t kCropsAtOnce = 64;
constexpr std::size_t kNamed = 5;
constexpr double kSmallestLog = -100;  // as LibTorch's binary cross-entropy has it

std::span<const float> span_of(const torch::Tensor& table) {
  return {table.const_data_ptr<float>(), static_cast<std::size_t>(table.numel())};
}

double loss_of(const torch::Tensor& probabilities, const torch::Tensor& targets, bool exclusive) {
  if (!exclusive) return torch::binary_cross_entropy(probabilities, targets).item<double>();
  return -(targets * probabilities.log().clamp_min(kSmallestLog)).sum(-1).mean().item<double>();
}

}  // namespace

data::ClipClasses classes_of_clips(const data::ClipSource& clips, const data::ClassList& classes,
                                   objective::Targets targets) {
  data::ClipClasses all;
  for (std::int64_t clip = 0; clip < clips.size(); ++clip) {
    const std::string labels = clips.labels(clip), id = clips.id(clip);
    if (targets == objective::Targets::kMulticlass) {
      all.add({classes.only(labels, id)});
    } else {
      all.add(classes.all(labels, id));
    }
  }
  return all;
}

void warn_of_missing_classes(const data::ClipClasses& classes_of_clips, const data::ClassList& classes,
                             const std::string& source) {
  std::vector<bool> found(static_cast<std::size_t>(classes.size()), false);
  for (std::int64_t clip = 0; clip < classes_of_clips.size(); ++clip)
    for (const std::int32_t c : classes_of_clips[clip]) found[static_cast<std::size_t>(c)] = true;
  const auto missing = static_cast<std::size_t>(std::count(found.begin(), found.end(), false));
  if (missing == 0) return;
  std::string names;
  std::size_t named = 0;
  for (std::size_t c = 0; c < found.size() && named < kNamed; ++c) {
    if (found[c]) continue;
    names += str(named++ > 0 ? ", " : "", "'", classes.names()[c], "'");
  }
  log::warn(str(source, ": no clip has ", missing, " of the ", classes.size(), " classes: ", names,
                missing > named ? ", …" : "", "; they cannot be learned or scored there"));
}

Evaluation::Evaluation(const config::RunConfig& config, data::Part part, const objective::Classification& objective)
    : config_(config),
      source_(data::open_clips(data::held_out_data(config.data, part), config.audio)),
      name_(part == data::Part::kTest ? "test" : "validation"),
      classes_(classes_of_clips(*source_, objective.classes(), objective.options().targets)) {
  warn_of_missing_classes(classes_, objective.classes(), name_);
}

std::pair<std::int64_t, std::string> Evaluation::shared_with(const data::ClipSource& training) const {
  std::unordered_set<std::string> ids;
  for (std::int64_t clip = 0; clip < size(); ++clip) ids.insert(source_->id(clip));
  std::pair<std::int64_t, std::string> shared{0, ""};
  for (std::int64_t clip = 0; clip < training.size(); ++clip) {
    std::string id = training.id(clip);
    if (!ids.contains(id)) continue;
    ++shared.first;
    shared.second = std::move(id);
  }
  return shared;
}

Evaluation::Result Evaluation::score(objective::Classification& objective, const runtime::Arithmetic& arithmetic) {
  const bool exclusive = objective.options().targets == objective::Targets::kMulticlass;
  const std::int64_t asked_for = config_.train.device_batch;
  std::vector<std::int64_t> clips(static_cast<std::size_t>(size()));
  std::iota(clips.begin(), clips.end(), 0);
  objective.module().eval();
  const auto compute = [&](const torch::Tensor& crops) {
    const auto autocast = arithmetic.autocast();
    return model::probabilities(objective.logits(crops), exclusive);
  };
  const data::WholeClipsOptions options{.crop_frames = objective.crop_frames(),
                                        .batch = asked_for > 0 ? std::min(asked_for, kCropsAtOnce) : kCropsAtOnce,
                                        .device = arithmetic.device};
  const auto found = data::over_whole_clips(*source_, clips, options, compute);
  objective.module().train();
  AXLSTM_CHECK(!found.clips.empty(), "none of the ", name_, " clips can be read");
  const auto targets = objective::targets_of(classes_, found.clips, objective.classes().size());
  return {loss_of(found.values, targets, exclusive),
          metrics::clip_scores({span_of(found.values), span_of(targets), targets.size(1)},
                               {.resamples = config_.eval.resamples,
                                .seed = static_cast<std::uint64_t>(config_.train.seed),
                                .threads = static_cast<std::size_t>(allowed_cores())}),
          found.values, targets};
}

Metric resolve(Metric metric, objective::Targets targets) {
  if (metric != Metric::kAuto) return metric;
  return targets == objective::Targets::kMulticlass ? Metric::kAccuracy : Metric::kMap;
}

double value_of(Metric metric, objective::Targets targets, const Evaluation::Result& result) {
  switch (resolve(metric, targets)) {
    case Metric::kMap:
      return result.scores.mAP.value;
    case Metric::kAuc:
      return result.scores.AUC.value;
    case Metric::kDPrime:
      return result.scores.d_prime.value;
    case Metric::kLoss:
      return -result.loss;
    case Metric::kAuto:
    case Metric::kAccuracy:
      break;
  }
  return result.scores.accuracy.value;
}

}  // namespace axlstm::train
