// The weights of the cell, between its matrix products. Compiled once for each set of vector instructions.
#include "ops/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/cpu/cell_rows.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "ops/cpu/rows.h"
#include "ops/cpu/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace axlstm::ops::cpu::HWY_NAMESPACE {

/// Calls work(j, lanes that count) for the vectors of columns 0 … i of a row; then behind(j) for those before
/// `columns`.
template <typename Work, typename Behind>
void over_columns(std::int64_t i, std::int64_t columns, const Work& work, const Behind& behind) {
  const Floats d;
  std::int64_t j = 0;
  for (; j + kLanes <= i + 1; j += kLanes) work(j, [](Vector x) { return x; });
  if (j <= i) {
    const auto counts = hn::FirstN(d, static_cast<std::size_t>(i + 1 - j));
    work(j, [&](Vector x) { return hn::IfThenElseZero(counts, x); });
    j += kLanes;
  }
  for (; j < columns; j += kLanes) behind(j);
}

template <typename Work>
void over_columns(std::int64_t i, const Work& work) {
  over_columns(i, 0, work, [](std::int64_t) {});
}

/// Of a row whose Σ_j C_ij is `sum`: 1 / N, and the sign of the sum where it decides N, else 0.
struct Normaliser {
  float inverse = 0, sign = 0;

  Normaliser(float sum, float bound, float eps) : inverse(1 / (std::max(std::abs(sum), bound) + eps)) {
    if (std::abs(sum) > bound) sign = sum > 0 ? 1.0F : -1.0F;
  }
};

/// exp(g_j − G_i) for one row; at most 1 also in columns that do not count, where j > i.
class Decay {
 public:
  Decay(const CellTile& tile, std::int64_t row)
      : g_(tile.g), high_(hn::Set(Floats(), tile.G.high[row])), low_(hn::Set(Floats(), tile.G.low[row])) {}

  Vector operator()(std::int64_t j) const {
    const Floats d;
    const auto high = hn::Sub(hn::LoadU(d, g_.high + j), high_), low = hn::Sub(hn::LoadU(d, g_.low + j), low_);
    return hn::Exp(d, hn::Min(hn::Add(high, low), hn::Zero(d)));
  }

 private:
  TwoFloats g_;
  Vector high_, low_;
};

void Weigh(const CellTile& p) {
  const Floats d;
  for (std::int64_t row = 0; row < p.rows; ++row) {
    float* scores = p.scores + row * p.stride;
    const Decay decay(p, row);
    const auto scale = hn::Set(d, p.scale);
    auto sums = hn::Zero(d);
    over_columns(
        p.first + row, p.columns,
        [&](std::int64_t j, const auto& counting) {
          const auto C = counting(hn::Mul(hn::Mul(hn::LoadU(d, scores + j), scale), decay(j)));
          sums = hn::Add(sums, C);
          hn::StoreU(C, d, scores + j);
        },
        [&](std::int64_t j) { hn::StoreU(hn::Zero(d), d, scores + j); });
    const auto inverse = hn::Set(d, Normaliser(total(sums), p.bound[row], p.eps).inverse);
    over_columns(p.first + row, [&](std::int64_t j, const auto&) {
      hn::StoreU(hn::Mul(hn::LoadU(d, scores + j), inverse), d, scores + j);
    });
  }
}

void WeighBackward(const CellTileBackward& p) {
  const Floats d;
  const CellTile& f = p.forward;
  for (std::int64_t row = 0; row < f.rows; ++row) {
    float *scores = f.scores + row * f.stride, *products = p.products + row * f.stride;
    const Decay decay(f, row);
    const auto scale = hn::Set(d, f.scale);
    auto sums = hn::Zero(d), dots = hn::Zero(d);
    over_columns(f.first + row, [&](std::int64_t j, const auto& counting) {
      const auto C = counting(hn::Mul(hn::LoadU(d, scores + j), hn::Mul(scale, decay(j))));
      sums = hn::Add(sums, C);
      dots = hn::Add(dots, counting(hn::Mul(C, hn::LoadU(d, products + j))));
    });
    const Normaliser normaliser(total(sums), f.bound[row], f.eps);
    const float delta = total(dots) * normaliser.inverse;
    const auto inverse = hn::Set(d, normaliser.inverse), of_sum = hn::Set(d, normaliser.sign * delta);
    auto row_sums = hn::Zero(d);
    over_columns(
        f.first + row, f.columns,
        [&](std::int64_t j, const auto& counting) {
          const auto decays = hn::Mul(scale, decay(j)), C = counting(hn::Mul(hn::LoadU(d, scores + j), decays));
          const auto dC = counting(hn::Mul(hn::Sub(hn::LoadU(d, products + j), of_sum), inverse));
          const auto W = hn::Mul(dC, C);
          row_sums = hn::Add(row_sums, W);
          add_to(p.column_sum + j, W);
          hn::StoreU(hn::Mul(dC, decays), d, products + j);
          hn::StoreU(hn::Mul(C, inverse), d, scores + j);
        },
        [&](std::int64_t j) {
          hn::StoreU(hn::Zero(d), d, products + j);
          hn::StoreU(hn::Zero(d), d, scores + j);
        });
    const float of_stabiliser = delta * f.eps * normaliser.inverse;
    p.row_sum[row] = total(row_sums) - of_stabiliser;
    p.column_sum[p.record[row]] -= of_stabiliser;
  }
}

}  // namespace axlstm::ops::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace axlstm::ops::cpu {

HWY_EXPORT(Weigh);
HWY_EXPORT(WeighBackward);

void weigh(const CellTile& tile) { HWY_DYNAMIC_DISPATCH(Weigh)(tile); }
void weigh_backward(const CellTileBackward& tile) { HWY_DYNAMIC_DISPATCH(WeighBackward)(tile); }

}  // namespace axlstm::ops::cpu
#endif
