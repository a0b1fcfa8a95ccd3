#include "axlstm/metrics/clip_scores.h"

#include <ATen/native/Math.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/core/parallel.h"
#include "axlstm/core/random.h"

namespace axlstm::metrics {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kNormal95 = 1.959963984540054;  // Φ⁻¹(0.975)

/// Samples that are scored together: each step down a class's list is then a few vector instructions for all of them.
constexpr std::size_t kLanes = 16;
template <typename T>
using Lanes = std::array<T, kLanes>;

/// How often each clip comes in each of kLanes samples.
using Counts = std::vector<Lanes<std::uint16_t>>;

struct Scores {
  double mAP = 0, AUC = 0, accuracy = 0;
  std::int64_t scored_classes = 0;
};

/// What the scores of samples are made of, sorted once for all of them.
class Sorted {
 public:
  Sorted(const ScoredClips& clips, std::size_t threads)
      : N_(static_cast<std::size_t>(clips.N())), classes_(static_cast<std::size_t>(clips.C)) {
    for_each_index(classes_.size(), threads,
                   [&](std::size_t) { return [&](std::size_t c) { classes_[c] = sorted(clips, c); }; });
    for (std::size_t n = 0; n < N_; ++n) correct_.push_back(is_correct(clips, n));
  }

  Lanes<Scores> of(const Counts& counts) const {
    Lanes<Scores> scores;
    Lanes<std::uint32_t> total{}, correct{};
    for (std::size_t n = 0; n < N_; ++n) {
      add(total, counts[n]);
      if (correct_[n]) add(correct, counts[n]);
    }
    for (const Class& each : classes_) add_areas(each, counts, total, scores);
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      Scores& one = scores[lane];
      const double classes = one.scored_classes > 0 ? static_cast<double>(one.scored_classes) : kNaN;
      one.mAP /= classes;
      one.AUC /= classes;
      one.accuracy = static_cast<double>(correct[lane]) / total[lane];
    }
    return scores;
  }

 private:
  /// Clips with one prediction, of which some have the class; the first ones have it.
  struct Tie {
    std::size_t begin, hits_end, end;
  };
  struct Class {
    std::vector<std::uint32_t> clips;  ///< from the highest prediction down
    std::vector<Tie> ties;
  };

  static void add(Lanes<std::uint32_t>& sums, const Lanes<std::uint16_t>& counts) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += counts[lane];
  }

  Class sorted(const ScoredClips& clips, std::size_t c) const {
    const auto C = static_cast<std::size_t>(clips.C);
    std::vector<std::pair<float, std::uint32_t>> order(N_);  // prediction and clip, side by side: sorting is quick then
    for (std::size_t n = 0; n < N_; ++n) {
      order[n] = {clips.predictions[n * C + c], static_cast<std::uint32_t>(n)};
      AXLSTM_CHECK(!std::isnan(order[n].first), "the prediction of clip ", n, " for class ", c,
                   " is NaN: the model diverged, it cannot be scored");
    }
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    Class result;
    for (auto begin = order.begin(), end = begin; begin != order.end(); begin = end) {
      end = std::find_if(begin, order.end(), [&](const auto& place) { return place.first != begin->first; });
      const auto hits_end =
          std::partition(begin, end, [&](const auto& place) { return clips.targets[place.second * C + c] > 0; });
      const auto index = [&](const auto& place) { return static_cast<std::size_t>(place - order.begin()); };
      if (hits_end != begin) result.ties.push_back({index(begin), index(hits_end), index(end)});
    }
    for (const auto& place : order) result.clips.push_back(place.second);
    return result;
  }

  static bool is_correct(const ScoredClips& clips, std::size_t n) {
    const auto C = static_cast<std::size_t>(clips.C);
    const auto row = clips.predictions.subspan(n * C, C);
    const auto best = static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
    return clips.targets[n * C + best] > 0;
  }

  /// Σ (Rₙ − Rₙ₋₁) Pₙ over the distinct predictions, and the area below the ROC curve: of a hit and a miss that are
  /// drawn at random the share where the hit is above, ties half.
  static void add_areas(const Class& of, const Counts& counts, const Lanes<std::uint32_t>& total,
                        Lanes<Scores>& scores) {
    Lanes<std::uint32_t> seen{}, hits{};
    Lanes<double> precision{}, above{};  // sums; of hits, and of pairs
    std::size_t next = 0;
    for (const Tie& tie : of.ties) {
      for (; next < tie.begin; ++next) add(seen, counts[of.clips[next]]);
      const auto seen_above = seen, hits_above = hits;
      for (; next < tie.hits_end; ++next) add(hits, counts[of.clips[next]]);
      for (next = tie.begin; next < tie.end; ++next) add(seen, counts[of.clips[next]]);
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const double new_hits = hits[lane] - hits_above[lane];
        if (new_hits == 0) continue;
        precision[lane] += new_hits * hits[lane] / seen[lane];
        const double misses = seen[lane] - hits[lane], misses_above = seen_above[lane] - hits_above[lane];
        above[lane] += new_hits * (misses + misses_above) / 2;  // misses that are not below
      }
    }
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double positives = hits[lane], negatives = total[lane] - positives;
      if (positives == 0 || negatives == 0) continue;
      ++scores[lane].scored_classes;
      scores[lane].mAP += precision[lane] / positives;
      scores[lane].AUC += 1 - above[lane] / (positives * negatives);
    }
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
  const Sorted sorted(clips, options.threads);
  const auto N = static_cast<std::size_t>(clips.N()), resamples = static_cast<std::size_t>(options.resamples);
  Lanes<std::uint16_t> once;
  once.fill(1);
  const Scores whole = sorted.of(Counts(N, once)).front();
  std::vector<double> mAP(resamples), AUC(resamples), accuracy(resamples);
  for_each_index((resamples + kLanes - 1) / kLanes, options.threads, [&](std::size_t) {
    return [&](std::size_t group) {
      Counts counts(N, Lanes<std::uint16_t>{});
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const auto seed = derive_seed({options.seed, kBootstrapStream, group * kLanes + lane});
        for (std::size_t n = 0; n < N; ++n) ++counts[uniform_below(derive_seed({seed, n}), N)][lane];
      }
      const auto scores = sorted.of(counts);
      for (std::size_t lane = 0; lane < kLanes && group * kLanes + lane < resamples; ++lane) {
        mAP[group * kLanes + lane] = scores[lane].mAP;
        AUC[group * kLanes + lane] = scores[lane].AUC;
        accuracy[group * kLanes + lane] = scores[lane].accuracy;
      }
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
