#include "clip.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

namespace axlstm::ops::cpu {
namespace {

constexpr std::int64_t kRowGrain = 32;  // tokens at a time: their rows fit into the first cache

const float* in(const at::Tensor& x) { return x.const_data_ptr<float>(); }
float* out(const at::Tensor& x) { return x.data_ptr<float>(); }

/// What a clip keeps: which, of what size, and whether kernel.recompute drops it.
struct Size {
  at::Tensor Kept::*member;
  std::vector<std::int64_t> sizes;
  bool computed_again;
};

std::vector<Size> sizes_of(const Clip& clip) {
  const std::vector<std::int64_t> heads{kHeads, clip.S, clip.DH};
  return {{&Kept::up, {clip.S, 2 * clip.I}, false},
          {&Kept::c, {clip.S, clip.I}, true},
          {&Kept::q, heads, true},
          {&Kept::k, heads, true},
          {&Kept::v, heads, true},
          {&Kept::gates, {clip.S, kGates}, false},
          {&Kept::h, heads, false}};
}

}  // namespace

Clip::Clip(const std::vector<at::Tensor>& arguments, const Flags& flags)
    : B(arguments[kX].size(0)),
      S(arguments[kX].size(1)),
      D(arguments[kX].size(2)),
      I(arguments[kSkip].size(0)),
      DH(I / kHeads),
      arguments_(arguments),
      flags_(flags) {}

Kept Clip::keep_all() const {
  Kept all;
  for (auto& [member, sizes, computed_again] : sizes_of(*this)) {
    if (flags_.recompute && computed_again) continue;
    sizes.insert(sizes.begin(), B);
    all.*member = at::empty(sizes, at::kFloat);
  }
  return all;
}

Kept Clip::of_clip(const Kept& all, std::int64_t clip, Scratch& scratch) const {
  Kept kept;
  for (const auto& [member, sizes, computed_again] : sizes_of(*this)) {
    kept.*member = (all.*member).defined() ? (all.*member)[clip] : scratch.take(sizes);
  }
  return kept;
}

void Clip::norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& sum, const at::Tensor& u) const {
  NormRows rows = norm_rows();
  rows.x = in(x);
  rows.y = delta.defined() ? in(delta) : nullptr;
  rows.sum = sum.defined() ? out(sum) : nullptr;
  rows.u = out(u);
  at::parallel_for(0, S, kRowGrain, [&](std::int64_t begin, std::int64_t end) { add_norm(rows, begin, end); });
}

void Clip::project_up(const at::Tensor& u, Kept& kept) const { at::mm_out(kept.up, u, arguments_[kProjUp].t()); }

void Clip::input(Kept& kept) const {
  InputRows rows = input_rows(kept);
  rows.c = out(kept.c);
  rows.q = out(kept.q);
  rows.k = out(kept.k);
  rows.v = out(kept.v);
  at::parallel_for(0, S, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (; begin < end; begin += kRowGrain) block_input(rows, begin, std::min(begin + kRowGrain, end));
  });
  at::addmm_out(kept.gates, arguments_[kGateBias], kept.c, arguments_[kCGate].t());
  kept.gates.addmm_(a_of(kept.up), arguments_[kAGate].t());
}

void Clip::cell(Kept& kept) const { cell_forward(kept.q, kept.k, kept.v, gates(kept), flags_.eps, kept.h); }

void Clip::output(const Kept& kept, const at::Tensor& mixed, at::Tensor found) const {
  OutputRows rows = output_rows(kept, mixed);
  at::parallel_for(0, S, kRowGrain, [&](std::int64_t begin, std::int64_t end) { block_output(rows, begin, end); });
  at::mm_out(found, mixed, arguments_[kProjDown].t());
}

NormRows Clip::norm_rows() const {
  NormRows rows;
  rows.S = S;
  rows.D = D;
  rows.reverse_y = flags_.reverse_delta;
  rows.reverse_u = flags_.reverse;
  rows.weight = in(arguments_[kNorm]);
  return rows;
}

InputRows Clip::input_rows(const Kept& kept) const {
  const at::Tensor& qkv = arguments_[kQkv];
  InputRows rows;
  rows.S = S;
  rows.I = I;
  rows.DH = DH;
  rows.up = in(kept.up);
  rows.weights = {in(arguments_[kConv]), in(arguments_[kConvBias]), in(qkv[0]), in(qkv[1]), in(qkv[2])};
  return rows;
}

OutputRows Clip::output_rows(const Kept& kept, const at::Tensor& mixed) const {
  OutputRows rows;
  rows.S = S;
  rows.I = I;
  rows.DH = DH;
  rows.h = in(kept.h);
  rows.c = in(kept.c);
  rows.up = in(kept.up);
  rows.weight = in(arguments_[kOutNorm]);
  rows.skip = in(arguments_[kSkip]);
  rows.out = out(mixed);
  return rows;
}

ClipGates Clip::gates(const Kept& kept) const {
  return {in(kept.gates), in(kept.gates) + kHeads, kGates, flags_.sigmoid_input};
}

}  // namespace axlstm::ops::cpu
