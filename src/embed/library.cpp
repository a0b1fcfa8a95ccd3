// An encoder as a class of PyTorch: torch.ops.load_library("libaxlstm_torch.so"), then torch.classes.axlstm.Encoder(…).
// The Python package (python/) is a thin layer over it.
#include <torch/custom_class.h>
#include <torch/torch.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/embed/classifier.h"
#include "axlstm/embed/open.h"
#include "axlstm/features/kaldi_fbank.h"
#include "axlstm/features/log_mel.h"
#include "axlstm/features/passt_mel.h"
#include "axlstm/runtime/device.h"

namespace axlstm::embed {
namespace {

template <typename Enum>
Enum choice(const char* name, const std::string& text) {
  const std::optional<Enum> found = enum_of<Enum>(text);
  AXLSTM_CHECK(found, name, " is '", text, "', it must be ", list_names<Enum>(" or "));
  return *found;
}

class PythonEncoder final : public torch::CustomClassHolder {
 public:
  PythonEncoder(std::string name, const std::string& device, const std::string& precision,
                const std::optional<std::string>& layout, const std::optional<std::string>& padding, bool ema,
                std::int64_t seed) {
    ModelArguments arguments;
    arguments.name = std::move(name);
    arguments.device = choice<runtime::DeviceChoice>("device", device);
    arguments.precision = choice<runtime::Precision>("precision", precision);
    if (layout) arguments.layout = choice<EmbeddingLayout>("layout", *layout);
    if (padding) arguments.padding = choice<Padding>("padding", *padding);
    arguments.ema = ema;
    arguments.seed = seed;
    encoder_ = open(arguments, runtime::choose_device(arguments.device), /*announced=*/false);
  }

  /// Of each waveform [T]: scene [W]; on the CPU.
  std::vector<torch::Tensor> scenes(const std::vector<torch::Tensor>& waveforms) {
    std::vector<torch::Tensor> scenes;
    // Copies: tensors that were made without autograd cannot take part in it later.
    for (const ClipEmbedding& clip : encoder_->embed(samples_of(waveforms), EmbeddingKind::kScene))
      scenes.push_back(clip.scene.clone());
    return scenes;
  }

  /// Of each waveform [T]: scene [W], timestamps [S, W], times [S] in milliseconds; on the CPU.
  std::vector<std::tuple<torch::Tensor, torch::Tensor, torch::Tensor>> embed(
      const std::vector<torch::Tensor>& waveforms) {
    std::vector<torch::Tensor> own_scenes;
    if (!encoder_->scenes_are_means()) own_scenes = scenes(waveforms);
    std::vector<std::tuple<torch::Tensor, torch::Tensor, torch::Tensor>> embeddings;
    for (const ClipEmbedding& clip : encoder_->embed(samples_of(waveforms), EmbeddingKind::kTimestamp)) {
      const auto steps = clip.timestamps.clone();  // as above
      const auto scene = own_scenes.empty() ? steps.mean(0) : own_scenes[embeddings.size()];
      embeddings.emplace_back(scene, steps, torch::tensor(clip.timestamps_ms, torch::kFloat64));
    }
    return embeddings;
  }

  /// What an encoder that sees log-mel makes of a waveform [T] first: [frames, mels], not normalised.
  torch::Tensor log_mel(const torch::Tensor& waveform) const {
    const auto front_end = encoder_->front_end();
    AXLSTM_CHECK(front_end, "this encoder sees no log-mel spectrogram");
    AXLSTM_CHECK(waveform.dim() == 1 && waveform.numel() > 0, "log_mel: a waveform must be [samples], got ",
                 waveform.sizes());
    return features::LogMel(front_end->log_mel)(waveform.detach().to(torch::kFloat32));
  }

  std::int64_t sample_rate() const { return encoder_->sample_rate(); }
  std::string description() const { return encoder_->description(); }

 private:
  static std::vector<torch::Tensor> samples_of(const std::vector<torch::Tensor>& waveforms) {
    std::vector<torch::Tensor> samples;
    samples.reserve(waveforms.size());
    for (const auto& waveform : waveforms) samples.push_back(waveform.detach().to(torch::kCPU, torch::kFloat32));
    return samples;
  }

  std::unique_ptr<ClipEncoder> encoder_;
};

class PythonClassifier final : public torch::CustomClassHolder {
 public:
  PythonClassifier(std::string name, const std::string& device, const std::string& precision)
      : classifier_({.name = std::move(name),
                     .device = choice<runtime::DeviceChoice>("device", device),
                     .precision = choice<runtime::Precision>("precision", precision)},
                    /*announced=*/false) {}

  /// Of waveforms [T]: [N, C] on the CPU.
  torch::Tensor probabilities(const std::vector<torch::Tensor>& waveforms) {
    std::vector<torch::Tensor> samples;
    samples.reserve(waveforms.size());
    for (const auto& waveform : waveforms) samples.push_back(waveform.detach());
    return classifier_.probabilities(samples);
  }

  std::vector<std::string> classes() const { return classifier_.classes(); }
  bool is_exclusive() const { return classifier_.is_exclusive(); }
  std::int64_t sample_rate() const { return classifier_.sample_rate(); }

 private:
  Classifier classifier_;
};

torch::Tensor kaldi_fbank_operator(const torch::Tensor& waveform, std::int64_t sample_rate, std::int64_t mels,
                                   const std::string& window, bool remove_mean, double scale, double mean, double std) {
  return features::kaldi_fbank(waveform, {.sample_rate = sample_rate,
                                          .mels = mels,
                                          .window = choice<features::KaldiWindow>("window", window),
                                          .remove_mean = remove_mean,
                                          .scale = scale,
                                          .mean = mean,
                                          .std = std});
}

torch::Tensor passt_mel_operator(const torch::Tensor& waveform, std::int64_t hop, double f_max_hz) {
  return features::passt_mel(waveform, {.hop = hop, .f_max_hz = f_max_hz});
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(axlstm, library) {
  library.def(
      "kaldi_fbank(Tensor waveform, int sample_rate=16000, int mels=128, str window='povey', bool remove_mean=False, "
      "float scale=1, float mean=0, float std=1) -> Tensor",
      kaldi_fbank_operator);
  library.def("passt_mel(Tensor waveform, int hop=320, float f_max_hz=15000) -> Tensor", passt_mel_operator);
  library.class_<PythonEncoder>("Encoder")
      .def(torch::init<std::string, std::string, std::string, std::optional<std::string>, std::optional<std::string>,
                       bool, std::int64_t>())
      .def("embed", [](const c10::intrusive_ptr<PythonEncoder>& self,
                       const std::vector<torch::Tensor>& waveforms) { return self->embed(waveforms); })
      .def("scenes", [](const c10::intrusive_ptr<PythonEncoder>& self,
                        const std::vector<torch::Tensor>& waveforms) { return self->scenes(waveforms); })
      .def("log_mel", [](const c10::intrusive_ptr<PythonEncoder>& self,
                         const torch::Tensor& waveform) { return self->log_mel(waveform); })
      .def("sample_rate", [](const c10::intrusive_ptr<PythonEncoder>& self) { return self->sample_rate(); })
      .def("description", [](const c10::intrusive_ptr<PythonEncoder>& self) { return self->description(); });
  library.class_<PythonClassifier>("Classifier")
      .def(torch::init<std::string, std::string, std::string>())
      .def("probabilities", [](const c10::intrusive_ptr<PythonClassifier>& self,
                               const std::vector<torch::Tensor>& waveforms) { return self->probabilities(waveforms); })
      .def("classes", [](const c10::intrusive_ptr<PythonClassifier>& self) { return self->classes(); })
      .def("is_exclusive", [](const c10::intrusive_ptr<PythonClassifier>& self) { return self->is_exclusive(); })
      .def("sample_rate", [](const c10::intrusive_ptr<PythonClassifier>& self) { return self->sample_rate(); });
}

}  // namespace axlstm::embed
