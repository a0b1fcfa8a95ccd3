#include "axlstm/embed/embedder.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/checkpoints/tensors.h"
#include "model/golden_options.h"
#include "support/golden.h"

namespace axlstm::embed {
namespace {

constexpr double kLimit = 1e-4;

TEST(EmbedderTest, EqualsTheReleasedCodeForClipsOfAllLengthsTogether) {
  constexpr auto kName = "runtime_axlstm";
  const auto golden = test::load_golden(kName);
  const auto options = test::options_of(golden.config);
  for (const auto layout : {EmbeddingLayout::kTimeFrequency, EmbeddingLayout::kReleased}) {
    model::Encoder encoder(options);
    checkpoints::load_state_dict(*encoder, golden.with_prefix("param."), kName, model::head_prefixes());
    Embedder embedder(encoder, {}, {layout}, {runtime::Precision::kFp32, torch::kCPU}, "", /*batch_chunks=*/3);
    const std::string layout_name = layout == EmbeddingLayout::kReleased ? "official" : "time_frequency";
    std::vector<torch::Tensor> waveforms;  // clips of all lengths together, to mix them in batches
    for (const std::string length : {"0.5", "2.0", "3.73"}) {
      for (const auto& clip : golden["in." + length + ".waveform"].unbind()) waveforms.push_back(clip);
    }
    const auto scenes = embedder.embed(waveforms, EmbeddingKind::kScene);
    const auto steps = embedder.embed(waveforms, EmbeddingKind::kTimestamp);
    std::size_t at = 0;
    for (const std::string length : {"0.5", "2.0", "3.73"}) {
      const std::string prefix = "out." + length + ".";
      for (std::int64_t clip = 0; clip < 2; ++clip, ++at) {
        test::expect_golden(kName, "scene " + layout_name,
                            test::relative_error(scenes[at].scene, golden[prefix + layout_name + ".scene"][clip]),
                            kLimit);
        test::expect_golden(
            kName, "timestamp " + layout_name,
            test::relative_error(steps[at].timestamps, golden[prefix + layout_name + ".timestamp"][clip]), kLimit);
        test::expect_golden(kName, "times",
                            test::relative_error(torch::tensor(steps[at].timestamps_ms, torch::kFloat64),
                                                 golden[prefix + "timestamps_ms"]),
                            1e-9);
      }
    }
  }
}

/// Normalised spectrograms of clips shorter than a chunk, as long as one, and longer.
TEST(EmbedderTest, EqualsSsamsReleasedCode) {
  constexpr auto kName = "ssam_chunks_d32";
  const auto golden = test::load_golden(kName);
  const auto options = test::options_of(golden.config);
  for (const auto layout : {EmbeddingLayout::kTimeFrequency, EmbeddingLayout::kReleased}) {
    model::Encoder encoder(options);
    checkpoints::load_state_dict(*encoder, golden.with_prefix("param."), kName, model::head_prefixes());
    Embedder embedder(encoder, {}, {layout}, {runtime::Precision::kFp32, torch::kCPU}, "", /*batch_chunks=*/3);
    const std::string layout_name = layout == EmbeddingLayout::kReleased ? "released" : "time_frequency";
    for (const std::string frames : {"51", "200", "374"}) {
      const auto spectrogram = golden["in." + frames + ".spectrogram"];
      const std::int64_t L = options.frames, length = spectrogram.size(2), chunks = (length + L - 1) / L;
      const auto padded = torch::constant_pad_nd(spectrogram, {0, 0, 0, chunks * L - length});
      const auto steps = embedder.encode(padded.view({chunks, 1, L, -1})).flatten(0, 1);
      const auto timestamps = steps.narrow(0, 0, (length + options.patch_frames - 1) / options.patch_frames);
      const std::string prefix = "out." + frames + "." + layout_name + ".";
      test::expect_golden(kName, "scene " + layout_name,
                          test::relative_error(timestamps.mean(0), golden[prefix + "scene"][0]), kLimit);
      test::expect_golden(kName, "timestamp " + layout_name,
                          test::relative_error(timestamps, golden[prefix + "timestamp"][0]), kLimit);
    }
  }
}

}  // namespace
}  // namespace axlstm::embed
