// Memory of a thread that it uses again from call to call: what is new from the system costs a page fault for each
// 4 KiB, a third of the time of a small model's forward pass.
#pragma once

#include <torch/types.h>

#include <vector>

namespace axlstm::ops::cpu {

/// Float32 tensors, handed out one behind the other and all taken back by the object's end. Objects of one thread end
/// in the reverse order of their beginnings.
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// Contiguous, of any content.
  at::Tensor take(at::IntArrayRef sizes);

 private:
  std::size_t begin_;  ///< how many were out before
};

}  // namespace axlstm::ops::cpu
