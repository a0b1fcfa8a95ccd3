// What a GPU was asked to do, to be asked again at the cost of one launch (a CUDA graph).
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>

namespace axlstm::runtime {

class DeviceGraph {
 public:
  /// Calls `work`, whose operators on `device` are recorded, not carried out. They must be the same every time, read
  /// and write tensors that outlive the graph or are made by `work`, and never wait for the device. Throws what `work`
  /// throws, and c10::Error for what cannot be recorded.
  DeviceGraph(const torch::Device& device, const std::function<void()>& work);
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  /// Carries them out on the current stream.
  void replay();

  /// True for a GPU, if this program was built with CUDA.
  static bool can_record(const torch::Device& device);

  /// True if the most that was in use so far is at most a third of the GPU's memory: a graph keeps for itself what its
  /// tensors need, beside what others hold in reserve.
  static bool has_room(const torch::Device& device);

 private:
  struct Recorded;
  std::unique_ptr<Recorded> recorded_;
};

}  // namespace axlstm::runtime
