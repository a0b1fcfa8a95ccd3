// Where the program was built without CUDA.
#include "axlstm/core/error.h"
#include "axlstm/runtime/device_graph.h"

namespace axlstm::runtime {

struct DeviceGraph::Recorded {};

DeviceGraph::DeviceGraph(const torch::Device& device, const std::function<void()>&) {
  throw Error("device graph: this program was built without CUDA, the device is " + device.str());
}

DeviceGraph::~DeviceGraph() = default;

void DeviceGraph::replay() {}

bool DeviceGraph::can_record(const torch::Device&) { return false; }

bool DeviceGraph::has_room(const torch::Device&) { return false; }

}  // namespace axlstm::runtime
