// Encoders of other projects, exported from PyTorch: `extract --model module:FOLDER`. The folder has
//
//   model.pt             TorchScript: waveforms [B, T] float32, or what the front end makes of them [B, frames, mels],
//                        → embeddings [B, steps, W]; with scene: own a method `scene` beside it, → [B, W]
//   module.yaml          ModuleOptions: its sample rate, its front end, the times of its steps, its windows
//   check.safetensors    waveform.0, waveform.1 [T] of different lengths and what it made of them where it was
//                        exported: embedding.0, embedding.1 [steps, W]; scene.0, scene.1 [W], needed with
//                        scene: own
//
// model.pt is a program: it runs what it says. Only folders from where programs may come should be opened.
#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <memory>
#include <string>

#include "axlstm/core/visitor.h"
#include "axlstm/embed/clip_encoder.h"
#include "axlstm/embed/options.h"
#include "axlstm/features/kaldi_fbank.h"
#include "axlstm/features/passt_mel.h"
#include "axlstm/runtime/arithmetic.h"

namespace axlstm::embed {

enum class FrontEndKind { kWaveform, kKaldiFbank, kPasstMel };
constexpr auto enum_names(FrontEndKind) { return std::array{"waveform", "kaldi_fbank", "passt_mel"}; }

/// What a clip's scene embedding is: the mean over its time steps (but see WindowOptions), or what the model's method
/// `scene` gives.
enum class SceneKind { kMean, kOwn };
constexpr auto enum_names(SceneKind) { return std::array{"mean", "own"}; }

/// Of a model that embeds a piece of sound as a whole. Windows stand around multiples of their step, from 0 on.
struct WindowOptions {
  double ms = 0;  ///< a time step is the embedding of a window so long, module.step_ms apart; 0: no windows
  Padding padding = Padding::kReflect;  ///< what stands beyond the clip: its reflection, as often as needed, or zeros
  double scene_ms = 0;       ///< a scene is the embedding of the clip as a whole, or the mean of windows so long if the
                             ///< clip is longer; 0: it is the mean of the time steps
  double scene_step_ms = 0;  ///< between those windows
};

struct ModuleOptions {
  std::string description;
  std::int64_t sample_rate = 16000;
  std::int64_t min_samples = 1;  ///< shorter clips are refused: what a model makes of padding is not defined
  double first_ms = 0;           ///< time of the first step
  double step_ms = 20;
  FrontEndKind front_end = FrontEndKind::kWaveform;
  SceneKind scene = SceneKind::kMean;
  bool batch = false;  ///< clips of one length in one call: whether the model gives a clip the same in any company
  features::KaldiFbankOptions fbank;  ///< if the front end is that; its sample rate is the module's
  features::PasstMelOptions passt;
  WindowOptions windows;
};

/// The sections of module.yaml.
void visit(ModuleOptions& options, Visitor& v);

/// Reads module.yaml. Throws UsageError naming the key, or Error naming the file.
ModuleOptions read_module_options(const std::filesystem::path& file);

/// A file that computes embeddings; TorchScript today.
class ExportedModel {
 public:
  virtual ~ExportedModel() = default;
  virtual torch::Tensor forward(const torch::Tensor& inputs) = 0;  ///< → [B, steps, W], on its device
  virtual torch::Tensor scene(const torch::Tensor& inputs) = 0;    ///< → [B, W]; Error if it has no such method
};

/// Throws Error naming the file if it cannot be read. Devices that its graph names are `device`.
std::unique_ptr<ExportedModel> load_exported(const std::filesystem::path& file, const torch::Device& device);

/// Checked against the folder's own embeddings, on `arithmetic`. Throws Error naming the file, and how far off it is if
/// it computes something else. Says how far off it is if `announced`.
std::unique_ptr<ClipEncoder> open_module(const std::filesystem::path& folder, const runtime::Arithmetic& arithmetic,
                                         bool announced);

}  // namespace axlstm::embed
