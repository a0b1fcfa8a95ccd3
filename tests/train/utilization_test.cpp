#include "axlstm/train/utilization.h"

#include <gtest/gtest.h>

#include "axlstm/model/masked_model.h"

namespace axlstm::train {
namespace {

model::EncoderOptions encoder(model::Arch arch, model::Size size, std::int64_t expansion = 3) {
  model::EncoderOptions options;
  options.arch = arch;
  options.size = size;
  options.expansion = expansion;
  return model::resolve(options);
}

TEST(ForwardFlops, OfTheModelsOfThePaper) {
  // By hand for AxLSTM-T, E 3: S 251, D 192, I 576, 12 blocks.
  const double projections = 2.0 * 3 * 192 * 576, narrow = 2.0 * 576 * (12 + 4 + 24), cell = 2.0 * 576 * 252;
  const double ends = 250 * 2.0 * (64 * 192 + 192 * 192 + 192 * 64);
  EXPECT_DOUBLE_EQ(forward_flops(encoder(model::Arch::kAxlstm, model::Size::kTiny)),
                   12 * 251 * (projections + narrow + cell) + ends);
  EXPECT_NEAR(training_flops(encoder(model::Arch::kAxlstm, model::Size::kBase)) / 1e9, 110, 2);
  EXPECT_NEAR(training_flops(encoder(model::Arch::kSsast, model::Size::kTiny)) / 1e9, 10, 0.3);
  EXPECT_NEAR(training_flops(encoder(model::Arch::kSsast, model::Size::kBase)) / 1e9, 136, 3);
}

TEST(ForwardFlops, ProjectionsAreTwoForEveryParameterAndToken) {
  // Most of a large model's arithmetic is its matrices, each used once for every token.
  const auto options = encoder(model::Arch::kAxlstm, model::Size::kSmall);
  const model::MaskedModel model(options);
  const double by_parameters = 2.0 * 251 * static_cast<double>(model::parameter_count(*model));
  const double cell = 12 * 2.0 * 3 * 384 * 251 * 252;
  EXPECT_NEAR((forward_flops(options) - cell) / by_parameters, 1.0, 0.02);
}

TEST(PeakFlops, ByNameAndPrecision) {
  EXPECT_EQ(peak_flops("NVIDIA H100 80GB HBM3", Precision::kBf16), 989e12);
  EXPECT_EQ(peak_flops("NVIDIA H100 80GB HBM3", Precision::kTf32), 494.5e12);
  EXPECT_EQ(peak_flops("NVIDIA H100 PCIe", Precision::kFp16), 756e12);
  EXPECT_EQ(peak_flops("NVIDIA A100-SXM4-40GB", Precision::kBf16), 312e12);
  EXPECT_EQ(peak_flops("NVIDIA L40S", Precision::kBf16), 362e12);
  EXPECT_EQ(peak_flops("NVIDIA L40", Precision::kBf16), 181e12);
  EXPECT_EQ(peak_flops("NVIDIA GH200 480GB", Precision::kBf16), 989e12);
  EXPECT_EQ(peak_flops("NVIDIA GB200", Precision::kBf16), 2500e12);
  EXPECT_FALSE(peak_flops("NVIDIA RTX A4000", Precision::kBf16));
  EXPECT_FALSE(peak_flops("NVIDIA H100 80GB HBM3", Precision::kFp32));
  EXPECT_FALSE(peak_flops("", Precision::kBf16));
  EXPECT_FALSE(peak_flops("Some GPU", Precision::kBf16));
}

TEST(PeakMemory, OfThisProcess) {
  const auto memory = peak_memory_gb(torch::kCPU);
  ASSERT_TRUE(memory);
  EXPECT_GT(*memory, 0.01);
  EXPECT_EQ(device_name(torch::kCPU), "");
}

}  // namespace
}  // namespace axlstm::train
