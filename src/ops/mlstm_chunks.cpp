// With G_e the last G of a chunk, a_j = exp(g_j − G_e) and b_i = exp(G_p − G_i), p the end of the chunk before i's, for
// tokens j of an earlier chunk c' than i's chunk c: exp(g_j − G_i) = a_j M_cc' b_i, M_cc' = exp(G_e(c') − G_e(c − 1)),
// all at most 1. So what they add is a product with two states, Σ_c' M_cc' Σ_j a_j k_j v_jᵀ before a chunk and Σ_c
// M_cc' Σ_i b_i/N_i q_i dh_iᵀ behind it, exact gradient included.
#include "mlstm_chunks.h"

#include <torch/torch.h>

namespace axlstm::ops {
namespace {

/// A head's tokens by chunks; H stands for B·NH.
class Chunks {
 public:
  Chunks(const torch::Tensor& q, const CellState& state, std::int64_t chunk)
      : B_(q.size(0)),
        S_(q.size(1)),
        NH_(q.size(2)),
        DH_(q.size(3)),
        L_(chunk),
        count_((S_ + L_ - 1) / L_),
        scale_(1.0 / std::sqrt(static_cast<double>(DH_))) {
    // Behind the last token a and b are exp(−∞).
    const auto g = by_chunk(state.scans.narrow(0, 0, 2), -INFINITY),
               G = by_chunk(state.scans.narrow(0, 2, 2), INFINITY);
    const auto ends = torch::arange(1, count_ + 1, torch::TensorOptions(torch::kLong).device(q.device())) * L_ - 1;
    const auto G_end = state.scans.narrow(0, 2, 2).flatten(1, 2).index_select(2, ends.clamp_max(S_ - 1));  // [2, H, n]
    const auto before = torch::constant_pad_nd(G_end, {1, -1});  // the first chunk's is not used
    const auto difference = [](const torch::Tensor& x, const torch::Tensor& y) {
      const auto both = x - y;  // high and low parts, in units of ln 2
      return torch::exp2(both[0] + both[1]);
    };
    a_ = difference(g, G_end.unsqueeze(-1)).flatten(0, 1).unsqueeze(-1);
    b_ = difference(before.unsqueeze(-1), G);
    b_.select(1, 0).zero_();
    b_ = b_.flatten(0, 1).unsqueeze(-1);
    decay_ = difference(G_end.unsqueeze(-2), before.unsqueeze(-1)).tril(-1);
  }

  /// [B, S, NH, DH] → [H·n, L, DH], zeros behind the last token.
  torch::Tensor split(const torch::Tensor& x) const {
    return torch::constant_pad_nd(x, {0, 0, 0, 0, 0, count_ * L_ - S_})
        .view({B_, count_, L_, NH_, DH_})
        .permute({0, 3, 1, 2, 4})
        .reshape({-1, L_, DH_});
  }
  /// Adds chunks [H·n, L, DH] to tokens [B, S, NH, DH].
  void add(const torch::Tensor& to, const torch::Tensor& chunks) const {
    to.add_(chunks.view({B_, NH_, count_ * L_, DH_}).transpose(1, 2).narrow(1, 0, S_));
  }
  /// [B, NH, S] → [H·n, L, 1]
  torch::Tensor rows(const torch::Tensor& x) const { return by_chunk(x.unsqueeze(0), 0).view({-1, L_, 1}); }
  /// [H·n, L, 1] → [B, NH, S]
  torch::Tensor tokens(const torch::Tensor& x) const {
    return x.view({B_, NH_, count_ * L_}).narrow(2, 0, S_).contiguous();
  }

  /// What the chunks before (after) each chunk add up to, each faded: [H·n, …] → [H·n, …].
  torch::Tensor before(const torch::Tensor& of) const { return passed(decay_, of); }
  torch::Tensor after(const torch::Tensor& of) const { return passed(decay_.transpose(1, 2), of); }

  const torch::Tensor& a() const { return a_; }  ///< [H·n, L, 1]
  const torch::Tensor& b() const { return b_; }  ///< [H·n, L, 1], 0 in the first chunk
  double scale() const { return scale_; }

 private:
  /// [x, B, NH, S] → [x, H, n, L]
  torch::Tensor by_chunk(const torch::Tensor& x, double padding) const {
    return torch::constant_pad_nd(x, {0, count_ * L_ - S_}, padding).view({x.size(0), B_ * NH_, count_, L_});
  }
  torch::Tensor passed(const torch::Tensor& decay, const torch::Tensor& of) const {
    return decay.to(of.scalar_type()).bmm(of.reshape({B_ * NH_, count_, -1})).view_as(of);
  }

  std::int64_t B_, S_, NH_, DH_, L_, count_;
  double scale_;
  torch::Tensor a_, b_, decay_;
};

/// The states before each chunk: Σ k vᵀ [H·n, DH, DH] and Σ k [H·n, DH, 1], faded.
struct States {
  torch::Tensor kv, k;
  States(const Chunks& chunks, const torch::Tensor& k_chunks, const torch::Tensor& v_chunks) {
    const auto faded = k_chunks * chunks.a();
    const auto narrow = faded.to(k_chunks.scalar_type());
    kv = chunks.before(narrow.transpose(1, 2).bmm(v_chunks));
    k = chunks.before(faded.sum(1).unsqueeze(-1));
  }
};

bool in_chunks(const kernels::MlstmShape& shape) { return shape.chunk > 0 && shape.chunk < shape.S; }

/// 1 / N [B, NH, S]
torch::Tensor inverse_normaliser(const CellState& state, double eps) {
  return 1 / (torch::maximum(state.n.abs(), state.scans[4]) + eps);
}

}  // namespace

void cell_forward(const CellInputs& inputs, const CellState& state, const torch::Tensor& h, cudaStream_t stream) {
  const auto& q = inputs.q;
  const auto type = data_type(q.scalar_type());
  kernels::ForwardParams params{
      cell_shape(q, inputs.eps), view(q), view(inputs.k), view(inputs.v), inputs.gates, state.gates(),
      state.n.data_ptr<float>(), view(h)};
  check_launch(kernels::mlstm_scan_gates(params, stream));
  if (!in_chunks(params.shape)) return check_launch(kernels::mlstm_forward(params, type, stream));

  const Chunks chunks(q, state, params.shape.chunk);
  const auto q_chunks = chunks.split(q);
  const States states(chunks, chunks.split(inputs.k), chunks.split(inputs.v));
  const auto factor = chunks.b() * chunks.scale();
  const auto n_before = chunks.tokens(q_chunks.to(torch::kFloat32).bmm(states.k) * factor);
  params.n_before = n_before.data_ptr<float>();
  check_launch(kernels::mlstm_forward(params, type, stream));
  chunks.add(h, q_chunks.bmm(states.kv) * (factor * chunks.rows(inverse_normaliser(state, inputs.eps))));
}

void cell_backward(const CellInputs& inputs, const CellState& state, const torch::Tensor& dh,
                   const CellGradients& gradients, cudaStream_t stream) {
  const auto &q = inputs.q, &k = inputs.k, &v = inputs.v;
  const auto type = data_type(q.scalar_type());
  kernels::BackwardParams params;
  params.shape = cell_shape(q, inputs.eps);
  params.sum_parts = kernels::sum_parts(params.shape, type);
  const auto device = state.n.options();
  const auto rows = torch::empty({3, params.shape.B, params.shape.NH, params.shape.S}, device);
  const auto sums = torch::empty({2, params.sum_parts, params.shape.B, params.shape.NH, params.shape.S}, device);
  params.q = view(q);
  params.k = view(k);
  params.v = view(v);
  params.dh = view(dh);
  params.gates = inputs.gates;
  params.state = state.gates();
  params.n = state.n.data_ptr<float>();
  params.rows = {rows[0].data_ptr<float>(), rows[1].data_ptr<float>(), rows[2].data_ptr<float>()};
  params.row_sum = sums[0].data_ptr<float>();
  params.column_sum = sums[1].data_ptr<float>();
  params.dq = view(gradients.dq);
  params.dk = view(gradients.dk);
  params.dv = view(gradients.dv);
  params.di = gradients.di;
  params.df = gradients.df;
  if (!in_chunks(params.shape)) {
    check_launch(kernels::mlstm_backward(params, type, stream));
    return check_launch(kernels::mlstm_backward_gates(params, stream));
  }

  const Chunks chunks(q, state, params.shape.chunk);
  const auto q_chunks = chunks.split(q), k_chunks = chunks.split(k), v_chunks = chunks.split(v),
             dh_chunks = chunks.split(dh);
  const States states(chunks, k_chunks, v_chunks);
  const auto b_by_N = chunks.b() * chunks.rows(inverse_normaliser(state, inputs.eps));
  const auto factor = b_by_N * chunks.scale();
  const auto product = [](const torch::Tensor& x, const torch::Tensor& y) {  // of rows
    return (x.to(torch::kFloat32) * y).sum(-1, true);
  };
  const auto dh_states = dh_chunks.bmm(states.kv.transpose(1, 2)).to(torch::kFloat32);
  const auto delta_before = chunks.tokens(product(q_chunks, dh_states) * factor);
  params.delta_before = delta_before.data_ptr<float>();
  check_launch(kernels::mlstm_backward(params, type, stream));

  const auto signed_delta = chunks.rows(rows[2]);
  const auto dq = (dh_states - signed_delta * states.k.transpose(1, 2)) * factor;
  chunks.add(gradients.dq, dq);
  sums[0][1].copy_(chunks.tokens(product(q_chunks, dq)));

  const auto faded = q_chunks * b_by_N;
  const auto later = chunks.after(faded.to(q.scalar_type()).transpose(1, 2).bmm(dh_chunks));       // Σ q dhᵀ
  const auto later_q = chunks.after((faded * signed_delta).sum(1).unsqueeze(-1)).transpose(1, 2);  // Σ s δ q
  const auto a = chunks.a() * chunks.scale();
  const auto dk = (v_chunks.bmm(later.transpose(1, 2)).to(torch::kFloat32) - later_q) * a;
  chunks.add(gradients.dk, dk);
  sums[1][1].copy_(chunks.tokens(product(k_chunks, dk)));
  chunks.add(gradients.dv, k_chunks.bmm(later) * a);
  check_launch(kernels::mlstm_backward_gates(params, stream));
}

}  // namespace axlstm::ops
