#include "scratch.h"

#include <torch/torch.h>

namespace axlstm::ops::cpu {
namespace {

/// The thread's tensors [n], in the order of their use; the first `out` of them are in use.
struct Pool {
  std::vector<at::Tensor> tensors;
  std::size_t out = 0;
};

Pool& pool() {
  static thread_local Pool pool;
  return pool;
}

}  // namespace

Scratch::Scratch() : begin_(pool().out) {}

Scratch::~Scratch() { pool().out = begin_; }

at::Tensor Scratch::take(at::IntArrayRef sizes) {
  Pool& all = pool();
  if (all.out == all.tensors.size()) all.tensors.emplace_back();
  at::Tensor& tensor = all.tensors[all.out++];
  const std::int64_t size = c10::multiply_integers(sizes);
  if (!tensor.defined() || tensor.numel() < size) {
    const c10::InferenceMode no_inference(false);  // a later call may be in training
    tensor = at::empty({size}, at::kFloat);
  }
  return tensor.narrow(0, 0, size).view(sizes);
}

}  // namespace axlstm::ops::cpu
