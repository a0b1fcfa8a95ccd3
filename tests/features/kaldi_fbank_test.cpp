#include "axlstm/features/kaldi_fbank.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "support/expect_error.h"
#include "support/golden.h"

namespace axlstm::features {
namespace {

constexpr auto kName = "frontend_kaldi";

TEST(KaldiFbank, EqualsTorchaudiosForBothOfItsUsers) {
  const auto golden = test::load_golden(kName);
  const auto expect = [&](const std::string& user, KaldiFbankOptions options, double mean, double deviation) {
    const auto plain = kaldi_fbank(golden["in.waveform"], options);
    options.mean = mean, options.std = 2 * deviation;
    const auto normalised = kaldi_fbank(golden["in.waveform"], options);
    test::expect_golden(kName, user, test::absolute_error(plain, golden["out." + user + ".fbank"]), 2e-3);
    test::expect_golden(kName, user + ", normalised",
                        test::absolute_error(normalised, golden["out." + user + ".normalised"]), 3e-4);
  };
  expect("ast", {.window = KaldiWindow::kHanning, .remove_mean = true}, -4.2677393, 4.5689974);
  expect("beats", {.window = KaldiWindow::kPovey, .scale = 32768}, 15.41663, 6.55582);
}

TEST(KaldiFbank, TakesManyClipsAndOneFrame) {
  const auto clips = torch::randn({2, 1000});
  const auto both = kaldi_fbank(clips, {});
  EXPECT_EQ(both.sizes(), (std::vector<std::int64_t>{2, 4, 128}));
  EXPECT_LE(test::absolute_error(both[1], kaldi_fbank(clips[1], {})), 1e-5);
  EXPECT_EQ(kaldi_fbank(torch::randn({400}), {}).size(0), 1);
  test::expect_error([] { kaldi_fbank(torch::randn({399}), {}); }, {"399", "400"});
}

}  // namespace
}  // namespace axlstm::features
