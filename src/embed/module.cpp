#include "axlstm/embed/module.h"

#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>
#include <span>
#include <string_view>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

/// How far off its own embeddings a module may be, of the largest value: what other machines' float32 leaves, and what
/// 16 bits leave of a deep model.
constexpr double kWideError = 1e-3, kNarrowError = 5e-2;

/// Sound that one call of a module takes at first, if it is of several clips or windows.
constexpr double kSecondsOnCpu = 20, kSecondsOnGpu = kBatchSeconds;

/// The graph's interpreter throws all that fails in it as one type.
bool is_out_of_memory(const std::exception& failure) {
  return std::string_view(failure.what()).find("out of memory") != std::string_view::npos;
}

double difference(const torch::Tensor& found, const torch::Tensor& wanted) {
  const double error = ((found - wanted).abs().max() / wanted.abs().max()).item<double>();
  return std::isfinite(error) ? error : INFINITY;
}

class ModuleEncoder final : public ClipEncoder {
 public:
  ModuleEncoder(const fs::path& folder, const runtime::Arithmetic& arithmetic, bool announced)
      : options_(read_module_options(folder / "module.yaml")),
        arithmetic_(arithmetic),
        model_(load_exported(folder / "model.pt", arithmetic.device)),
        description_(
            str(options_.description.empty() ? folder.filename().string() : options_.description, ", module ",
                fnv1a64_hex(InputFile(folder / "model.pt")),
                arithmetic.precision == runtime::Precision::kFp32 ? "" : str(", ", enum_name(arithmetic.precision)))),
        samples_at_once_(samples_of(1000 * (arithmetic.device.is_cpu() ? kSecondsOnCpu : kSecondsOnGpu))) {
    check(folder / "check.safetensors", announced);
  }

  /// Clips of one length go through the module together, wherever they stand; nothing is padded.
  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms, EmbeddingKind kind) override {
    std::map<std::int64_t, std::vector<std::size_t>> of_length;
    for (std::size_t clip = 0; clip < waveforms.size(); ++clip) {
      const torch::Tensor& waveform = waveforms[clip];
      AXLSTM_CHECK(waveform.dim() == 1 && waveform.numel() >= options_.min_samples, "a clip of ", waveform.numel(),
                   " samples is too short for this module, which needs ", options_.min_samples);
      of_length[waveform.numel()].push_back(clip);
    }
    std::vector<ClipEmbedding> embeddings(waveforms.size());
    for (const auto& [length, clips] : of_length) {
      std::vector<torch::Tensor> equal;
      equal.reserve(clips.size());
      for (const std::size_t clip : clips) equal.push_back(waveforms[clip]);
      const auto found = kind == EmbeddingKind::kScene ? scenes(torch::stack(equal)) : steps(torch::stack(equal));
      for (std::size_t n = 0; n < clips.size(); ++n)
        embeddings[clips[n]] = embedding(found[static_cast<std::int64_t>(n)], kind);
    }
    return embeddings;
  }

  int sample_rate() const override { return static_cast<int>(options_.sample_rate); }
  bool takes_any_rate() const override { return true; }
  bool scenes_are_means() const override {
    return options_.scene == SceneKind::kMean && options_.windows.scene_ms == 0;
  }
  std::string description() const override { return description_; }

  /// As for an encoder of ours: a GPU leaves the cores to decoding, and takes the next batch while one is embedded.
  int decoding_threads() const override { return arithmetic_.device.is_cpu() ? 1 : allowed_cores(); }
  int calls_at_once() const override { return arithmetic_.device.is_cpu() ? 1 : 2; }

 private:
  enum class Wanted { kSteps, kMean, kOwnScene };

  std::int64_t samples_of(double ms) const {
    return std::llround(ms * static_cast<double>(options_.sample_rate) / 1000);
  }

  ClipEmbedding embedding(const torch::Tensor& found, EmbeddingKind kind) const {
    if (kind == EmbeddingKind::kScene) return {.scene = found, .timestamps = {}, .timestamps_ms = {}};
    std::vector<double> times;
    for (std::int64_t step = 0; step < found.size(0); ++step)
      times.push_back(options_.first_ms + static_cast<double>(step) * options_.step_ms);
    return {{}, found, std::move(times)};
  }

  /// [B, T] → [B, W] float32 on the CPU, as all below.
  torch::Tensor scenes(const torch::Tensor& clips) {
    const WindowOptions& windows = options_.windows;
    if (options_.scene == SceneKind::kOwn) return run(clips, Wanted::kOwnScene);
    if (windows.scene_ms > 0 && clips.size(1) > samples_of(windows.scene_ms))
      return of_windows(clips, windows.scene_ms, windows.scene_step_ms).mean(1);
    return windows.ms > 0 && windows.scene_ms == 0 ? steps(clips).mean(1) : run(clips, Wanted::kMean);
  }

  /// [B, T] → [B, steps, W]
  torch::Tensor steps(const torch::Tensor& clips) {
    return options_.windows.ms > 0 ? of_windows(clips, options_.windows.ms, options_.step_ms)
                                   : run(clips, Wanted::kSteps);
  }

  /// [B, T] → [B, 1 + ⌊T / step⌋ or so, W]: the embeddings of windows around multiples of the step.
  torch::Tensor of_windows(const torch::Tensor& clips, double ms, double step_ms) {
    const auto size = samples_of(ms), step = samples_of(step_ms);
    std::vector<torch::Tensor> found;
    for (const auto& clip : clips.unbind())
      found.push_back(run(padded(clip, size / 2).unfold(0, size, step), Wanted::kMean));
    return torch::stack(found);
  }

  /// [T] → [T + 2 · pad]
  torch::Tensor padded(const torch::Tensor& clip, std::int64_t pad) const {
    if (options_.windows.padding == Padding::kZero) return torch::constant_pad_nd(clip, {pad, pad});
    auto positions = torch::arange(-pad, clip.numel() + pad);
    const std::span all(positions.mutable_data_ptr<std::int64_t>(), static_cast<std::size_t>(positions.numel()));
    for (std::int64_t& position : all) position = features::reflect(position, clip.numel());
    return clip.index_select(0, positions);
  }

  torch::Tensor run(const torch::Tensor& clips, Wanted wanted) {
    const torch::InferenceMode inference;
    std::vector<torch::Tensor> found;
    for (std::int64_t first = 0; first < clips.size(0);) {
      const auto most = options_.batch ? std::max<std::int64_t>(1, samples_at_once_ / clips.size(1)) : 1;
      const auto count = std::min(most, clips.size(0) - first);
      torch::Tensor part;
      try {
        part = call(clips.narrow(0, first, count), wanted);
      } catch (const std::exception& failure) {
        if (count == 1 || !is_out_of_memory(failure))
          throw Error(str("the module fails on ", count == 1 ? str("a clip") : str(count, " clips"), " of ",
                          clips.size(1), " samples: ", failure.what()));
      }
      if (!part.defined()) {  // outside the handler: the exception keeps tensors alive
        samples_at_once_ = count / 2 * clips.size(1);
        log::warn(str("out of memory on ", arithmetic_.device.str(), ": ", count / 2, " clips of ", clips.size(1),
                      " samples at once from now on"));
        continue;
      }
      found.push_back(part);
      first += count;
    }
    return found.size() == 1 ? found.front() : torch::cat(found);
  }

  torch::Tensor call(const torch::Tensor& clips, Wanted wanted) {
    const auto inputs = inputs_of(clips.contiguous().to(arithmetic_.device));
    torch::Tensor found;
    {
      const std::lock_guard lock(calling_);
      const auto autocast = arithmetic_.autocast();
      found = wanted == Wanted::kOwnScene ? model_->scene(inputs) : model_->forward(inputs);
    }
    const bool fits = wanted == Wanted::kOwnScene ? found.dim() == 2 : found.dim() == 3 && found.size(1) > 0;
    AXLSTM_CHECK(fits && found.size(0) == clips.size(0), "the module makes ", found.sizes(), " of ", clips.size(0),
                 " clips, ",
                 wanted == Wanted::kOwnScene ? "scenes are [B, width]" : "embeddings are [B, steps, width]");
    found = found.to(torch::kFloat32);
    return (wanted == Wanted::kMean ? found.mean(1) : found).cpu();
  }

  /// In float32: Kaldi's energies of 16-bit numbers have no room in fp16.
  torch::Tensor inputs_of(const torch::Tensor& waveforms) const {
    switch (options_.front_end) {
      case FrontEndKind::kKaldiFbank:
        return features::kaldi_fbank(waveforms, options_.fbank);
      case FrontEndKind::kPasstMel:
        return features::passt_mel(waveforms, options_.passt);
      case FrontEndKind::kWaveform:
        break;
    }
    return waveforms;
  }

  void check(const fs::path& file, bool announced) {
    const auto tensors = checkpoints::load_tensors(file);
    const auto tensor = [&](const std::string& name) {
      const auto found = tensors.find(name);
      AXLSTM_CHECK(found != tensors.end(), file.string(), ": ", name, " is missing");
      return found->second;
    };
    const bool narrow = arithmetic_.dtype() != torch::kFloat32;
    double worst = 0;
    const auto expect = [&](const torch::Tensor& found, const std::string& name, const char* how) {
      const torch::Tensor wanted = tensor(name);
      AXLSTM_CHECK(found.sizes() == wanted.sizes(), file.string(), ": ", name, " is ", wanted.sizes(),
                   ", the module makes ", found.sizes());
      const double error = difference(found, wanted);
      AXLSTM_CHECK(error <= (narrow ? kNarrowError : kWideError), file.string(), ": ", name, ": the module's are ",
                   error, " of the largest value off those that it made where it was exported", how,
                   narrow ? "; try --precision fp32" : "");
      worst = std::max(worst, error);
    };
    for (const std::string number : {"0", "1"}) {
      const auto clip = tensor("waveform." + number).unsqueeze(0);
      expect(steps(clip)[0], "embedding." + number, "");
      const std::string scene = "scene." + number;
      if (tensors.contains(scene) || options_.scene == SceneKind::kOwn) expect(scenes(clip)[0], scene, "");
      if (options_.batch && number == "1")
        expect(steps(torch::cat({0.5 * clip.square(), clip}))[1], "embedding." + number,
               " if it is given another clip beside it; set module.batch to false");
    }
    AXLSTM_CHECK(tensor("waveform.0").numel() != tensor("waveform.1").numel(), file.string(),
                 ": both waveforms are of one length, which says nothing of others");
    if (announced)
      log::info(str(description_, ": runs the program model.pt of its folder; ", worst, " off its own embeddings"));
  }

  ModuleOptions options_;
  runtime::Arithmetic arithmetic_;
  std::unique_ptr<ExportedModel> model_;
  std::string description_;
  std::atomic<std::int64_t> samples_at_once_;  ///< less where memory is short
  std::mutex calling_;                         ///< of model_
};

}  // namespace

std::unique_ptr<ClipEncoder> open_module(const fs::path& folder, const runtime::Arithmetic& arithmetic,
                                         bool announced) {
  AXLSTM_CHECK(fs::is_directory(folder), folder.string(), ": no such folder; module: needs one with model.pt, ",
               "module.yaml and check.safetensors");
  return std::make_unique<ModuleEncoder>(folder, arithmetic, announced);
}

}  // namespace axlstm::embed
