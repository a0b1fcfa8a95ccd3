// The states that chunks hand on, and the order of everything: kernels/mlstm_links.h has the formulas.
#include "mlstm_chunks.h"

#include <torch/torch.h>

#include "mlstm_links.h"

namespace axlstm::ops {
namespace {

using kernels::Fade;
using kernels::Side;

/// x·y of narrow matrices, in float32.
torch::Tensor product(const torch::Tensor& x, const torch::Tensor& y) {
  if (x.is_cuda()) return at::bmm(x, y, torch::kFloat32);
  return x.to(torch::kFloat32).bmm(y.to(torch::kFloat32));
}

/// The links between the chunks of a cell's inputs: "rows" [B·NH · links, L, DH] and sums [B·NH · links, DH].
class ChunkLinks {
 public:
  ChunkLinks(const CellInputs& inputs, const CellState& state, const kernels::MlstmShape& shape, cudaStream_t stream)
      : scale(1.0F / std::sqrt(static_cast<float>(shape.DH))),
        links_{shape, state.gates(), state.n.data_ptr<float>()},
        stream_(stream),
        narrow_(inputs.q.options()),
        wide_(state.n.options()),
        type_(data_type(inputs.q.scalar_type())) {}

  const float scale;  ///< 1 / √DH

  torch::Tensor split(Side side, const torch::Tensor& x, Fade fade = Fade::kNone, float factor = 1) const {
    const auto rows = torch::empty({count(), links_.shape.chunk, links_.shape.DH}, narrow_);
    check_launch(kernels::split_links({links_, side, fade, factor, view(x), rows.data_ptr()}, type_, stream_));
    return rows;
  }
  /// Σ over the tokens of a link, weighted or not.
  torch::Tensor sum(Side side, const torch::Tensor& rows, const float* weight = nullptr) const {
    const auto sums = torch::empty({count(), links_.shape.DH}, wide_);
    check_launch(kernels::sum_links({links_, side, rows.data_ptr(), weight, sums.data_ptr<float>()}, type_, stream_));
    return sums;
  }
  void pass(Side side, const torch::Tensor& states, const torch::Tensor& sums) const {
    if (kernels::link_count(links_.shape) == 1) return;
    check_launch(kernels::pass_states({links_, side, states.data_ptr(), sums.data_ptr<float>()}, type_, stream_));
  }
  /// ∂L/∂log D summed over all pairs that each link joins, [B, NH, links].
  torch::Tensor totals(const torch::Tensor& states, const torch::Tensor& sums, const torch::Tensor& later_states,
                       const torch::Tensor& later_sums) const {
    const auto totals = torch::empty({count()}, wide_);
    check_launch(
        kernels::total_links({links_, scale, states.data_ptr(), later_states.data_ptr(), sums.const_data_ptr<float>(),
                              later_sums.const_data_ptr<float>(), totals.data_ptr<float>()},
                             type_, stream_));
    return totals;
  }
  /// fade · q·y / √DH of all tokens [B, NH, S], y being products or sums; 0 in the first chunk.
  torch::Tensor dot(const torch::Tensor& q, const torch::Tensor& y, Fade fade) const {
    const auto& shape = links_.shape;
    const auto dots = torch::zeros({shape.B, shape.NH, shape.S}, wide_);
    kernels::DotParams params;
    params.links = links_;
    params.fade = fade;
    params.scale = scale;
    params.x = view(q);
    (y.dim() == 3 ? params.products : params.sums) = y.const_data_ptr<float>();
    params.dots = dots.data_ptr<float>();
    check_launch(kernels::dot_links(params, type_, stream_));
    return dots;
  }
  kernels::MergeParams merging(Side side, const torch::Tensor& products, Fade fade, float factor,
                               const torch::Tensor& to) const {
    kernels::MergeParams params;
    params.links = links_;
    params.side = side;
    params.fade = fade;
    params.scale = factor;
    params.products = products.const_data_ptr<float>();
    params.to = view(to);
    return params;
  }
  void merge(const kernels::MergeParams& params) const { check_launch(kernels::merge_links(params, type_, stream_)); }

 private:
  std::int64_t count() const { return links_.shape.B * links_.shape.NH * kernels::link_count(links_.shape); }

  kernels::Links links_;
  cudaStream_t stream_;
  torch::TensorOptions narrow_, wide_;
  kernels::DataType type_;
};

/// Keys, faded to the end of their chunk, and values; and the states behind each chunk: Σ k vᵀ [B·NH · links, DH, DH]
/// and Σ k.
struct States {
  torch::Tensor keys, values, kv, k;
  States(const ChunkLinks& links, const CellInputs& inputs)
      : keys(links.split(Side::kKeys, inputs.k, Fade::kFaded)),
        values(links.split(Side::kKeys, inputs.v)),
        kv(keys.transpose(1, 2).bmm(values)),
        k(links.sum(Side::kKeys, keys)) {
    links.pass(Side::kKeys, kv, k);
  }
};

bool in_chunks(const kernels::MlstmShape& shape) { return shape.chunk > 0 && shape.chunk < shape.S; }

}  // namespace

bool takes_weights(Isa isa, const torch::Device& device, torch::ScalarType dtype, std::int64_t tokens) {
  return resolve_isa(isa, device, dtype, tokens) == Isa::kHopper &&
         kernels::chunk_tokens(tokens, data_type(dtype)) >= tokens;
}

void cell_forward(const CellInputs& inputs, const CellState& state, const torch::Tensor& h, cudaStream_t stream) {
  const auto& q = inputs.q;
  const auto type = data_type(q.scalar_type());
  kernels::ForwardParams params{cell_shape(q, inputs.isa, inputs.eps),
                                view(q),
                                view(inputs.k),
                                view(inputs.v),
                                inputs.weights,
                                inputs.gates,
                                state.gates(),
                                state.n.data_ptr<float>(),
                                view(h)};
  check_launch(kernels::mlstm_scan_gates(params, stream));
  if (!in_chunks(params.shape)) return check_launch(kernels::mlstm_forward(params, type, stream));

  const ChunkLinks links(inputs, state, params.shape, stream);
  const States states(links, inputs);
  const auto n_before = links.dot(q, states.k, Fade::kFaded);
  params.n_before = n_before.data_ptr<float>();
  check_launch(kernels::mlstm_forward(params, type, stream));
  const auto queries = links.split(Side::kQueries, q, Fade::kNormalised, links.scale);  // n is known by now
  links.merge(links.merging(Side::kQueries, product(queries, states.kv), Fade::kNone, 1, h));
}

torch::Tensor cell_backward(const CellInputs& inputs, const CellState& state, const torch::Tensor& dh,
                            const CellGradients& gradients, cudaStream_t stream) {
  const auto &q = inputs.q, &k = inputs.k, &v = inputs.v;
  const auto type = data_type(q.scalar_type());
  kernels::BackwardParams params;
  params.shape = cell_shape(q, inputs.isa, inputs.eps);
  params.sum_parts = kernels::sum_parts(params.shape);
  const auto device = state.n.options();
  const auto rows = torch::empty({3, params.shape.B, params.shape.NH, params.shape.S}, device);
  const auto sums = torch::empty({2, params.sum_parts, params.shape.B, params.shape.NH, params.shape.S}, device);
  params.q = view(q);
  params.k = view(k);
  params.v = view(v);
  params.dh = view(dh);
  params.weights = inputs.weights;
  params.gates = inputs.gates;
  params.state = state.gates();
  params.n = state.n.data_ptr<float>();
  params.rows = {rows[0].data_ptr<float>(), rows[1].data_ptr<float>(), rows[2].data_ptr<float>()};
  params.row_sum = sums[0].data_ptr<float>();
  params.column_sum = sums[1].data_ptr<float>();
  params.dq = view(gradients.dq);
  if (gradients.dk.defined()) params.dk = view(gradients.dk);
  params.dv = view(gradients.dv);
  params.di = gradients.di;
  params.df = gradients.df;
  if (!in_chunks(params.shape)) {
    torch::Tensor parts;
    if (params.weights.q != nullptr) {
      const auto& shape = params.shape;
      parts = torch::zeros({kernels::weight_parts(shape) * kernels::kWeightWarps, shape.NH * shape.DH, 4}, device);
      params.dq_weight_parts = parts.data_ptr<float>();
    }
    check_launch(kernels::mlstm_backward(params, type, stream));
    check_launch(kernels::mlstm_backward_gates(params, stream));
    return parts.defined() ? sum_of_parts(parts, stream) : parts;
  }

  const ChunkLinks links(inputs, state, params.shape, stream);
  const States states(links, inputs);
  const auto dh_rows = links.split(Side::kQueries, dh);
  const auto to_queries = product(dh_rows, states.kv.transpose(1, 2));
  const auto delta_before = links.dot(q, to_queries, Fade::kNormalised);
  params.delta_before = delta_before.data_ptr<float>();
  sums.select(1, 1).zero_();  // the first chunk has no earlier tokens, the last no later ones
  check_launch(kernels::mlstm_backward(params, type, stream));

  auto merging = links.merging(Side::kQueries, to_queries, Fade::kNormalised, links.scale, gradients.dq);
  merging.sums = states.k.data_ptr<float>();
  merging.weight = params.rows.signed_delta;
  merging.x = params.q;
  merging.dots = sums[0][1].data_ptr<float>();
  links.merge(merging);

  const auto queries = links.split(Side::kQueries, q, Fade::kNormalised);
  const auto later = queries.transpose(1, 2).bmm(dh_rows);                            // Σ q dhᵀ
  const auto later_q = links.sum(Side::kQueries, queries, params.rows.signed_delta);  // Σ s δ q
  links.pass(Side::kQueries, later, later_q);
  const auto totals = links.totals(states.kv, states.k, later, later_q);
  params.link_totals = totals.const_data_ptr<float>();
  const auto to_keys = product(states.values, later.transpose(1, 2));
  merging = links.merging(Side::kKeys, to_keys, Fade::kFaded, links.scale, gradients.dk);
  merging.sums = later_q.data_ptr<float>();
  merging.x = params.k;
  merging.dots = sums[1][1].data_ptr<float>();
  links.merge(merging);
  links.merge(links.merging(Side::kKeys, product(states.keys, later), Fade::kNone, links.scale, gradients.dv));
  check_launch(kernels::mlstm_backward_gates(params, stream));
  return {};
}

}  // namespace axlstm::ops
