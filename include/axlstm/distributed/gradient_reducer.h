// Adds gradients up over the ranks while the backward pass is still computing others.
#pragma once

#include <c10/core/Event.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <functional>
#include <optional>
#include <vector>

#include "axlstm/distributed/process_group.h"

namespace axlstm::distributed {

/// Gradients are copied into flat buckets in reverse order of the parameters, about the order in which they are
/// computed; a full bucket is summed at once. Sums, not means as c10d::Reducer makes them: each rank weighs its loss by
/// its share of the global batch, so that shares may differ.
class GradientReducer {
 public:
  /// For one module at a time: a parameter has room for one hook of this kind.
  GradientReducer(const torch::nn::Module& module, ProcessGroup& group, const DistributedOptions& options);
  ~GradientReducer();
  GradientReducer(const GradientReducer&) = delete;
  GradientReducer& operator=(const GradientReducer&) = delete;

  /// Call before the last micro-batch's backward pass: its gradients are complete and are summed over ranks. Earlier
  /// micro-batches only accumulate locally.
  void begin();

  /// Ends the sums. Gradients are then views of the buckets; parameters that had none have zeros.
  void finish();

  /// Time in which the last finish() held the device up (sums that computing did not hide, and waiting for slower
  /// ranks). On a GPU: call after a synchronisation.
  double seconds_waited() const;

 private:
  struct Hook;
  struct Bucket {
    torch::Tensor flat;  ///< [sum of the sizes]
    std::vector<torch::Tensor> parameters, views;
    std::size_t missing = 0;  ///< gradients not there yet
    std::function<void()> wait;
  };

  void ready(std::size_t bucket);
  void start(Bucket& bucket);

  ProcessGroup& group_;
  bool overlap_;
  std::vector<Bucket> buckets_;
  std::size_t next_ = 0;  ///< bucket to be summed next: all ranks must take the same order
  bool active_ = false;
  double seconds_waited_ = 0;
  std::optional<c10::Event> before_, after_;  ///< around the wait, on a GPU
};

}  // namespace axlstm::distributed
