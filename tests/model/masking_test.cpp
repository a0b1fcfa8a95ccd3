#include "axlstm/model/masking.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "axlstm/core/error.h"

namespace axlstm::model {
namespace {

torch::Generator generator(std::uint64_t seed) { return at::make_generator<at::CPUGeneratorImpl>(seed); }

torch::Tensor draw(std::int64_t batch, const MaskOptions& mask, std::uint64_t seed = 0) {
  const EncoderOptions encoder;
  return mask_from_noise(draw_mask_noise(batch, encoder, mask, generator(seed)), encoder, mask);
}

TEST(Masking, KeepsExactlyTheShareAsked) {
  const std::vector<std::pair<double, std::int64_t>> kept{{0.5, 125}, {0.8, 50}, {0.75, 62}, {0.7, 75},
                                                          {0.0, 250}, {0.9, 25}, {0.999, 0}};
  for (const auto mode : {MaskMode::kUnstructured, MaskMode::kTimestep}) {
    for (const auto& [ratio, expected] : kept) {
      const auto visible = draw(16, {ratio, mode}).logical_not().sum(1);
      EXPECT_TRUE(visible.eq(expected).all().item<bool>()) << ratio << ": " << visible[0].item<std::int64_t>();
    }
  }
}

TEST(Masking, TheSmallestNumbersStayVisible) {
  const EncoderOptions encoder;
  const auto noise = torch::linspace(1, 0, 250).unsqueeze(0);
  const auto mask = mask_from_noise(noise, encoder, {});
  EXPECT_TRUE(mask.slice(1, 0, 125).all().item<bool>());
  EXPECT_FALSE(mask.slice(1, 125).any().item<bool>());
}

TEST(Masking, TiesAreKeptByIndex) {
  const EncoderOptions encoder;
  const auto mask = mask_from_noise(torch::zeros({2, 250}), encoder, {});
  EXPECT_FALSE(mask.slice(1, 0, 125).any().item<bool>());
  EXPECT_TRUE(mask.slice(1, 125).all().item<bool>());
}

TEST(Masking, EveryPatchIsMaskedEquallyOften) {
  constexpr double kDraws = 4000;
  for (const double ratio : {0.5, 0.8}) {
    const auto share = draw(kDraws, {ratio, MaskMode::kUnstructured}).to(torch::kFloat64).mean(0);
    const double deviation = std::sqrt(ratio * (1 - ratio) / kDraws);
    EXPECT_LT((share - ratio).abs().max().item<double>(), 5 * deviation) << ratio;
  }
}

TEST(Masking, TimestepsAreHiddenWhole) {
  // Of 250 patches 125, 50 and 62 stay visible; 62 is no multiple of the 5 of a time step, so one step is cut.
  for (const auto& [ratio, steps_cut] : std::vector<std::pair<double, std::int64_t>>{{0.5, 0}, {0.8, 0}, {0.75, 1}}) {
    const auto hidden = draw(32, {ratio, MaskMode::kTimestep}).view({32, 50, 5}).sum(2);  // [B, rows]: 0 … 5
    const auto cut = hidden.ne(0).logical_and(hidden.ne(5)).sum(1);
    EXPECT_TRUE(cut.eq(steps_cut).all().item<bool>()) << ratio << ": " << cut;
  }
  EXPECT_EQ(draw(1, {0.8, MaskMode::kTimestep}).view({50, 5}).all(1).sum().item<std::int64_t>(), 40);
}

TEST(Masking, TheGeneratorAloneDecides) {
  const MaskOptions options;
  torch::manual_seed(1);
  const auto first = draw(4, options, 7);
  torch::manual_seed(2);
  torch::rand({10});
  const auto state = at::detail::getDefaultCPUGenerator().get_state();
  EXPECT_TRUE(first.equal(draw(4, options, 7)));
  EXPECT_FALSE(first.equal(draw(4, options, 8)));
  EXPECT_TRUE(state.equal(at::detail::getDefaultCPUGenerator().get_state()));  // the global generator is left alone
}

TEST(Masking, NoiseOfAnotherShapeIsAnError) {
  const EncoderOptions encoder;
  EXPECT_THROW(mask_from_noise(torch::rand({2, 50}), encoder, {}), Error);
  EXPECT_THROW(mask_from_noise(torch::rand({2, 250}), encoder, {0.5, MaskMode::kTimestep}), Error);
  EXPECT_THROW(mask_from_noise(torch::rand({250}), encoder, {}), Error);
}

}  // namespace
}  // namespace axlstm::model
