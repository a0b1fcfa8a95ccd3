// An exported encoder of one's own: the mean of each 100 samples, and twice that.
#include "axlstm/embed/module.h"

#include <gtest/gtest.h>
#include <torch/script.h>
#include <torch/torch.h>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/core/files.h"
#include "axlstm/embed/open.h"
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
