#include "axlstm/config/config.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/embed/module.h"

namespace axlstm::embed {
namespace {

constexpr Range kMilliseconds{0, 1e7};

void check(const ModuleOptions& options, const std::string& file) {
  const WindowOptions& windows = options.windows;
  const auto rate = features::PasstMelOptions::kSampleRate;
  if (options.front_end == FrontEndKind::kPasstMel)
    need(options.sample_rate == rate, str(file, ": module.front_end passt_mel is defined at ", rate,
                                          " Hz, module.sample_rate is ", options.sample_rate));
  need((windows.scene_ms > 0) == (windows.scene_step_ms > 0),
       str(file, ": windows.scene_ms and windows.scene_step_ms go together; one of them is 0"));
  need(windows.scene_ms == 0 || options.scene == SceneKind::kMean,
       str(file, ": windows.scene_ms needs module.scene mean"));
}

}  // namespace

void visit(ModuleOptions& options, Visitor& v) {
  v.begin_section("module", "An encoder that was exported from PyTorch.");
  v.text("description", options.description, "what it is, for people");
  v.integer("sample_rate", options.sample_rate, {1, 1'000'000}, "Hz of its waveforms");
  v.integer("min_samples", options.min_samples, kPositive, "of the shortest clip that it takes");
  v.number("first_ms", options.first_ms, {0, 1e6}, "time of the first step");
  v.number("step_ms", options.step_ms, {1e-3, 1e6}, "from step to step");
  v.choice("front_end", options.front_end, "what model.pt is fed with");
  v.choice("scene", options.scene, "a clip's scene embedding: the mean over its steps, or of a method of its own");
  v.boolean("batch", options.batch, "clips of one length go through it together");
  v.end_section();
  v.begin_section("kaldi_fbank", "The front end of that name: Kaldi's log-mel filterbank, 25 ms every 10 ms.");
  v.integer("mels", options.fbank.mels, {1, 4096}, "bins");
  v.choice("window", options.fbank.window, "of a frame");
  v.boolean("remove_mean", options.fbank.remove_mean, "of the whole waveform");
  v.number("scale", options.fbank.scale, {1e-9, 1e9}, "of the waveform");
  v.number("mean", options.fbank.mean, {-1e9, 1e9}, "features leave as (f − mean) / std");
  v.number("std", options.fbank.std, {1e-9, 1e9}, "see mean");
  v.end_section();
  v.begin_section("passt_mel", "The front end of that name: PaSST's log-mel spectrogram at 32 kHz.");
  v.integer("hop", options.passt.hop, {1, 65536}, "samples from frame to frame");
  v.number("f_max_hz", options.passt.f_max_hz, {1, 16000}, "highest frequency of the filterbank");
  v.end_section();
  v.begin_section("windows", "Of a model that embeds a piece of sound as a whole.");
  v.number("ms", options.windows.ms, kMilliseconds, "of the window around each time step; 0: no windows");
  v.choice("padding", options.windows.padding, "what stands beyond the clip");
  v.number(
      "scene_ms", options.windows.scene_ms, kMilliseconds,
      "a scene is of the clip as a whole, of a longer one the mean of windows so long; 0: the mean of the time steps");
  v.number("scene_step_ms", options.windows.scene_step_ms, kMilliseconds, "from one of these windows to the next");
  v.end_section();
}

ModuleOptions read_module_options(const std::filesystem::path& file) {
  ModuleOptions options;
  const config::Node root = config::parse(read_file(file), file.string());
  config::Reader reader(root);
  visit(options, reader);
  reader.finish();
  check(options, file.string());
  options.fbank.sample_rate = options.sample_rate;
  return options;
}

}  // namespace axlstm::embed
