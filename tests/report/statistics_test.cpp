#include "axlstm/report/statistics.h"

#include <gtest/gtest.h>

#include <vector>

#include "axlstm/core/error.h"

namespace axlstm::report {
namespace {

// scipy.stats.t.ppf(0.975, degrees)
TEST(StatisticsTest, HasTheQuantilesOfStudent) {
  EXPECT_NEAR(t_quantile_975(1), 12.706204736174694, 1e-9);
  EXPECT_NEAR(t_quantile_975(2), 4.302652729749462, 1e-9);
  EXPECT_NEAR(t_quantile_975(4), 2.7764451051977934, 1e-9);
  EXPECT_NEAR(t_quantile_975(9), 2.262157162798205, 1e-9);
  EXPECT_NEAR(t_quantile_975(29), 2.045229642132703, 1e-9);
  EXPECT_THROW(t_quantile_975(0), Error);
}

TEST(StatisticsTest, GivesTheIntervalOfTheMean) {
  // deviation 1, standard error 1 / √3
  const MeanInterval three = mean_interval(std::vector<double>{1.0, 2.0, 3.0});
  EXPECT_EQ(three.mean, 2.0);
  EXPECT_NEAR(*three.half_width, 4.302652729749462 / 1.7320508075688772, 1e-9);
  EXPECT_EQ(three.n, 3U);
  EXPECT_FALSE(mean_interval(std::vector<double>{0.5}).half_width);
  EXPECT_THROW(mean_interval({}), Error);
}

}  // namespace
}  // namespace axlstm::report
