#include "axlstm/embed/classifier.h"

#include <torch/torch.h>

#include "axlstm/checkpoints/checkpoint.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/data/dataset.h"
#include "axlstm/data/whole_clips.h"
#include "axlstm/features/log_mel.h"
#include "axlstm/model/blocks.h"
#include "axlstm/runtime/device.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kFilesAtOnce = 64;
constexpr std::int64_t kCropsAtOnce = 64;

/// The checkpoint that is meant.
fs::path checkpoint_of(const fs::path& folder) {
  const bool is_run = fs::is_directory(folder / "checkpoints");
  need(is_run || !fs::is_directory(folder / "fold00"),
       str(folder.string(), ": holds a run for each fold; name one, such as ", (folder / "fold00").string()));
  return is_run ? checkpoints::best_checkpoint(folder) : checkpoints::model_folder(folder);
}

config::RunConfig config_of(const fs::path& checkpoint) {
  const fs::path file = checkpoint / "config.yaml";
  auto config = config::read_stored(read_file(file), file.string());
  need(config.objective == objective::Kind::kClassification,
       str(checkpoint.string(), ": is no classifier (objective.name is ", enum_name(config.objective),
           "); `finetune` makes one of it"));
  config.model.backend = ops::Backend::kAuto;  // what the training machine used may not exist here
  config.model.isa = ops::Isa::kAuto;
  return config;
}

runtime::Precision precision_of(const ClassifierArguments& arguments, const config::RunConfig& config,
                                const torch::Device& device) {
  if (arguments.precision != runtime::Precision::kAuto) return arguments.precision;
  return device.is_cpu() ? runtime::Precision::kFp32 : config.train.precision;
}

}  // namespace

Classifier::Classifier(const ClassifierArguments& arguments, bool announced)
    : arithmetic_(runtime::Precision::kFp32, torch::kCPU) {
  const fs::path checkpoint = checkpoint_of(expand_home(arguments.name));
  config_ = config_of(checkpoint);
  const auto device = runtime::choose_device(arguments.device);
  arithmetic_ = runtime::Arithmetic(precision_of(arguments, config_, device), device);
  runtime::set_float32_arithmetic(arithmetic_.precision);
  const bool ema = config_.train.ema_decay > 0;
  const auto saved = checkpoints::load_model(checkpoint, ema);
  const fs::path weights = checkpoint / (ema ? "ema.safetensors" : "model.safetensors");
  model_ = model::Classifier(config_.model, config_.head);
  checkpoints::load_state_dict(*model_, saved.tensors, weights.string());
  model_->to(device);
  model_->eval();
  if (!announced) return;
  const std::string summary = model::kernel_plan(config_.model, arithmetic_).summary;
  log::info(str("weights of ", weights.string()));
  log::info(str(model::describe(config_.model), ", ", classes().size(), " classes, ", enum_name(arithmetic_.precision),
                summary.empty() ? "" : ", " + summary));
}

bool Classifier::is_exclusive() const { return config_.classification.targets == objective::Targets::kMulticlass; }

torch::Tensor Classifier::of_crops(const torch::Tensor& crops) {
  const auto autocast = arithmetic_.autocast();
  return model::probabilities(model_->logits(crops), is_exclusive());
}

torch::Tensor Classifier::probabilities(const std::vector<torch::Tensor>& waveforms) {
  const torch::NoGradGuard no_grad;
  const features::LogMel log_mel(config_.audio);
  const std::int64_t count = config_.head.crop_frames(config_.model);
  std::vector<torch::Tensor> of_clips;
  for (const auto& waveform : waveforms) {
    AXLSTM_CHECK(waveform.dim() == 1 && waveform.numel() > 0, "a waveform must be [samples], got ", waveform.sizes());
    auto features = log_mel(waveform.to(torch::kCPU, torch::kFloat32));
    const auto statistics = features::clip_statistics(features, config_.audio.clip_std);
    features::check_statistics(statistics, "a waveform");
    features = features::normalize(features, statistics);
    std::vector<torch::Tensor> crops;
    for (const std::int64_t start : data::crop_starts(features.size(0), count))
      crops.push_back(data::crop_of(features, count, [start](auto, auto) { return start; }).unsqueeze(0));
    torch::Tensor sum;
    for (const auto& part : torch::stack(crops).split(kCropsAtOnce)) {
      const auto of_part = of_crops(part.to(arithmetic_.device)).sum(0).cpu();
      sum = sum.defined() ? sum + of_part : of_part;
    }
    of_clips.push_back(sum / static_cast<double>(crops.size()));
  }
  return of_clips.empty() ? torch::zeros({0, config_.head.outputs()}) : torch::stack(of_clips);
}

std::size_t Classifier::classify(const std::vector<fs::path>& files, const TakeFile& take) {
  std::size_t failed = 0;
  for (std::size_t first = 0; first < files.size(); first += kFilesAtOnce) {
    data::Manifest manifest;
    manifest.source = "the files";
    std::vector<std::int64_t> clips;
    for (std::size_t n = first; n < std::min(files.size(), first + kFilesAtOnce); ++n) {
      manifest.clips.add(files[n].string());
      clips.push_back(static_cast<std::int64_t>(n - first));
    }
    data::DataOptions options = config_.data;
    options.max_bad_fraction = 1;
    data::Dataset dataset(std::move(manifest), config_.audio, options);
    const auto found = data::over_whole_clips(
        dataset, clips,
        {.crop_frames = config_.head.crop_frames(config_.model), .batch = kCropsAtOnce, .device = arithmetic_.device},
        [&](const torch::Tensor& crops) { return of_crops(crops); });
    failed += clips.size() - found.clips.size();
    for (std::size_t n = 0; n < found.clips.size(); ++n) {
      take(files[first + static_cast<std::size_t>(found.clips[n])], found.values[static_cast<std::int64_t>(n)]);
    }
  }
  return failed;
}

}  // namespace axlstm::embed
