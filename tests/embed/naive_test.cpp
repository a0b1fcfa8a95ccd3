#include "axlstm/embed/naive.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <numbers>

#include "axlstm/core/error.h"

namespace axlstm::embed {
namespace {

torch::Tensor tones(std::int64_t samples) {
  const auto phase = torch::arange(samples, torch::kFloat64) * (2.0 * std::numbers::pi / 44100.0);
  return (0.5 * torch::sin(440.0 * phase) + 0.25 * torch::sin(5000.0 * phase)).to(torch::kFloat32);
}

// librosa 0.11: librosa.filters.mel(sr=44100, n_fft=4096, n_mels=256)
TEST(NaiveTest, UsesLibrosasMelFilters) {
  const auto filters = slaney_mel_filters(44100.0, 4096, 256);
  ASSERT_EQ(filters.sizes(), (std::vector<std::int64_t>{2049, 256}));
  EXPECT_NEAR(filters.sum(torch::kFloat64).item<double>(), 23.771734931897868, 1e-5);
  EXPECT_EQ(filters.count_nonzero().item<int>(), 4062);
  EXPECT_FLOAT_EQ(filters[1][0].item<float>(), 0.0444563552737236F);
  EXPECT_FLOAT_EQ(filters[17][10].item<float>(), 0.015338676050305367F);
  EXPECT_FLOAT_EQ(filters[168][100].item<float>(), 0.02816181816160679F);
  EXPECT_FLOAT_EQ(filters[834][200].item<float>(), 0.006787900812923908F);
  EXPECT_FLOAT_EQ(filters[2016][255].item<float>(), 0.0028180452063679695F);
}

// The same computation in NumPy with float64, the filters of librosa and Python's torch.manual_seed(0).
TEST(NaiveTest, EmbedsAsTheReference) {
  const NaiveEmbedder embedder;
  const FileEmbedding frames = embedder.timestamps(tones(3000));
  ASSERT_EQ(frames.embedding.sizes(), (std::vector<std::int64_t>{3, 4096}));
  EXPECT_NEAR(frames.embedding[0][0].item<double>(), -24.495709819774593, 2e-3);
  EXPECT_NEAR(frames.embedding[1][17].item<double>(), -34.896273287029366, 2e-3);
  EXPECT_NEAR(frames.embedding[2][4095].item<double>(), -23.862729650445722, 2e-3);
  const auto scene = embedder.scene(tones(3000));
  ASSERT_EQ(scene.sizes(), std::vector<std::int64_t>{4096});
  EXPECT_NEAR(scene[0].item<double>(), -28.017580187442757, 2e-3);
  EXPECT_NEAR(scene[1].item<double>(), -27.52517299861759, 2e-3);
  EXPECT_NEAR(scene[4095].item<double>(), -27.72655207931564, 2e-3);
}

TEST(NaiveTest, StampsFramesEvery1102Samples) {
  const auto times = NaiveEmbedder().timestamps(tones(3 * 1102)).timestamps_ms;
  ASSERT_EQ(times.size(), 4U);
  EXPECT_EQ(times[0], 0.0);
  EXPECT_DOUBLE_EQ(times[3], 3 * 1102 / 44.1);
}

TEST(NaiveTest, SceneIsTheMeanOfTheFrames) {
  const NaiveEmbedder embedder;
  const auto waveform = tones(600 * 1102);  // more frames than are computed at once
  const auto frames = embedder.timestamps(waveform).embedding;
  EXPECT_EQ(frames.size(0), 601);
  EXPECT_TRUE(torch::allclose(embedder.scene(waveform), frames.mean(0), 1e-4, 1e-3));
}

TEST(NaiveTest, EmbedsASingleSample) {
  const NaiveEmbedder embedder;
  EXPECT_EQ(embedder.timestamps(torch::ones({1})).embedding.size(0), 1);
  EXPECT_TRUE(torch::isfinite(embedder.scene(torch::zeros({1}))).all().item<bool>());
}

TEST(NaiveTest, LeavesTheDefaultGeneratorAlone) {
  torch::manual_seed(5);
  const auto expected = torch::rand({3});
  torch::manual_seed(5);
  const NaiveEmbedder embedder;
  EXPECT_TRUE(torch::equal(torch::rand({3}), expected));
}

TEST(NaiveTest, RefusesOtherWaveforms) {
  const NaiveEmbedder embedder;
  EXPECT_THROW(embedder.scene(torch::zeros({0})), Error);
  EXPECT_THROW(embedder.scene(torch::zeros({1, 100})), Error);
  EXPECT_THROW(embedder.scene(torch::zeros({100}, torch::kFloat64)), Error);
  EXPECT_THROW(embedder.scene({}), Error);
}

}  // namespace
}  // namespace axlstm::embed
