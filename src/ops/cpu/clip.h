// The steps of a block for one clip on the CPU, in float32: what is between them stays in a core's cache.
#pragma once

#include <torch/types.h>

#include <vector>

#include "cell.h"
#include "rows.h"
#include "scratch.h"

namespace axlstm::ops::cpu {

inline constexpr std::int64_t kHeads = 4, kGates = 2 * kHeads;

/// Order of the block's tensors, and of their gradients.
enum Argument {
  kX,         // [B, S, D]
  kDelta,     // [B, S, D], or undefined
  kNorm,      // [D]
  kProjUp,    // [2I, D]
  kConv,      // [4 (tap), I]
  kConvBias,  // [I]
  kQkv,       // [3, 4, I], diagonals as in rows.h
  kCGate,     // [8, I] the gates' weights as they are seen from c: i, then f
  kAGate,     // [8, I] and from a
  kGateBias,  // [8]
  kOutNorm,   // [I]
  kSkip,      // [I]
  kProjDown,  // [D, I]
  kArguments
};

struct Flags {
  bool reverse_delta, reverse, sigmoid_input, recompute;
  double eps;  // of the cell
};

/// What the backward pass needs of one clip, or of all, with their number in front.
struct Kept {
  at::Tensor up;       ///< [S, 2I]: a, z
  at::Tensor c;        ///< [S, I]
  at::Tensor q, k, v;  ///< [4, S, I/4]
  at::Tensor gates;    ///< [S, 8]
  at::Tensor h;        ///< [4, S, I/4]

  static constexpr at::Tensor Kept::*kMembers[] = {&Kept::up, &Kept::c,     &Kept::q, &Kept::k,
                                                   &Kept::v,  &Kept::gates, &Kept::h};
};

/// Steps and sizes that all clips share. `arguments` must outlive it. Each step is spread over the threads, unless this
/// thread is one of several that have clips of their own.
class Clip {
 public:
  Clip(const std::vector<at::Tensor>& arguments, const Flags& flags);

  const std::int64_t B, S, D, I, DH;

  /// Tensors for all clips, but for what kernel.recompute drops.
  Kept keep_all() const;
  /// One clip's part of what is kept of all; what is not kept is scratch.
  Kept of_clip(const Kept& all, std::int64_t clip, Scratch& scratch) const;

  /// sum = x + delta and u, its norm [S, D]; `delta` and `sum` may be undefined.
  void norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& sum, const at::Tensor& u) const;
  void project_up(const at::Tensor& u, Kept& kept) const;
  void input(Kept& kept) const;  ///< c, q, k, v and gates, from up
  void cell(Kept& kept) const;   ///< h
  /// The down-projection's input [S, I], and what the block found [S, D].
  void output(const Kept& kept, const at::Tensor& mixed, at::Tensor found) const;

  NormRows norm_rows() const;
  InputRows input_rows(const Kept& kept) const;
  OutputRows output_rows(const Kept& kept, const at::Tensor& mixed) const;
  ClipGates gates(const Kept& kept) const;
  at::Tensor a_of(const at::Tensor& up) const { return up.narrow(-1, 0, I); }

 private:
  const std::vector<at::Tensor>& arguments_;
  Flags flags_;
};

}  // namespace axlstm::ops::cpu
