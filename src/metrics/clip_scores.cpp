#include "axlstm/metrics/clip_scores.h"

#include <ATen/native/Math.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <optional>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/core/parallel.h"
#include "axlstm/core/random.h"

namespace axlstm::metrics {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kNormal95 = 1.959963984540054;  // Φ⁻¹(0.975)

/// What the scores of a set in which clip n comes counts[n] times are made of, sorted once for all sets.
class Sorted {
 public:
  explicit Sorted(const ScoredClips& clips) : N_(static_cast<std::size_t>(clips.N())) {
    for (std::int64_t c = 0; c < clips.C; ++c) add_class(clips, c);
    for (std::size_t n = 0; n < N_; ++n) correct_.push_back(is_correct(clips, n));
  }

  struct Scores {
    double mAP, AUC, accuracy;
    std::int64_t scored_classes;
  };

  Scores of(const std::vector<std::uint32_t>& counts) const {
    Scores scores{0, 0, 0, 0};
    double total = 0;
    for (std::size_t n = 0; n < N_; ++n) {
      total += counts[n];
      if (correct_[n]) scores.accuracy += counts[n];
    }
    scores.accuracy /= total;
    for (const Class& each : classes_) {
      const auto areas = areas_of(each, counts, total);
      if (!areas) continue;
      ++scores.scored_classes;
      scores.mAP += areas->precision;
      scores.AUC += areas->roc;
    }
    const double classes = scores.scored_classes > 0 ? static_cast<double>(scores.scored_classes) : kNaN;
    scores.mAP /= classes;
    scores.AUC /= classes;
    return scores;
  }

 private:
  struct Place {
    std::uint32_t clip;
    bool positive;
    bool last;  ///< of those with the same prediction
  };
  using Class = std::vector<Place>;  ///< from the highest prediction down
  struct Areas {
    double precision, roc;
  };

  void add_class(const ScoredClips& clips, std::int64_t c) {
    const auto at = [&](std::span<const float> table, std::uint32_t n) {
      return table[static_cast<std::size_t>(n) * static_cast<std::size_t>(clips.C) + static_cast<std::size_t>(c)];
    };
    std::vector<std::uint32_t> order(N_);
    std::iota(order.begin(), order.end(), 0U);
    for (const std::uint32_t n : order) {
      AXLSTM_CHECK(!std::isnan(at(clips.predictions, n)), "the prediction of clip ", n, " for class ", c,
                   " is NaN: the model diverged, it cannot be scored");
    }
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return at(clips.predictions, a) > at(clips.predictions, b);
    });
    Class sorted;
    for (std::size_t n = 0; n < N_; ++n) {
      const bool last = n + 1 == N_ || at(clips.predictions, order[n]) != at(clips.predictions, order[n + 1]);
      sorted.push_back({order[n], at(clips.targets, order[n]) > 0, last});
    }
    classes_.push_back(std::move(sorted));
  }

  static bool is_correct(const ScoredClips& clips, std::size_t n) {
    const auto C = static_cast<std::size_t>(clips.C);
    const auto row = clips.predictions.subspan(n * C, C);
    const auto best = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
    return clips.targets[n * C + best] > 0;
  }

  /// Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct predictions, and the trapezoids below the ROC curve.
  static std::optional<Areas> areas_of(const Class& sorted, const std::vector<std::uint32_t>& counts, double total) {
    double positives = 0;
    for (const Place& place : sorted) positives += place.positive ? counts[place.clip] : 0;
    const double negatives = total - positives;
    if (positives == 0 || negatives == 0) return std::nullopt;
    double hits = 0, seen = 0, hits_above = 0, seen_above = 0;
    Areas areas{0, 0};
    for (const Place& place : sorted) {
      const double count = counts[place.clip];
      seen += count;
      hits += place.positive ? count : 0;
      if (!place.last || seen == seen_above) continue;
      areas.precision += (hits - hits_above) / positives * (hits / seen);
      const double misses = (seen - seen_above) - (hits - hits_above);
      areas.roc += misses * (hits + hits_above) / 2;
      hits_above = hits;
      seen_above = seen;
    }
    areas.roc /= positives * negatives;
    return areas;
  }

  std::size_t N_;
  std::vector<Class> classes_;
  std::vector<char> correct_;
};

double d_prime_of(double AUC) { return std::numbers::sqrt2 * calc_ndtri(AUC); }

Interval interval(double value, std::vector<double> samples) {
  std::erase_if(samples, [](double sample) { return std::isnan(sample); });
  if (samples.size() < 2) return {value, value, value};
  const auto count = static_cast<double>(samples.size());
  const double mean = std::accumulate(samples.begin(), samples.end(), 0.0) / count;
  double squares = 0;
  for (const double sample : samples) squares += (sample - mean) * (sample - mean);
  const double half = kNormal95 * std::sqrt(squares / (count - 1));
  return {value, std::max(value - half, 0.0), std::min(value + half, 1.0)};
}

}  // namespace

ClipScores clip_scores(const ScoredClips& clips, const BootstrapOptions& options) {
  AXLSTM_CHECK(clips.C > 0 && !clips.targets.empty() && clips.predictions.size() == clips.targets.size() &&
                   clips.targets.size() % static_cast<std::size_t>(clips.C) == 0,
               "clip scores: ", clips.predictions.size(), " predictions and ", clips.targets.size(),
               " targets are no two tables of ", clips.C, " classes");
  const Sorted sorted(clips);
  const auto N = static_cast<std::size_t>(clips.N()), resamples = static_cast<std::size_t>(options.resamples);
  const auto whole = sorted.of(std::vector<std::uint32_t>(N, 1));
  std::vector<double> mAP(resamples), AUC(resamples), accuracy(resamples);
  for_each_index(resamples, options.threads, [&](std::size_t) {
    return [&](std::size_t sample) {
      std::vector<std::uint32_t> counts(N, 0);
      const auto seed = derive_seed({options.seed, kBootstrapStream, sample});
      for (std::size_t n = 0; n < N; ++n) ++counts[uniform_below(derive_seed({seed, n}), N)];
      const auto scores = sorted.of(counts);
      mAP[sample] = scores.mAP;
      AUC[sample] = scores.AUC;
      accuracy[sample] = scores.accuracy;
    };
  });
  const Interval of_AUC = interval(whole.AUC, std::move(AUC));
  return {.mAP = interval(whole.mAP, std::move(mAP)),
          .AUC = of_AUC,
          .d_prime = {d_prime_of(of_AUC.value), d_prime_of(of_AUC.low), d_prime_of(of_AUC.high)},
          .accuracy = interval(whole.accuracy, std::move(accuracy)),
          .scored_classes = whole.scored_classes};
}

}  // namespace axlstm::metrics
