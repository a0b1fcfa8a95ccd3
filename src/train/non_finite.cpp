// Finds the clip and the module with which numbers stop being finite. Modules of LibTorch have no hooks, but every
// operator can be observed: the module is that of the parameter which an operator took last.
#include <ATen/record_function.h>
#include <torch/torch.h>

#include <limits>
#include <unordered_map>

#include "axlstm/core/error.h"
#include "axlstm/model/masking.h"
#include "axlstm/train/step.h"

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

/// Watches this thread's operators while it lives.
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
    if (name.find("empty") != std::string::npos) return;
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

NonFinite find_non_finite(model::MaskedModel& model, const torch::Tensor& spectrogram, const torch::Tensor& noise,
                          const RunSpec& spec) {
  for (const auto& item : model->named_parameters()) {
    if (!item.value().isfinite().all().item<bool>()) return {-1, "the weight " + item.key()};
  }
  const auto device = model->parameters().front().device();
  const auto dtype = compute_dtype(resolve_precision(spec.train.precision, device));
  for (std::int64_t row = 0; row < spectrogram.size(0); ++row) {
    const auto input = spectrogram.narrow(0, row, 1).to(device);
    if (!input.isfinite().all().item<bool>()) return {row, "the input"};
    const auto mask = model::mask_from_noise(noise.narrow(0, row, 1).to(device), spec.model, spec.mask);
    const auto predict = [&] {
      const Autocast autocast(device.type(), dtype, dtype != at::kFloat);
      return model->reconstruct(input, mask);
    };
    model->zero_grad();
    const auto prediction = predict();
    if (!prediction.isfinite().all().item<bool>()) {
      const torch::NoGradGuard no_grad;
      const Observer observer(*model);
      predict();
      return {row, observer.place().empty() ? "the prediction" : observer.place()};
    }
    const auto target = model::reconstruction_target(input, spec.model, spec.loss);
    model::reconstruction_loss(prediction, target, mask, spec.loss.region).backward();
    // Gradients come last module first: the last one that is damaged is where it began.
    const auto parameters = model->named_parameters().items();
    for (auto item = parameters.rbegin(); item != parameters.rend(); ++item) {
      const auto& gradient = item->value().grad();
      if (gradient.defined() && !gradient.isfinite().all().item<bool>()) return {row, "the gradient of " + item->key()};
    }
  }
  return {-1, "nowhere when clips are taken one by one: the sum over the batch overflows"};
}

}  // namespace axlstm::train
