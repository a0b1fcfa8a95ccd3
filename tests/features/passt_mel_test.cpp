#include "axlstm/features/passt_mel.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/expect_error.h"
#include "support/golden.h"

namespace axlstm::features {
namespace {

TEST(PasstMel, EqualsThePackages) {
  const auto golden = test::load_golden("frontend_passt");
  test::expect_golden("frontend_passt", "mel",
                      test::absolute_error(passt_mel(golden["in.waveform"]), golden["out.mel"].t()), 1e-4);
}

TEST(PasstMel, TakesManyClipsAndShortOnes) {
  const auto clips = torch::randn({2, 1000});
  const auto both = passt_mel(clips);
  EXPECT_EQ(both.sizes(), (std::vector<std::int64_t>{2, 4, 128}));
  EXPECT_LE(test::absolute_error(both[1], passt_mel(clips[1])), 1e-5);
  EXPECT_EQ(passt_mel(torch::randn({514})).size(0), 2);
  test::expect_error([] { passt_mel(torch::randn({513})); }, {"513"});
}

}  // namespace
}  // namespace axlstm::features
