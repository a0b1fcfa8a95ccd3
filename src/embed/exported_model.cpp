#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>
#include <torch/version.h>

#include "axlstm/core/error.h"
#include "axlstm/embed/module.h"

namespace axlstm::embed {
namespace {

/// Devices and tensors are constants of a graph that was traced: those of the machine where that happened. Numbers stay
/// on the CPU: sizes are made of them.
void move_constants(torch::jit::Block& block, const torch::Device& device) {
  for (torch::jit::Node* node : block.nodes()) {
    for (torch::jit::Block* inner : node->blocks()) move_constants(*inner, device);
    if (node->kind() != torch::jit::prim::Constant) continue;
    const auto kind = node->output()->type()->kind();
    if (kind == c10::TypeKind::DeviceObjType) node->s_(torch::jit::attr::value, device.str());
    const bool tensor = kind == c10::TypeKind::TensorType && node->hasAttribute(torch::jit::attr::value);
    if (tensor && node->t(torch::jit::attr::value).dim() > 0)
      node->t_(torch::jit::attr::value, node->t(torch::jit::attr::value).to(device));
  }
}

class TorchScript final : public ExportedModel {
 public:
  TorchScript(torch::jit::Module module, const torch::Device& device) : module_(std::move(module)) {
    module_.eval();
    module_.to(device);
    for (const auto& submodule : module_.modules()) {
      for (const auto& method : submodule.get_methods()) move_constants(*method.graph()->block(), device);
    }
  }

  torch::Tensor forward(const torch::Tensor& inputs) override { return run("forward", inputs); }
  torch::Tensor scene(const torch::Tensor& inputs) override { return run("scene", inputs); }

 private:
  /// As written: the optimiser compiles for each length that it meets, and changes the last digits from the third call
  /// on.
  torch::Tensor run(const char* name, const torch::Tensor& inputs) {
    const torch::jit::GraphOptimizerEnabledGuard as_written(false);
    const auto method = module_.find_method(name);
    AXLSTM_CHECK(method, "model.pt has no method ", name);
    return (*method)({inputs}).toTensor();
  }

  torch::jit::Module module_;
};

}  // namespace

std::unique_ptr<ExportedModel> load_exported(const std::filesystem::path& file, const torch::Device& device) {
  try {
    return std::make_unique<TorchScript>(torch::jit::load(file.string(), torch::kCPU), device);
  } catch (const c10::Error& failure) {
    throw Error(str(file.string(), ": is no TorchScript that this LibTorch (", TORCH_VERSION,
                    ") can load: ", failure.what_without_backtrace()));
  }
}

}  // namespace axlstm::embed
