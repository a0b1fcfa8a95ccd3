#include "axlstm/train/diagnose.h"

#include <ATen/record_function.h>
#include <torch/torch.h>

#include <algorithm>
#include <limits>
#include <unordered_map>

#include "axlstm/core/error.h"

namespace axlstm::train {
namespace {

/// "blocks.0.layer.proj_up.weight" → "blocks.0.layer.proj_up"
std::string module_of(const std::string& parameter) {
  const auto dot = parameter.rfind('.');
  return dot == std::string::npos ? parameter : parameter.substr(0, dot);
}

/// −∞ is no damage: it is how masked positions are written before the exponential.
bool is_damaged(const torch::Tensor& x) {
  if (!x.defined() || !x.is_floating_point() || x.numel() == 0) return false;
  return (x.isnan() | (x == std::numeric_limits<double>::infinity())).any().item<bool>();
}

/// Whether an operator only shows memory in another shape: it computes nothing, and the memory may not be written yet.
/// aten::to is no such one, for it may change the type.
bool is_view(const at::RecordFunction& call) {
  const auto schema = call.operator_schema();
  if (!schema || schema->name() == "aten::to") return false;
  return std::any_of(schema->returns().begin(), schema->returns().end(), [](const c10::Argument& output) {
    return output.alias_info() && !output.alias_info()->isWrite();
  });
}

/// Watches this thread's operators while it lives. Modules of LibTorch have no hooks, but every operator can be
/// observed: its module is that of the parameter which an operator took last.
class Observer {
 public:
  explicit Observer(const torch::nn::Module& module) {
    for (const auto& item : module.named_parameters())
      modules_[item.value().unsafeGetTensorImpl()] = module_of(item.key());
    active = this;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&Observer::before, &Observer::after)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~Observer() {
    at::removeCallback(handle_);
    active = nullptr;
  }
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;

  const std::string& place() const { return place_; }

 private:
  static std::unique_ptr<at::ObserverContext> before(const at::RecordFunction& call) {
    ++active->depth_;
    for (const auto& input : call.inputs()) {
      if (!input.isTensor()) continue;
      const auto found = active->modules_.find(input.toTensor().unsafeGetTensorImpl());
      if (found != active->modules_.end()) active->module_ = found->second;
    }
    return nullptr;
  }

  static void after(const at::RecordFunction& call, at::ObserverContext*) {
    // Of operators made of others only the whole counts: inside, memory may not be written yet.
    if (--active->depth_ > 0 || !active->place_.empty()) return;
    const std::string name = call.name();
    if (name.find("empty") != std::string::npos || is_view(call)) return;
    const at::DisableRecordFunctionGuard no_recursion;
    for (const auto& output : call.outputs()) {
      if (output.isTensor() && is_damaged(output.toTensor())) active->place_ = active->module_ + " (" + name + ")";
    }
  }

  static thread_local Observer* active;

  std::unordered_map<const at::TensorImpl*, std::string> modules_;
  std::string module_ = "the input", place_;
  int depth_ = 0;
  at::CallbackHandle handle_ = at::INVALID_CALLBACK_HANDLE;
};

thread_local Observer* Observer::active = nullptr;

}  // namespace

std::int64_t largest_fitting_batch(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn) {
  for (std::int64_t count = device_batch(setup.config, batch.size()) / 2; count > 0; count /= 2) {
    try {
      loss_of(setup.objective, setup.arithmetic, batch, drawn, 0, count).backward();
      return count;
    } catch (const c10::OutOfMemoryError&) {  // half as many
    }
  }
  return 0;
}

std::string out_of_memory_message(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn,
                                  std::int64_t step) {
  const std::int64_t fitting = largest_fitting_batch(setup, batch, drawn);
  const std::string problem = str("step ", step, ": out of memory on ", setup.arithmetic.device.str(), " with ",
                                  device_batch(setup.config, batch.size()), " clips at once; ");
  if (fitting == 0)
    return problem + "not even one fits beside the model: choose a smaller model.size or another device";
  return str(problem, fitting, " fit: set train.device_batch=", fitting,
             ", gradients are accumulated over the same optim.global_batch. The newest checkpoint is whole");
}

NonFinite find_non_finite(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn) {
  auto& module = setup.objective.module();
  for (const auto& item : module.named_parameters()) {
    if (!item.value().isfinite().all().item<bool>()) return {-1, "the weight " + item.key()};
  }
  for (std::int64_t row = 0; row < batch.size(); ++row) {
    if (!batch.spectrogram[row].isfinite().all().item<bool>()) return {row, "the input"};
    const auto loss_of_row = [&] { return loss_of(setup.objective, setup.arithmetic, batch, drawn, row, 1); };
    module.zero_grad();
    const auto loss = loss_of_row();
    if (!loss.isfinite().all().item<bool>()) {
      const torch::NoGradGuard no_grad;
      const Observer observer(module);
      loss_of_row();
      return {row, observer.place().empty() ? "the loss" : observer.place()};
    }
    loss.backward();
    // Gradients come last module first: the last one that is damaged is where it began.
    const auto parameters = module.named_parameters().items();
    for (auto item = parameters.rbegin(); item != parameters.rend(); ++item) {
      const auto& gradient = item->value().grad();
      if (gradient.defined() && !gradient.isfinite().all().item<bool>()) return {row, "the gradient of " + item->key()};
    }
  }
  return {-1, "nowhere when clips are taken one by one: the sum over the batch overflows"};
}

std::string locate_non_finite(const StepSetup& setup, const data::Batch& batch, const torch::Tensor& drawn,
                              const data::ClipSource& clips) {
  const NonFinite found = find_non_finite(setup, batch, drawn);
  std::string place = found.place;
  if (found.row >= 0) place += ", clip " + clips.id(batch.clips[static_cast<std::size_t>(found.row)]);
  if (!setup.ranks) return place;
  // Parts of the batch are in the order of the ranks.
  for (const std::string& other : setup.ranks->group.gather((found.row >= 0 ? "+" : "-") + place)) {
    if (other.front() == '+') return other.substr(1);
  }
  return place;
}

}  // namespace axlstm::train
