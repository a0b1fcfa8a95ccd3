#include "axlstm/embed/module.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/config/config.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

/// How far off its own embeddings a module may be, of the largest value: what other machines' float32 leaves, and what
/// 16 bits leave of a deep model.
constexpr double kWideError = 1e-3, kNarrowError = 5e-2;

ModuleOptions read_options(const fs::path& file) {
  ModuleOptions options;
  const config::Node root = config::parse(read_file(file), file.string());
  config::Reader reader(root);
  visit(options, reader);
  reader.finish();
  options.fbank.sample_rate = options.sample_rate;
  return options;
}

class ModuleEncoder final : public ClipEncoder {
 public:
  ModuleEncoder(const fs::path& folder, const runtime::Arithmetic& arithmetic, bool announced)
      : options_(read_options(folder / "module.yaml")),
        arithmetic_(arithmetic),
        model_(load_exported(folder / "model.pt", arithmetic.device)),
        description_(
            str(options_.description.empty() ? folder.filename().string() : options_.description, ", module ",
                fnv1a64_hex(InputFile(folder / "model.pt")),
                arithmetic.precision == runtime::Precision::kFp32 ? "" : str(", ", enum_name(arithmetic.precision)))) {
    check(folder / "check.safetensors", announced);
  }

  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms, EmbeddingKind kind) override {
    std::vector<ClipEmbedding> embeddings;
    embeddings.reserve(waveforms.size());
    // One by one: neighbours of another length would have to be padded, and of one length not every model gives a clip
    // the same digits in every company.
    for (const torch::Tensor& waveform : waveforms) {
      auto steps = encode(waveform);
      if (kind == EmbeddingKind::kScene) {
        embeddings.push_back({.scene = steps.mean(0), .timestamps = {}, .timestamps_ms = {}});
        continue;
      }
      std::vector<double> times;
      for (std::int64_t step = 0; step < steps.size(0); ++step) {
        times.push_back(options_.first_ms + static_cast<double>(step) * options_.step_ms);
      }
      embeddings.push_back({{}, std::move(steps), std::move(times)});
    }
    return embeddings;
  }

  int sample_rate() const override { return static_cast<int>(options_.sample_rate); }
  bool takes_any_rate() const override { return true; }
  std::string description() const override { return description_; }

 private:
  /// [T] → [steps, W] float32 on the CPU.
  torch::Tensor encode(const torch::Tensor& waveform) {
    AXLSTM_CHECK(waveform.dim() == 1 && waveform.numel() >= options_.min_samples, "a clip of ", waveform.numel(),
                 " samples is too short for this module, which needs ", options_.min_samples);
    const torch::InferenceMode inference;
    const auto autocast = arithmetic_.autocast();
    torch::Tensor found;
    try {
      found = model_->forward(input_of(waveform.unsqueeze(0).to(arithmetic_.device)));
    } catch (const std::exception& failure) {
      throw Error(str("the module fails on a clip of ", waveform.numel(), " samples: ", failure.what()));
    }
    AXLSTM_CHECK(found.dim() == 3 && found.size(0) == 1 && found.size(1) > 0, "the module makes ", found.sizes(),
                 " of one clip, embeddings are [1, steps, width]");
    return found[0].to(torch::kCPU, torch::kFloat32);
  }

  torch::Tensor input_of(const torch::Tensor& waveform) const {
    return options_.front_end == FrontEndKind::kWaveform ? waveform : features::kaldi_fbank(waveform, options_.fbank);
  }

  void check(const fs::path& file, bool announced) {
    const auto tensors = checkpoints::load_tensors(file);
    double worst = 0;
    for (const std::string number : {"0", "1"}) {
      const auto waveform = tensors.find("waveform." + number), wanted = tensors.find("embedding." + number);
      AXLSTM_CHECK(waveform != tensors.end() && wanted != tensors.end(), file.string(), ": waveform.", number,
                   " or embedding.", number, " is missing");
      const auto found = encode(waveform->second);
      AXLSTM_CHECK(found.sizes() == wanted->second.sizes(), file.string(), ": embedding.", number, " is ",
                   wanted->second.sizes(), ", the module makes ", found.sizes());
      const double error = ((found - wanted->second).abs().max() / wanted->second.abs().max()).item<double>();
      worst = std::isfinite(error) ? std::max(worst, error) : INFINITY;
    }
    AXLSTM_CHECK(tensors.at("waveform.0").numel() != tensors.at("waveform.1").numel(), file.string(),
                 ": both waveforms are of one length, which says nothing of others");
    const bool narrow = arithmetic_.dtype() != torch::kFloat32;
    AXLSTM_CHECK(worst <= (narrow ? kNarrowError : kWideError), file.string(), ": the module's embeddings are ", worst,
                 " of the largest value off those that it made where it was exported",
                 narrow ? "; try --precision fp32" : "");
    if (announced)
      log::info(str(description_, ": runs the program model.pt of its folder; ", worst, " off its own embeddings"));
  }

  ModuleOptions options_;
  runtime::Arithmetic arithmetic_;
  std::unique_ptr<ExportedModel> model_;
  std::string description_;
};

}  // namespace

void visit(ModuleOptions& options, Visitor& v) {
  v.begin_section("module", "An encoder that was exported from PyTorch.");
  v.text("description", options.description, "what it is, for people");
  v.integer("sample_rate", options.sample_rate, {1, 1'000'000}, "Hz of its waveforms");
  v.integer("min_samples", options.min_samples, kPositive, "of the shortest clip that it takes");
  v.number("first_ms", options.first_ms, {0, 1e6}, "time of the first step");
  v.number("step_ms", options.step_ms, {1e-3, 1e6}, "from step to step");
  v.choice("front_end", options.front_end, "what model.pt is fed with");
  v.end_section();
  v.begin_section("kaldi_fbank", "The front end of that name: Kaldi's log-mel filterbank, 25 ms every 10 ms.");
  v.integer("mels", options.fbank.mels, {1, 4096}, "bins");
  v.choice("window", options.fbank.window, "of a frame");
  v.boolean("remove_mean", options.fbank.remove_mean, "of the whole waveform");
  v.number("scale", options.fbank.scale, {1e-9, 1e9}, "of the waveform");
  v.number("mean", options.fbank.mean, {-1e9, 1e9}, "features leave as (f − mean) / std");
  v.number("std", options.fbank.std, {1e-9, 1e9}, "see mean");
  v.end_section();
}

std::unique_ptr<ClipEncoder> open_module(const fs::path& folder, const runtime::Arithmetic& arithmetic,
                                         bool announced) {
  AXLSTM_CHECK(fs::is_directory(folder), folder.string(), ": no such folder; module: needs one with model.pt, ",
               "module.yaml and check.safetensors");
  return std::make_unique<ModuleEncoder>(folder, arithmetic, announced);
}

}  // namespace axlstm::embed
