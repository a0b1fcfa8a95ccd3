#include "axlstm/data/mixing.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/core/random.h"
#include "axlstm/data/loader.h"
#include "data/clips.h"

namespace axlstm::data {
namespace {

TEST(Mixing, SharesAreThoseOfABetaDistribution) {
  const Mixing mixing{.probability = 0.5, .alpha = 2};
  double sum = 0, squares = 0;
  int mixed = 0;
  constexpr int kDraws = 4000;
  for (std::uint64_t n = 0; n < kDraws; ++n) {
    const double share = mixing.share(derive_seed({n}));
    if (share == 1) continue;
    ++mixed;
    sum += share;
    squares += share * share;
  }
  EXPECT_NEAR(mixed / static_cast<double>(kDraws), 0.5, 0.03);
  const double mean = sum / mixed, variance = squares / mixed - mean * mean;
  EXPECT_NEAR(mean, 0.5, 0.02);
  EXPECT_NEAR(variance, 1.0 / (4 * (2 * 2 + 1)), 0.006);  // of Beta(α, α): 1 / (4 (2α + 1))
  EXPECT_EQ(mixing.share(5), mixing.share(5));
}

/// Batches of three from nine clips.
class MixingLoader : public testing::Test {
 protected:
  std::vector<Batch> batches(const LoaderOptions& options, int count = 4) const {
    Loader loader(source_, options, 0);
    std::vector<Batch> taken;
    for (int n = 0; n < count; ++n) taken.push_back(loader.next());
    return taken;
  }
  static LoaderOptions options(double mixup, std::int64_t workers = 1) {
    LoaderOptions options;
    options.seed = 11;
    options.batch_size = 3;
    options.frames = 50;
    options.workers = workers;
    options.mixing = {mixup, 10};
    return options;
  }

  test::Clips clips_{{2.5, 6.0, 0.7, 3.0, 2.0, 4.0, 3.0, 2.1, 5.0}};
  std::shared_ptr<ClipSource> source_ = clips_.shared_dataset();
};

TEST_F(MixingLoader, CropsAreSumsOfTwoByTheirShares) {
  const auto plain = batches(options(0)), mixed = batches(options(1));
  for (std::size_t n = 0; n < plain.size(); ++n) {
    ASSERT_EQ(mixed[n].spectrogram.sizes(), plain[n].spectrogram.sizes());
    EXPECT_EQ(mixed[n].clips, plain[n].clips) << "what is mixed in changes nothing of the order";
    ASSERT_EQ(mixed[n].share.size(0), 3);
    ASSERT_EQ(mixed[n].mixed_in.size(), 3u);
    for (const std::int64_t clip : mixed[n].mixed_in) EXPECT_TRUE(clip >= 0 && clip < 9) << clip;
    EXPECT_FALSE(plain[n].share.defined());
    const auto share = mixed[n].share.view({-1, 1, 1, 1});
    const auto second = (mixed[n].spectrogram - share * plain[n].spectrogram) / (1 - share);
    EXPECT_NEAR(second.mean().item<double>(), 0, 1.0);
    EXPECT_NEAR(second.std().item<double>(), 1, 0.7) << "a normalised crop is left";
  }
}

TEST_F(MixingLoader, NeitherWorkersNorRanksChangeTheMix) {
  const auto whole = batches(options(0.5));
  const auto many = batches(options(0.5, 3));
  auto part = options(0.5);
  part.first_row = 1;
  part.rows = 2;
  const auto of_rank = batches(part);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    EXPECT_TRUE(many[n].spectrogram.equal(whole[n].spectrogram));
    EXPECT_TRUE(of_rank[n].spectrogram.equal(whole[n].spectrogram.narrow(0, 1, 2)));
    EXPECT_TRUE(of_rank[n].share.equal(whole[n].share.narrow(0, 1, 2)));
  }
}

TEST_F(MixingLoader, UnmixedCropsStayAsTheyAre) {
  const auto plain = batches(options(0), 8), mixed = batches(options(0.4), 8);
  int alone = 0;
  for (std::size_t n = 0; n < plain.size(); ++n) {
    for (std::int64_t row = 0; row < 3; ++row) {
      if (mixed[n].share[row].item<float>() != 1) continue;
      ++alone;
      EXPECT_EQ(mixed[n].mixed_in[static_cast<std::size_t>(row)], -1);
      EXPECT_TRUE(mixed[n].spectrogram[row].equal(plain[n].spectrogram[row]));
    }
  }
  EXPECT_GT(alone, 5);
}

TEST_F(MixingLoader, WeightsDecideWhichClipsAreDrawn) {
  auto weighted = options(0);
  weighted.weights.assign(9, 0);
  weighted.weights[4] = 1;
  for (const Batch& batch : batches(weighted)) EXPECT_EQ(batch.clips, (std::vector<std::int64_t>{4, 4, 4}));
  weighted.weights.resize(3);
  EXPECT_THROW(Loader(source_, weighted, 0), Error);
}

}  // namespace
}  // namespace axlstm::data
