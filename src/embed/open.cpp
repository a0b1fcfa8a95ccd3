#include "axlstm/embed/open.h"

#include <torch/torch.h>

#include "axlstm/checkpoints/checkpoint.h"
#include "axlstm/checkpoints/tensors.h"
#include "axlstm/config/schema.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/random.h"
#include "axlstm/embed/embedder.h"
#include "axlstm/embed/module.h"
#include "axlstm/embed/naive.h"
#include "axlstm/model/architecture.h"
#include "axlstm/model/blocks.h"

namespace axlstm::embed {
namespace {

constexpr const char* kNaive = "naive";
constexpr const char* kRandomPrefix = "random:";
constexpr const char* kModulePrefix = "module:";

/// The paper's embeddings were made under fp16 autocast on a GPU.
runtime::Precision precision_of(runtime::Precision wanted, const torch::Device& device) {
  if (wanted != runtime::Precision::kAuto) return wanted;
  return device.is_cpu() ? runtime::Precision::kFp32 : runtime::Precision::kFp16;
}

/// HEAR-naive behind the interface of an encoder.
class NaiveEncoder final : public ClipEncoder {
 public:
  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms, EmbeddingKind kind) override {
    std::vector<ClipEmbedding> embeddings;
    for (const auto& waveform : waveforms) {
      if (kind == EmbeddingKind::kScene) {
        embeddings.push_back({.scene = naive_.scene(waveform), .timestamps = {}, .timestamps_ms = {}});
      } else {
        auto frames = naive_.timestamps(waveform);
        embeddings.push_back({{}, frames.embedding, std::move(frames.timestamps_ms)});
      }
    }
    return embeddings;
  }
  bool embeds_long() const override { return true; }
  LongClip embed_long(const audio::Recording& recording, const TakeStep& take) override {
    return naive_.timestamps(recording, take);
  }
  int sample_rate() const override { return NaiveEmbedder::kSampleRate; }
  bool takes_any_rate() const override { return true; }
  std::string description() const override { return "HEAR-naive"; }

 private:
  NaiveEmbedder naive_;
};

/// Two lists of tensors would differ in every block: naming both architectures says more.
void check_architecture(const checkpoints::SavedModel& saved, const std::string& arch, const std::string& weights) {
  if (model::architecture(arch).marker.empty()) return;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : saved.tensors) {
    if (name.starts_with("blocks.")) names.push_back(name);
  }
  const model::Architecture* found = model::architecture_of(names);
  AXLSTM_CHECK(found == nullptr || found->name == arch, weights, ": these weights are of model.arch ", found->name,
               ", but ", (saved.folder / "config.yaml").string(), " says ", arch);
}

std::unique_ptr<ClipEncoder> embedder(const config::RunConfig& config, model::Encoder encoder,
                                      const ModelArguments& arguments, torch::Device device, const std::string& weights,
                                      bool announced) {
  const runtime::Arithmetic arithmetic(precision_of(arguments.precision, device), device);
  const std::string summary = model::kernel_plan(config.model, arithmetic).summary;
  if (announced) {
    log::info(str(model::describe(config.model), ", ", model::parameter_count(*encoder), " parameters", ", ",
                  enum_name(arithmetic.precision), summary.empty() ? "" : ", " + summary));
  }
  const EmbeddingOptions embedding{.layout = arguments.layout.value_or(config.embedding.layout),
                                   .padding = arguments.padding.value_or(config.embedding.padding)};
  runtime::set_float32_arithmetic(arithmetic.precision);
  const bool exact = arithmetic.precision == runtime::Precision::kFp32;
  const std::string description =
      str(weights, ", layout ", enum_name(embedding.layout),
          embedding.padding == Padding::kZero ? "" : str(", padding ", enum_name(embedding.padding)),
          exact ? "" : str(", ", enum_name(arithmetic.precision)));
  return std::make_unique<Embedder>(std::move(encoder), config.audio, embedding, arithmetic, description);
}

}  // namespace

bool has_layout(const std::string& name) { return name != kNaive && !name.starts_with(kModulePrefix); }

std::unique_ptr<ClipEncoder> open(const ModelArguments& arguments, torch::Device device, bool announced) {
  if (arguments.name == kNaive) {
    if (arguments.ema || arguments.layout || arguments.padding) {
      throw UsageError(
          "the features of HEAR-naive have neither averaged weights (--ema) nor a layout (--layout) nor padding "
          "(--padding)");
    }
    if (announced) log::info("HEAR-naive features at 44.1 kHz");
    return std::make_unique<NaiveEncoder>();
  }
  if (arguments.name.starts_with(kModulePrefix)) {
    if (arguments.ema || arguments.layout || arguments.padding) {
      throw UsageError("a module has neither averaged weights (--ema) nor a layout (--layout) nor padding (--padding)");
    }
    // What its users publish is float32, unlike this paper's.
    const bool automatic = arguments.precision == runtime::Precision::kAuto;
    const runtime::Arithmetic arithmetic(automatic ? runtime::Precision::kFp32 : arguments.precision, device);
    runtime::set_float32_arithmetic(arithmetic.precision);
    return open_module(expand_home(arguments.name.substr(std::string(kModulePrefix).size())), arithmetic, announced);
  }
  if (arguments.name.rfind(kRandomPrefix, 0) == 0) {
    const auto config = config::read(config::load(arguments.name.substr(std::string(kRandomPrefix).size())));
    torch::manual_seed(derive_seed({static_cast<std::uint64_t>(arguments.seed), kInitStream}));
    return embedder(config, model::Encoder(config.model), arguments, device,
                    str("random weights of seed ", arguments.seed, " for ", model::describe(config.model)), announced);
  }
  const checkpoints::SavedModel saved = checkpoints::load_model(expand_home(arguments.name), arguments.ema);
  auto config = config::read_stored(saved.config_yaml, (saved.folder / "config.yaml").string());
  config.model.backend = ops::Backend::kAuto;  // what the training machine used may not exist here
  config.model.isa = ops::Isa::kAuto;
  const auto weights = saved.folder / (arguments.ema ? "ema.safetensors" : "model.safetensors");
  if (announced) log::info("weights of " + weights.string());
  check_architecture(saved, config.model.arch, weights.string());
  model::Encoder encoder(config.model);
  checkpoints::load_state_dict(*encoder, saved.tensors, weights.string(), model::head_prefixes());
  // FNV-1a, not XXH3: folders of embeddings hold this text, and with another one all that exist would count as made by
  // other weights.
  const std::string hash = fnv1a64_hex(InputFile(weights));
  return embedder(config, encoder, arguments, device, str(saved.folder.filename().string(), ", weights ", hash),
                  announced);
}

}  // namespace axlstm::embed
