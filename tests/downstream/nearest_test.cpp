#include "axlstm/downstream/nearest.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "core/wav.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::downstream {
namespace {

torch::Tensor tensor(std::initializer_list<float> values) { return torch::tensor(std::vector<float>(values)); }

/// Gives each clip its first and its last sample as embedding.
class FirstSamples final : public embed::ClipEncoder {
 public:
  std::vector<embed::ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms, embed::EmbeddingKind) override {
    std::vector<embed::ClipEmbedding> embeddings;
    for (const auto& waveform : waveforms) {
      embeddings.push_back({.scene = torch::stack({waveform[0], waveform[-1]}), .timestamps = {}, .timestamps_ms = {}});
    }
    return embeddings;
  }
  int sample_rate() const override { return 16000; }
};

TEST(NearestNeighbourPredictions, FollowTheClosestClips) {
  const auto embeddings = tensor({1, 0, 0.9F, 0.1F, -1, 0, -0.9F, -0.1F}).view({4, 2});
  const auto targets = tensor({1, 0, 1, 0, 0, 1, 0, 1}).view({4, 2});
  const auto queries = tensor({0.8F, 0.0F, -0.7F, 0.05F}).view({2, 2});
  const auto predictions = nearest_neighbour_predictions(queries, embeddings, targets, 2);
  EXPECT_TRUE(predictions.argmax(1).equal(torch::tensor({0, 1})));
  EXPECT_TRUE(predictions.sum(1).allclose(torch::ones({2})));
  // With all of them the closer ones still weigh more.
  EXPECT_GT(nearest_neighbour_predictions(queries, embeddings, targets, 100)[0][0].item<float>(), 0.9F);
}

TEST(NearestNeighbourPredictions, ScaleAndOffsetOfAColumnDoNotMatter) {
  torch::manual_seed(3);
  const auto embeddings = torch::randn({30, 5}), queries = torch::randn({7, 5});
  const auto targets = torch::one_hot(torch::arange(30) % 3, 3).to(torch::kFloat32);
  const auto scale = tensor({1, 10, 0.1F, 3, 7}), offset = tensor({0, 5, -3, 1, 2});
  EXPECT_TRUE(nearest_neighbour_predictions(queries * scale + offset, embeddings * scale + offset, targets, 5)
                  .allclose(nearest_neighbour_predictions(queries, embeddings, targets, 5), 1e-3, 1e-4));
}

class NearestNeighbourProbeTest : public testing::Test {
 protected:
  NearestNeighbourProbeTest() {
    write_metadata("scene");
    folder_.write("task/labelvocabulary.csv", "idx,label\n0,low\n1,high\n");
    for (const std::string split : {"train", "valid", "test"}) {
      std::string list;
      for (int n = 0; n < 6; ++n) {
        const std::string file = std::to_string(n) + ".wav";
        const bool high = n % 2 == 1;
        list += (list.empty() ? "{\"" : ", \"") + file + "\": [\"" + (high ? "high" : "low") + "\"]";
        const auto value = static_cast<std::int16_t>(high ? 9000 + 100 * n : -9000 - 100 * n);
        folder_.write("task/16000/" + split + "/" + file, test::wav_bytes(std::vector<std::int16_t>(800, value)));
      }
      folder_.write("task/" + split + ".json", list + "}");
    }
  }

  void write_metadata(const std::string& type) {
    folder_.write("task/task_metadata.json",
                  R"({"task_name": "toy", "version": "1", "mode": "full", "embedding_type": ")" + type +
                      R"(", "prediction_type": "multiclass", "split_mode": "trainvaltest",)"
                      R"( "splits": ["train", "valid", "test"], "sample_duration": 0.05, "evaluation": ["top1_acc"]})");
  }

  std::filesystem::path task() const { return folder_.path() / "task"; }

  test::TemporaryFolder folder_;
};

TEST_F(NearestNeighbourProbeTest, ScoresTheValidationClips) {
  FirstSamples encoder;
  const NearestNeighbourProbe probe(task(), 16000, 100);
  EXPECT_EQ(probe.score(encoder), 1.0);
  EXPECT_EQ(probe.description(), "toy: top1_acc of 6 clips by the nearest of 6");
  EXPECT_EQ(NearestNeighbourProbe(task(), 16000, 4).description(), "toy: top1_acc of 4 clips by the nearest of 4");
}

TEST_F(NearestNeighbourProbeTest, DrawsNoRandomNumbers) {
  FirstSamples encoder;
  const NearestNeighbourProbe probe(task(), 16000, 100);
  torch::manual_seed(1);
  const auto expected = torch::rand({3});
  torch::manual_seed(1);
  probe.score(encoder);
  EXPECT_TRUE(torch::rand({3}).equal(expected));
}

TEST_F(NearestNeighbourProbeTest, MistakesAreNamed) {
  test::expect_error([&] { NearestNeighbourProbe(task(), 44100, 100); }, {"44100", "no such file"});
  test::expect_error([&] { NearestNeighbourProbe(folder_.path(), 16000, 100); }, {"task_metadata.json"});
  write_metadata("event");
  test::expect_usage_error([&] { NearestNeighbourProbe(task(), 16000, 100); }, {"task of events"});
}

}  // namespace
}  // namespace axlstm::downstream
