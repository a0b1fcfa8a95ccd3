// Encoders of other projects, exported from PyTorch: `extract --model module:FOLDER`. The folder has
//
//   model.pt             TorchScript: waveforms [B, T] float32, or what the front end makes of them [B, frames, mels],
//                        → embeddings [B, steps, W]
//   module.yaml          ModuleOptions: its sample rate, the times of its steps
//   check.safetensors    waveform.0, waveform.1 [T] of different lengths and embedding.0, embedding.1 [steps, W] that
//   it
//                        made of them where it was exported
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
#include "axlstm/features/kaldi_fbank.h"
#include "axlstm/runtime/arithmetic.h"

namespace axlstm::embed {

enum class FrontEndKind { kWaveform, kKaldiFbank };
constexpr auto enum_names(FrontEndKind) { return std::array{"waveform", "kaldi_fbank"}; }

struct ModuleOptions {
  std::string description;
  std::int64_t sample_rate = 16000;
  std::int64_t min_samples = 1;  ///< shorter clips are refused: what a model makes of padding is not defined
  double first_ms = 0;           ///< time of the first step
  double step_ms = 20;
  FrontEndKind front_end = FrontEndKind::kWaveform;
  features::KaldiFbankOptions fbank;  ///< if it is that; its sample rate is the module's
};

/// Sections `module` and `kaldi_fbank` of module.yaml.
void visit(ModuleOptions& options, Visitor& v);

/// A file that computes embeddings; TorchScript today.
class ExportedModel {
 public:
  virtual ~ExportedModel() = default;
  virtual torch::Tensor forward(const torch::Tensor& inputs) = 0;  ///< → [B, steps, W], on its device
};

/// Throws Error naming the file if it cannot be read. Devices that its graph names are `device`.
std::unique_ptr<ExportedModel> load_exported(const std::filesystem::path& file, const torch::Device& device);

/// Checked against the folder's own embeddings, on `arithmetic`. Throws Error naming the file, and how far off it is if
/// it computes something else. Says how far off it is if `announced`.
std::unique_ptr<ClipEncoder> open_module(const std::filesystem::path& folder, const runtime::Arithmetic& arithmetic,
                                         bool announced);

}  // namespace axlstm::embed
