// An exported encoder of one's own: the mean of each 100 samples, and twice that.
#include "axlstm/embed/module.h"

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

#include <nlohmann/json.hpp>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/core/files.h"
#include "axlstm/embed/extraction.h"
#include "axlstm/embed/open.h"
#include "core/wav.h"
#include "support/expect_error.h"
#include "support/golden.h"
#include "support/tmpdir.h"

namespace axlstm::embed {
namespace {

constexpr const char* kForward = R"(
def forward(self, x):
    steps = x.unfold(1, 100, 100).mean(-1, keepdim=True)
    return torch.cat([steps, 2 * steps.to(torch.device("cpu"))], -1)
)";

torch::Tensor expected(const torch::Tensor& waveform) {
  const auto steps = waveform.unfold(0, 100, 100).mean(-1, /*keepdim=*/true);
  return torch::cat({steps, 2 * steps}, -1);
}

class ModuleFolder : public testing::Test {
 protected:
  ModuleFolder() {
    torch::jit::Module module("toy");
    module.define(kForward);
    module.save((folder_.path() / "model.pt").string());
    write_file_atomic(
        folder_.path() / "module.yaml",
        "module: {description: toy, sample_rate: 8000, min_samples: 100, first_ms: 6.25, step_ms: 12.5}\n");
    save_check(1);
  }

  void save_check(double scale, std::int64_t second = 950) {
    torch::manual_seed(1);
    const auto a = torch::randn({500}), b = torch::randn({second});
    checkpoints::save_tensors(
        folder_.path() / "check.safetensors",
        {{"waveform.0", a}, {"embedding.0", expected(a) * scale}, {"waveform.1", b}, {"embedding.1", expected(b)}});
  }

  std::unique_ptr<ClipEncoder> open_it() const {
    return open({.name = "module:" + folder_.path().string(), .layout = {}}, torch::kCPU, /*announced=*/false);
  }

  test::TemporaryFolder folder_;
};

TEST_F(ModuleFolder, EmbedsClipsOfAnyLengthAtItsRateAndTimes) {
  const auto encoder = open_it();
  EXPECT_EQ(encoder->sample_rate(), 8000);
  EXPECT_FALSE(has_layout("module:" + folder_.path().string()));
  const auto a = torch::randn({100}), b = torch::randn({1234});
  const auto clips = encoder->embed({a, b}, EmbeddingKind::kTimestamp);
  ASSERT_EQ(clips.size(), 2u);
  EXPECT_LE(test::absolute_error(clips[0].timestamps, expected(a)), 1e-6);
  EXPECT_LE(test::absolute_error(clips[1].timestamps, expected(b)), 1e-6);
  EXPECT_LE(test::absolute_error(encoder->embed({a, b}, EmbeddingKind::kScene)[1].scene, expected(b).mean(0)), 1e-6);
  ASSERT_EQ(clips[1].timestamps_ms.size(), 12u);
  EXPECT_EQ(clips[1].timestamps_ms[0], 6.25);
  EXPECT_EQ(clips[1].timestamps_ms[11], 6.25 + 11 * 12.5);
  EXPECT_NE(encoder->description().find("toy, module "), std::string::npos);
  test::expect_error([&] { encoder->embed({torch::randn({99})}, EmbeddingKind::kScene); }, {"99 samples", "100"});
}

TEST_F(ModuleFolder, LongClipsKeepTheirTimes) {
  const auto wav = folder_.write("audio/long.wav", test::wav_bytes(test::sine(2, 300, 8000), {.sample_rate = 8000}));
  const auto encoder = open_it();
  ExtractionOptions options{.output_dir = folder_.path() / "out", .kind = EmbeddingKind::kTimestamp};
  options.long_seconds = 0.5;
  ASSERT_EQ(extract_files(*encoder, {wav}, options).written, 1);
  const auto times = nlohmann::json::parse(read_file(folder_.path() / "out" / "long.wav.timestamps.json"));
  EXPECT_EQ(times.at(0).get<double>(), 6.25);
  EXPECT_EQ(times.size(), 160u);
}

TEST_F(ModuleFolder, AFilterbankMayStandInFrontOfIt) {
  torch::jit::Module module("toy");
  module.define("def forward(self, x):\n    return x * 2\n");
  module.save((folder_.path() / "model.pt").string());
  write_file_atomic(folder_.path() / "module.yaml",
                    "module: {min_samples: 400, step_ms: 10, front_end: kaldi_fbank}\n"
                    "kaldi_fbank: {mels: 64, window: hanning, remove_mean: true, scale: 2, mean: -4, std: 3}\n");
  const features::KaldiFbankOptions fbank{
      .mels = 64, .window = features::KaldiWindow::kHanning, .remove_mean = true, .scale = 2, .mean = -4, .std = 3};
  const auto a = torch::randn({500}), b = torch::randn({950});
  checkpoints::save_tensors(folder_.path() / "check.safetensors",
                            {{"waveform.0", a},
                             {"embedding.0", 2 * features::kaldi_fbank(a, fbank)},
                             {"waveform.1", b},
                             {"embedding.1", 2 * features::kaldi_fbank(b, fbank)}});
  const auto clip = open_it()->embed({b}, EmbeddingKind::kTimestamp).front();
  EXPECT_LE(test::relative_error(clip.timestamps, 2 * features::kaldi_fbank(b, fbank)), 1e-6);
}

/// [B, frames, mels] → [B, 1, mels]
constexpr const char* kOneVector = "def forward(self, x):\n    return x.mean(1, keepdim=True)\n";

TEST_F(ModuleFolder, WindowsStandAroundMultiplesOfTheStep) {
  torch::jit::Module module("toy");
  module.define(kOneVector);
  module.save((folder_.path() / "model.pt").string());
  write_file_atomic(folder_.path() / "module.yaml",
                    "module: {sample_rate: 32000, min_samples: 1000, step_ms: 50, front_end: passt_mel, batch: true}\n"
                    "windows: {ms: 160, scene_ms: 500, scene_step_ms: 125}\n");
  const auto window = [](const torch::Tensor& clip, std::int64_t size, std::int64_t step) {
    const auto padded = torch::reflection_pad1d(clip.unsqueeze(0), {size / 2, size / 2})[0];
    return features::passt_mel(padded.unfold(0, size, step).contiguous()).mean(1);
  };
  const auto a = torch::randn({15000}), b = torch::randn({32000});
  checkpoints::save_tensors(folder_.path() / "check.safetensors", {{"waveform.0", a},
                                                                   {"embedding.0", window(a, 5120, 1600)},
                                                                   {"scene.0", features::passt_mel(a).mean(0)},
                                                                   {"waveform.1", b},
                                                                   {"embedding.1", window(b, 5120, 1600)},
                                                                   {"scene.1", window(b, 16000, 4000).mean(0)}});
  const auto encoder = open_it();
  const auto clip = encoder->embed({b}, EmbeddingKind::kTimestamp).front();
  ASSERT_EQ(clip.timestamps.size(0), 21);
  EXPECT_EQ(clip.timestamps_ms.back(), 1000);
  EXPECT_LE(test::absolute_error(clip.timestamps, window(b, 5120, 1600)), 1e-5);
  EXPECT_LE(
      test::absolute_error(encoder->embed({a, b}, EmbeddingKind::kScene)[1].scene, window(b, 16000, 4000).mean(0)),
      1e-5);
  // Shorter than half a window: reflected as often as needed.
  EXPECT_TRUE(
      encoder->embed({b.narrow(0, 0, 1000)}, EmbeddingKind::kTimestamp)[0].timestamps.isfinite().all().item<bool>());
}

TEST_F(ModuleFolder, WithoutAWindowForScenesTheyAreMeansOfTheTimeSteps) {
  torch::jit::Module module("toy");
  module.define("def forward(self, x):\n    return torch.stack([x[:, 0], x[:, 7]], -1).unsqueeze(1)\n");
  module.save((folder_.path() / "model.pt").string());
  write_file_atomic(folder_.path() / "module.yaml",
                    "module: {sample_rate: 1000, step_ms: 5, batch: true}\nwindows: {ms: 8, padding: zero}\n");
  const auto steps = [](const torch::Tensor& x) {
    const auto all = torch::constant_pad_nd(x, {4, 4}).unfold(0, 8, 5);
    return torch::stack({all.select(1, 0), all.select(1, 7)}, -1);
  };
  const auto a = torch::randn({30}), b = torch::randn({42});
  checkpoints::save_tensors(
      folder_.path() / "check.safetensors",
      {{"waveform.0", a}, {"embedding.0", steps(a)}, {"waveform.1", b}, {"embedding.1", steps(b)}});
  EXPECT_LE(test::absolute_error(open_it()->embed({b}, EmbeddingKind::kScene)[0].scene, steps(b).mean(0)), 1e-6);
}

/// The device "meta" has no numbers: an operator that is given a tensor of the CPU beside one of its own refuses.
TEST_F(ModuleFolder, ConstantsOfTheGraphGoToTheDevice) {
  torch::jit::Module module("toy");
  module.define(R"(
def forward(self, x):
    return x + torch.ones([3], device=torch.device("cpu"))
)");
  const auto file = folder_.path() / "moved.pt";
  module.save(file.string());
  const auto meta = torch::Device(torch::kMeta);
  EXPECT_EQ(load_exported(file, meta)->forward(torch::ones({2, 1, 3}, meta)).device(), meta);
  EXPECT_EQ(load_exported(file, torch::kCPU)->forward(torch::ones({2, 1, 3})).device(), torch::Device(torch::kCPU));
  test::expect_error([&] { load_exported(file, torch::kCPU)->scene(torch::ones({2, 3})); }, {"no method scene"});
}

TEST_F(ModuleFolder, ASceneMayBeTheModelsOwn) {
  torch::jit::Module module("toy");
  module.define("def forward(self, x):\n    return x.unfold(1, 100, 100).mean(-1, keepdim=True)\n");
  module.define("def scene(self, x):\n    return x.amax(1, keepdim=True)\n");
  module.save((folder_.path() / "model.pt").string());
  write_file_atomic(folder_.path() / "module.yaml", "module: {min_samples: 100, scene: own}\n");
  const auto a = torch::randn({500}), b = torch::randn({950});
  const auto steps = [](const torch::Tensor& x) { return x.unfold(0, 100, 100).mean(-1, /*keepdim=*/true); };
  checkpoints::NamedTensors check{
      {"waveform.0", a}, {"embedding.0", steps(a)}, {"waveform.1", b}, {"embedding.1", steps(b)}};
  const auto save = [&] { checkpoints::save_tensors(folder_.path() / "check.safetensors", check); };
  save();
  test::expect_error([&] { open_it(); }, {"scene.0 is missing"});
  check.emplace_back("scene.0", a.amax().view({1}));
  check.emplace_back("scene.1", b.amax().view({1}));
  save();
  EXPECT_EQ(open_it()->embed({b}, EmbeddingKind::kScene)[0].scene.item<float>(), b.max().item<float>());
  check.back().second = b.mean().view({1});
  save();
  test::expect_error([&] { open_it(); }, {"scene.1", "off"});
}

/// Clips of one length go together, and a thing that knows its company is found out.
TEST_F(ModuleFolder, ClipsOfOneLengthGoTogether) {
  const auto define = [&](const char* code) {
    torch::jit::Module module("toy");
    module.define(code);
    module.save((folder_.path() / "model.pt").string());
  };
  write_file_atomic(folder_.path() / "module.yaml", "module: {min_samples: 100, batch: true}\n");
  torch::manual_seed(1);
  const std::vector<torch::Tensor> clips{torch::randn({700}), torch::randn({300}), torch::randn({700}),
                                         torch::randn({300}), torch::randn({700}), torch::randn({700})};
  const auto expect_alone = [&] {
    const auto together = open_it()->embed(clips, EmbeddingKind::kTimestamp);
    for (std::size_t n = 0; n < clips.size(); ++n)
      EXPECT_LE(test::relative_error(together[n].timestamps, expected(clips[n])), 1e-5) << n;
  };
  define(kForward);
  expect_alone();
  // As many as memory has room for: here three.
  define(R"(
def forward(self, x):
    assert x.size(0) <= 3, "CUDA out of memory. Tried to allocate 2 GiB"
    steps = x.unfold(1, 100, 100).mean(-1, keepdim=True)
    return torch.cat([steps, 2 * steps], -1)
)");
  expect_alone();
  define(R"(
def forward(self, x):
    steps = (x - x.mean() + 0.001).unfold(1, 100, 100).mean(-1, keepdim=True)
    return torch.cat([steps, 2 * steps], -1)
)");
  const auto a = torch::randn({500}), b = torch::randn({950});
  const auto alone = [](const torch::Tensor& x) { return expected(x - x.mean() + 0.001); };
  checkpoints::save_tensors(
      folder_.path() / "check.safetensors",
      {{"waveform.0", a}, {"embedding.0", alone(a)}, {"waveform.1", b}, {"embedding.1", alone(b)}});
  test::expect_error([&] { open_it(); }, {"another clip beside it", "module.batch"});
  write_file_atomic(folder_.path() / "module.yaml", "module: {min_samples: 100}\n");
  EXPECT_LE(test::relative_error(open_it()->embed(clips, EmbeddingKind::kTimestamp)[4].timestamps, alone(clips[4])),
            1e-5);
}

TEST_F(ModuleFolder, IsHeldToItsOwnEmbeddings) {
  save_check(1.01);
  test::expect_error([&] { open_it(); }, {"check.safetensors", "off"});
  save_check(1, 500);
  test::expect_error([&] { open_it(); }, {"check.safetensors", "one length"});
}

TEST_F(ModuleFolder, WhatIsMissingOrWrongIsNamed) {
  const auto refused = [&](std::initializer_list<std::string> parts) { test::expect_error([&] { open_it(); }, parts); };
  write_file_atomic(folder_.path() / "module.yaml", "module: {rate: 8000}\n");
  test::expect_usage_error([&] { open_it(); }, {"module.rate"});
  write_file_atomic(folder_.path() / "module.yaml", "module: {sample_rate: 8000}\n");
  write_file_atomic(folder_.path() / "model.pt", "PK nonsense");
  refused({"model.pt", "TorchScript"});
  write_file_atomic(folder_.path() / "module.yaml", "module: {front_end: passt_mel, sample_rate: 16000}\n");
  test::expect_usage_error([&] { open_it(); }, {"passt_mel", "32000", "16000"});
  write_file_atomic(folder_.path() / "module.yaml", "windows: {scene_ms: 100}\n");
  test::expect_usage_error([&] { open_it(); }, {"windows.scene_step_ms"});
  write_file_atomic(folder_.path() / "module.yaml", "module: {sample_rate: 8000}\n");
  std::filesystem::remove(folder_.path() / "model.pt");
  refused({"model.pt"});
  test::expect_error(
      [&] {
        open_module(folder_.path() / "no", {runtime::Precision::kFp32, torch::kCPU}, false);
      },
      {"no such folder", "check.safetensors"});
  test::expect_usage_error(
      [&] { open({.name = "module:x", .layout = EmbeddingLayout::kReleased}, torch::kCPU, false); }, {"--layout"});
}

}  // namespace
}  // namespace axlstm::embed
