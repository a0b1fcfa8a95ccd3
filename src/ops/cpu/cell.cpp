#include "cell.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <cmath>
#include <vector>

#include "rows.h"
#include "scratch.h"

namespace axlstm::ops::cpu {
namespace {

constexpr std::int64_t kTileRows = 64;

double log_sigmoid(double x) { return std::min(x, 0.0) - std::log1p(std::exp(-std::abs(x))); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

std::int64_t padded(std::int64_t columns) { return (columns + kRowMultiple - 1) / kRowMultiple * kRowMultiple; }

/// Of one head: g, G with its argument, and exp(−m), as docs/kernel.md has them.
struct Scans {
  std::vector<float> g_high, g_low, G_high, G_low, bound;
  std::vector<std::int32_t> record;

  Scans(const ClipGates& gates, std::int64_t head, std::int64_t S)
      : g_high(static_cast<std::size_t>(padded(S))),
        g_low(g_high),
        G_high(g_high),
        G_low(g_high),
        bound(g_high),
        record(g_high.size()) {
    double F = 0, G = 0;
    for (std::int64_t token = 0; token < S; ++token) {
      const auto t = static_cast<std::size_t>(token);
      const std::int64_t at = token * gates.stride + head;
      F += log_sigmoid(gates.f[at]);
      const double i = gates.i[at], g = (gates.sigmoid_input ? log_sigmoid(i) : i) - F;
      const bool higher = t == 0 || g > G;
      record[t] = higher ? static_cast<std::int32_t>(t) : record[t - 1];
      if (higher) G = g;
      split(g, g_high[t], g_low[t]);
      split(G, G_high[t], G_low[t]);
      bound[t] = static_cast<float>(std::exp(-(F + G)));
    }
  }

 private:
  static void split(double value, float& high, float& low) {
    high = static_cast<float>(value);
    low = static_cast<float>(value - high);
  }
};

/// All heads of one clip, tile after tile of tokens.
class Cell {
 public:
  Cell(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ClipGates& gates, double eps)
      : q_(q), k_(k), v_(v), NH_(q.size(0)), S_(q.size(1)) {
    tile_.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(q.size(2))));
    tile_.eps = static_cast<float>(eps);
    scans_.reserve(static_cast<std::size_t>(NH_));
    for (std::int64_t head = 0; head < NH_; ++head) scans_.emplace_back(gates, head, S_);
    scores_ = scratch_.take({NH_, kTileRows, padded(S_)});
  }

  void forward(const at::Tensor& h) {
    over_tiles([&](std::int64_t first, std::int64_t rows) {
      const auto scores = product(scores_, q_, k_, first, rows);
      each_head([&](std::int64_t head) { weigh(tile(head, first, rows)); });
      auto to = h.narrow(1, first, rows);
      at::bmm_out(to, scores, v_.narrow(1, 0, first + rows));
    });
  }

  void backward(const ClipGates& gates, const at::Tensor& dh, const CellGradients& gradients) {
    const auto products = scratch_.take({NH_, kTileRows, padded(S_)});
    row_sum_ = scratch_.take({NH_, S_});
    column_sum_ = scratch_.take({NH_, padded(S_)});
    column_totals_.assign(static_cast<std::size_t>(NH_), std::vector<double>(static_cast<std::size_t>(S_)));
    gradients.k.zero_();
    gradients.v.zero_();
    over_tiles([&](std::int64_t first, std::int64_t rows) {
      const auto scores = product(scores_, q_, k_, first, rows);
      const auto dscores = product(products, dh, v_, first, rows);
      each_head([&](std::int64_t head) { weights_backward(products, head, first, rows); });
      const std::int64_t columns = first + rows;
      auto dq = gradients.q.narrow(1, first, rows);
      at::bmm_out(dq, dscores, k_.narrow(1, 0, columns));
      gradients.k.narrow(1, 0, columns).baddbmm_(dscores.transpose(1, 2), q_.narrow(1, first, rows));
      gradients.v.narrow(1, 0, columns).baddbmm_(scores.transpose(1, 2), dh.narrow(1, first, rows));
    });
    each_head([&](std::int64_t head) { gates_backward(gates, head, gradients.gates); });
  }

 private:
  template <typename Work>
  void over_tiles(const Work& work) const {
    for (std::int64_t first = 0; first < S_; first += kTileRows) work(first, std::min(kTileRows, S_ - first));
  }

  template <typename Work>
  void each_head(const Work& work) const {
    at::parallel_for(0, NH_, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t head = begin; head < end; ++head) work(head);
    });
  }

  /// x·yᵀ of a tile's rows with all tokens up to its last, in `to`'s memory.
  at::Tensor product(const at::Tensor& to, const at::Tensor& x, const at::Tensor& y, std::int64_t first,
                     std::int64_t rows) const {
    auto tile = to.narrow(1, 0, rows).narrow(2, 0, first + rows);
    at::bmm_out(tile, x.narrow(1, first, rows), y.narrow(1, 0, first + rows).transpose(1, 2));
    return tile;
  }

  /// Of one head, whose scores are there.
  CellTile tile(std::int64_t head, std::int64_t first, std::int64_t rows) const {
    const Scans& scans = scans_[static_cast<std::size_t>(head)];
    CellTile tile = tile_;
    tile.first = first;
    tile.rows = rows;
    tile.columns = first + rows;
    tile.stride = padded(S_);
    tile.g = {scans.g_high.data(), scans.g_low.data()};
    tile.G = {scans.G_high.data() + first, scans.G_low.data() + first};
    tile.bound = scans.bound.data() + first;
    tile.scores = scores_[head].data_ptr<float>();
    return tile;
  }

  /// Of one head. A few rows at a time are summed up in float32, and all of them in float64: the forget gates'
  /// gradients are small differences of these sums.
  void weights_backward(const at::Tensor& products, std::int64_t head, std::int64_t first, std::int64_t rows) {
    constexpr std::int64_t kSummedRows = 8;
    const CellTile all = tile(head, first, rows);
    float* column_sum = column_sum_[head].data_ptr<float>();
    auto& totals = column_totals_[static_cast<std::size_t>(head)];
    for (std::int64_t row = 0; row < rows; row += kSummedRows) {
      CellTileBackward some{all, products[head].data_ptr<float>() + row * all.stride,
                            scans_[static_cast<std::size_t>(head)].record.data() + first + row,
                            row_sum_[head].data_ptr<float>() + first + row, column_sum};
      some.forward.first += row;
      some.forward.rows = std::min(kSummedRows, rows - row);
      some.forward.G = {all.G.high + row, all.G.low + row};
      some.forward.bound += row;
      some.forward.scores += row * all.stride;
      const std::int64_t summed = some.forward.first + some.forward.rows;
      std::fill_n(column_sum, padded(summed), 0.0F);
      weigh_backward(some);
      for (std::int64_t j = 0; j < summed; ++j) totals[static_cast<std::size_t>(j)] += column_sum[j];
    }
  }

  /// dĩ = column sums, dF = row sums − column sums, and through the running sum and the sigmoids.
  void gates_backward(const ClipGates& gates, std::int64_t head, const ClipGateGradients& gradients) const {
    const float* rows = row_sum_[head].data_ptr<float>();
    const auto& columns = column_totals_[static_cast<std::size_t>(head)];
    double dF = 0;
    for (std::int64_t t = S_ - 1; t >= 0; --t) {
      const std::int64_t at = t * gates.stride + head;
      const double of_column = columns[static_cast<std::size_t>(t)];
      dF += rows[t] - of_column;
      gradients.f[at] = static_cast<float>(dF * sigmoid(-static_cast<double>(gates.f[at])));
      const double of_i = gates.sigmoid_input ? sigmoid(-static_cast<double>(gates.i[at])) : 1.0;
      gradients.i[at] = static_cast<float>(of_column * of_i);
    }
  }

  const at::Tensor &q_, &k_, &v_;
  const std::int64_t NH_, S_;
  CellTile tile_;
  std::vector<Scans> scans_;
  Scratch scratch_;
  at::Tensor scores_, row_sum_, column_sum_;
  std::vector<std::vector<double>> column_totals_;  ///< of all tiles, for each head
};

}  // namespace

void cell_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ClipGates& gates, double eps,
                  const at::Tensor& h) {
  Cell(q, k, v, gates, eps).forward(h);
}

void cell_backward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const ClipGates& gates, double eps,
                   const at::Tensor& dh, const CellGradients& gradients) {
  Cell(q, k, v, gates, eps).backward(gates, dh, gradients);
}

}  // namespace axlstm::ops::cpu
