// A step as two CUDA graphs, up to where the host decides on the update, and the update: the GPU does the same as
// without, but does not wait for the host to ask for each of some thousand kernels.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "axlstm/data/batch.h"
#include "axlstm/runtime/device_graph.h"
#include "axlstm/train/options.h"

namespace axlstm::train {

class AdamW;
struct StepSetup;

class StepGraph {
 public:
  explicit StepGraph(CudaGraph choice) : choice_(choice) {}

  /// What until_ranks_meet() does and returns, to the last bit: the first steps, and batches of another size, by that
  /// function, the others by a graph. A graph that cannot be recorded is a warning, for CudaGraph::kOn an Error.
  torch::Tensor run(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn);

  /// AdamW::step() with the gradients of the last run(), by a graph if that was one.
  void update(AdamW& optimizer, double lr);

  bool recorded() const { return graph_ != nullptr; }

 private:
  bool wanted(const StepSetup& setup) const;
  bool fits(const data::Batch& batch, const torch::Tensor& drawn) const;
  void record(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn);
  torch::Tensor replay(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn);

  CudaGraph choice_;
  std::int64_t steps_ = 0;  ///< without a graph
  std::unique_ptr<runtime::DeviceGraph> graph_, update_;
  data::Batch batch_;                     ///< what the graph reads
  torch::Tensor drawn_;                   ///< and this
  torch::Tensor totals_;                  ///< what it writes
  std::vector<torch::Tensor> gradients_;  ///< and these, one a parameter
  bool replayed_ = false;                 ///< the last run was by the graph
};

}  // namespace axlstm::train
