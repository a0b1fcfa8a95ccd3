// On a GPU clips share batches and streams: neither may be seen in their numbers.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <future>

#include "axlstm/embed/embedder.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::embed {
namespace {

class EmbedderOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
    model::EncoderOptions options;
    options.size = model::Size::kCustom;
    options.dim = 192;
    options.depth = 2;
    torch::manual_seed(1);
    embedder_.emplace(model::Encoder(model::resolve(options)), features::LogMelOptions{}, EmbeddingOptions{},
                      runtime::Arithmetic(runtime::Precision::kFp16, torch::kCUDA), "", /*batch_chunks=*/8);
    for (int n = 0; n < 40; ++n) waveforms_.push_back(torch::randn({1 + n * 3571 % 100'003}));
  }

  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms, EmbeddingKind kind) {
    return embedder_->embed(waveforms, kind);
  }

  std::optional<Embedder> embedder_;
  std::vector<torch::Tensor> waveforms_;
};

TEST_F(EmbedderOnGpu, ScenesAreTheMeansOfTimeSteps) {
  const auto scenes = embed(waveforms_, EmbeddingKind::kScene), steps = embed(waveforms_, EmbeddingKind::kTimestamp);
  for (std::size_t n = 0; n < waveforms_.size(); ++n) {
    EXPECT_TRUE(scenes[n].scene.device().is_cpu());
    EXPECT_LE((scenes[n].scene - steps[n].timestamps.mean(0)).abs().max().item<double>(), 1e-6) << n;
  }
}

/// The third pass and those behind it are by a CUDA graph.
TEST_F(EmbedderOnGpu, GraphsAndPassesWithoutGiveTheSameBits) {
  for (const char* arch : {"axlstm", "ssam", "ssast", "mae"}) {
    for (const auto precision : {runtime::Precision::kFp16, runtime::Precision::kFp32}) {
      const auto make = [&] {
        model::EncoderOptions options;
        options.arch = arch;
        options.size = model::Size::kCustom;
        options.dim = 192;
        options.depth = 2;
        if (options.arch == "ssast" || options.arch == "mae") options.attention_heads = 3;
        torch::manual_seed(1);
        return std::make_unique<Embedder>(model::Encoder(model::resolve(options)), features::LogMelOptions{},
                                          EmbeddingOptions{}, runtime::Arithmetic(precision, torch::kCUDA), "", 8);
      };
      const auto of_graph = make();
      for (int n = 0; n < 4; ++n) of_graph->embed(waveforms_, EmbeddingKind::kScene);
      const auto last = of_graph->embed(waveforms_, EmbeddingKind::kScene);
      for (std::size_t n = 0; n < waveforms_.size(); n += 13) {
        const auto first = make()->embed({waveforms_[n]}, EmbeddingKind::kScene);
        EXPECT_TRUE(last[n].scene.equal(first[0].scene)) << arch << ' ' << n;
      }
    }
  }
}

TEST_F(EmbedderOnGpu, NeitherCompanyNorCallsAtOnceChangeABit) {
  for (const auto kind : {EmbeddingKind::kScene, EmbeddingKind::kTimestamp}) {
    const auto tensor = [&](const ClipEmbedding& clip) {
      return kind == EmbeddingKind::kScene ? clip.scene : clip.timestamps;
    };
    const auto together = embed(waveforms_, kind);
    for (int round = 0; round < 5; ++round) {
      // Batches of several sizes, two of them at a time.
      std::vector<std::future<std::vector<ClipEmbedding>>> calls;
      std::vector<ClipEmbedding> apart;
      const auto finish = [&](std::size_t left) {
        for (; calls.size() > left; calls.erase(calls.begin()))
          for (auto& clip : calls.front().get()) apart.push_back(std::move(clip));
      };
      for (std::size_t first = 0, size = 1; first < waveforms_.size(); first += size, size = size % 7 + 1) {
        const std::vector<torch::Tensor> part(
            waveforms_.begin() + static_cast<std::ptrdiff_t>(first),
            waveforms_.begin() + static_cast<std::ptrdiff_t>(std::min(first + size, waveforms_.size())));
        finish(1);
        calls.push_back(std::async(std::launch::async, [&, part] { return embed(part, kind); }));
      }
      finish(0);
      ASSERT_EQ(apart.size(), together.size());
      for (std::size_t n = 0; n < apart.size(); ++n) EXPECT_TRUE(tensor(apart[n]).equal(tensor(together[n]))) << n;
    }
  }
}

}  // namespace
}  // namespace axlstm::embed
