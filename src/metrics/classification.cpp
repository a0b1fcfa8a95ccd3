#include "axlstm/metrics/classification.h"

#include <ATen/native/Math.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "axlstm/core/error.h"

namespace axlstm::metrics {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// NumPy's sum of float64: blocks of at most 128 values in eight interleaved partial sums, blocks joined pairwise.
/// The order of the additions decides the last digits.
double numpy_sum(std::span<const double> values) {
  constexpr std::size_t kLanes = 8;
  constexpr std::size_t kBlock = 128;
  const std::size_t n = values.size();
  if (n < kLanes) return std::accumulate(values.begin(), values.end(), 0.0);
  if (n <= kBlock) {
    double lanes[kLanes];
    std::copy_n(values.begin(), kLanes, lanes);
    std::size_t i = kLanes;
    for (; i + kLanes <= n; i += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += values[i + lane];
    }
    double sum = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
    for (; i < n; ++i) sum += values[i];
    return sum;
  }
  const std::size_t half = n / 2 / kLanes * kLanes;
  return numpy_sum(values.first(half)) + numpy_sum(values.subspan(half));
}

double numpy_mean(std::span<const double> values) { return numpy_sum(values) / static_cast<double>(values.size()); }

/// Numbers of true and false positives when the clips at or above each distinct prediction, from the highest down,
/// are called positive.
struct ThresholdCounts {
  std::vector<double> true_positives, false_positives;
};

ThresholdCounts count_at_thresholds(const ScoredClips& clips, std::int64_t c) {
  const auto prediction = [&](std::int64_t n) { return clips.predictions[static_cast<std::size_t>(n * clips.C + c)]; };
  for (std::int64_t n = 0; n < clips.N(); ++n) {
    AXLSTM_CHECK(!std::isnan(prediction(n)), "the prediction of clip ", n, " for class ", c,
                 " is NaN: the model diverged, it cannot be scored");
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(clips.N()));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::int64_t a, std::int64_t b) { return prediction(a) > prediction(b); });
  ThresholdCounts counts;
  double positives = 0.0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    positives += clips.targets[static_cast<std::size_t>(order[i] * clips.C + c)];
    if (i + 1 < order.size() && prediction(order[i]) == prediction(order[i + 1])) continue;
    counts.true_positives.push_back(positives);
    counts.false_positives.push_back(static_cast<double>(i + 1) - positives);
  }
  return counts;
}

double average_precision(const ScoredClips& clips, std::int64_t c) {
  const auto [true_positives, false_positives] = count_at_thresholds(clips, c);
  const double positives = true_positives.back();
  if (positives == 0.0) return 0.0;
  // From the lowest threshold up, as scikit-learn adds them.
  std::vector<double> terms;
  for (std::size_t i = true_positives.size(); i-- > 0;) {
    const double precision = true_positives[i] / (true_positives[i] + false_positives[i]);
    const double recall = true_positives[i] / positives;
    const double recall_above = i == 0 ? 0.0 : true_positives[i - 1] / positives;
    terms.push_back((recall_above - recall) * precision);
  }
  return std::max(0.0, -numpy_sum(terms));
}

double roc_auc(const ScoredClips& clips, std::int64_t c) {
  const auto [true_positives, false_positives] = count_at_thresholds(clips, c);
  const double positives = true_positives.back();
  const double negatives = false_positives.back();
  if (positives == 0.0 || negatives == 0.0) return kNaN;
  // scikit-learn drops the inner points of straight pieces of the curve; the area is the same, its rounding is not.
  std::vector<double> x{0.0}, y{0.0};
  const std::size_t n = true_positives.size();
  const auto bends = [](const std::vector<double>& v, std::size_t i) { return v[i + 1] - v[i] != v[i] - v[i - 1]; };
  for (std::size_t i = 0; i < n; ++i) {
    if (i > 0 && i + 1 < n && !bends(true_positives, i) && !bends(false_positives, i)) continue;
    x.push_back(false_positives[i] / negatives);
    y.push_back(true_positives[i] / positives);
  }
  std::vector<double> trapezoids;
  for (std::size_t i = 1; i < x.size(); ++i) trapezoids.push_back((x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2.0);
  return numpy_sum(trapezoids);
}

std::vector<double> of_each_class(const ScoredClips& clips,
                                  const std::function<double(const ScoredClips&, std::int64_t)>& metric) {
  std::vector<double> values;
  for (std::int64_t c = 0; c < clips.C; ++c) values.push_back(metric(clips, c));
  return values;
}

/// Index of the row's largest value, the first of equal ones.
std::int64_t argmax(std::span<const float> table, std::int64_t row, std::int64_t C) {
  const auto values = table.subspan(static_cast<std::size_t>(row * C), static_cast<std::size_t>(C));
  return std::max_element(values.begin(), values.end()) - values.begin();
}

/// Share of clips whose most probable class and target agree modulo `modulus`.
double accuracy(const ScoredClips& clips, std::int64_t modulus) {
  std::int64_t correct = 0;
  for (std::int64_t n = 0; n < clips.N(); ++n) {
    correct += argmax(clips.predictions, n, clips.C) % modulus == argmax(clips.targets, n, clips.C) % modulus;
  }
  return static_cast<double>(correct) / static_cast<double>(clips.N());
}

}  // namespace

double top1_accuracy(const ScoredClips& clips) { return accuracy(clips, clips.C); }

double chroma_accuracy(const ScoredClips& clips) {
  constexpr std::int64_t kSemitonesPerOctave = 12;
  return accuracy(clips, kSemitonesPerOctave);
}

double mean_average_precision(const ScoredClips& clips) { return numpy_mean(of_each_class(clips, average_precision)); }

double mean_roc_auc(const ScoredClips& clips) { return numpy_mean(of_each_class(clips, roc_auc)); }

double d_prime(const ScoredClips& clips) {
  std::vector<double> values = of_each_class(clips, roc_auc);
  // ATen's scalar inverse of the normal distribution is the same one (Cephes) as SciPy's. It is compiled here because
  // the tensor operation of the same name uses fused multiply-adds, which change the last digit.
  for (double& value : values) value = calc_ndtri(value) * std::numbers::sqrt2;
  return numpy_mean(values);
}

namespace {

struct Score {
  const char* name;  ///< in task_metadata.json
  double (*compute)(const ScoredClips& clips);
};

/// The list of scores: a new one is a function and a line here.
constexpr std::array kScores{Score{"top1_acc", top1_accuracy},     Score{"pitch_acc", top1_accuracy},
                             Score{"chroma_acc", chroma_accuracy}, Score{"mAP", mean_average_precision},
                             Score{"aucroc", mean_roc_auc},        Score{"d_prime", d_prime}};

}  // namespace

bool is_score(const std::string& name) {
  return std::any_of(kScores.begin(), kScores.end(), [&](const Score& each) { return name == each.name; });
}

double score(const std::string& name, const ScoredClips& clips) {
  AXLSTM_CHECK(clips.C > 0 && !clips.targets.empty() && clips.predictions.size() == clips.targets.size() &&
                   clips.targets.size() % static_cast<std::size_t>(clips.C) == 0,
               "score ", name, ": ", clips.predictions.size(), " predictions and ", clips.targets.size(),
               " targets are no two tables of ", clips.C, " classes");
  std::string known;
  for (const Score& each : kScores) {
    if (name == each.name) return each.compute(clips);
    known += str(known.empty() ? "" : ", ", each.name);
  }
  throw Error(str("score \"", name, "\" is not known; known: ", known));
}

}  // namespace axlstm::metrics
