#include "axlstm/objective/masked_reconstruction.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>

#include "axlstm/objective/reconstruction_picture.h"
#include "support/png.h"
#include "support/tmpdir.h"

namespace axlstm::objective {
namespace {

double flops_of(const model::EncoderOptions& encoder) { return MaskedReconstruction(encoder, {}, {}).forward_flops(); }

model::EncoderOptions encoder(const std::string& arch, model::Size size, std::int64_t expansion = 3) {
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
  EXPECT_DOUBLE_EQ(flops_of(encoder("axlstm", model::Size::kTiny)), 12 * 251 * (projections + narrow + cell) + ends);
  EXPECT_NEAR(3 * flops_of(encoder("axlstm", model::Size::kBase)) / 1e9, 110, 2);
  EXPECT_NEAR(3 * flops_of(encoder("ssast", model::Size::kTiny)) / 1e9, 10, 0.3);
  EXPECT_NEAR(3 * flops_of(encoder("ssast", model::Size::kBase)) / 1e9, 136, 3);
}

TEST(ForwardFlops, ProjectionsAreTwoForEveryParameterAndToken) {
  // Most of a large model's arithmetic is its matrices, each used once for every token.
  const auto options = encoder("axlstm", model::Size::kSmall);
  const model::MaskedModel model(options);
  const double by_parameters = 2.0 * 251 * static_cast<double>(model::parameter_count(*model));
  const double cell = 12 * 2.0 * 3 * 384 * 251 * 252;
  EXPECT_NEAR((flops_of(options) - cell) / by_parameters, 1.0, 0.02);
}

/// The pixel in the middle of a value's square, in one of the three panels, which are six pixels apart.
test::Rgb color_of(const test::Picture& picture, int panel, int frame, int mel) {
  return picture.at(3 * frame + 1, panel * (3 * 80 + 6) + 3 * (79 - mel) + 1);
}

TEST(WriteReconstruction, ShowsInputMaskAndPredictionOneAboveTheOther) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "picture.png";
  const model::EncoderOptions encoder;  // patches of 4 frames and 16 mels, 50 × 5 of them
  auto spectrogram = torch::zeros({1, 1, 200, 80}), prediction = torch::zeros({1, 250, 64});
  spectrogram[0][0][2][70] = 1;    // in the last patch of the first row of patches, patch 4
  spectrogram[0][0][199][3] = 1;   // in patch 245
  prediction[0][245][16 + 5] = 1;  // frame 197, mel 5
  prediction[0][4] = 1;            // not hidden: not shown
  auto mask = torch::zeros({1, 250}, torch::kBool);
  mask[0][245] = true;
  write_reconstruction(path, spectrogram, mask, prediction, encoder, {}, true);
  const auto picture = test::read_png(path);
  EXPECT_EQ(picture.width, 3 * 200);
  ASSERT_EQ(picture.height, 3 * 3 * 80 + 2 * 6);
  EXPECT_EQ(picture.at(300, 3 * 80 + 3), test::kWhite);
  for (const int panel : {0, 1, 2}) {
    EXPECT_EQ(color_of(picture, panel, 2, 70), test::kBright) << panel;
    EXPECT_EQ(color_of(picture, panel, 3, 70), test::kDark) << panel;
  }
  EXPECT_EQ(color_of(picture, 0, 199, 3), test::kBright);
  EXPECT_EQ(color_of(picture, 0, 197, 5), test::kDark);
  EXPECT_EQ(color_of(picture, 1, 199, 3), test::kGrey);
  EXPECT_EQ(color_of(picture, 1, 196, 15), test::kGrey);
  EXPECT_EQ(color_of(picture, 1, 195, 15), test::kDark);
  EXPECT_EQ(color_of(picture, 1, 196, 16), test::kDark);
  EXPECT_EQ(color_of(picture, 2, 199, 3), test::kDark);
  EXPECT_EQ(color_of(picture, 2, 197, 5), test::kBright);
}

TEST(WriteReconstruction, TakesNormalizedPredictionsBackToThePatchsOwnScale) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "picture.png";
  auto spectrogram = torch::zeros({1, 1, 200, 80});
  spectrogram[0][0].slice(0, 0, 2).slice(1, 0, 16).fill_(1);  // half of patch 0: mean 0.5, deviation 0.504
  auto prediction = torch::full({1, 250, 64}, -2.0);          // below the scale: dark
  prediction[0][0][0] = 2;
  auto mask = torch::zeros({1, 250}, torch::kBool);
  mask[0][0] = true;
  write_reconstruction(path, spectrogram, mask, prediction, {}, {.normalize_targets = true}, true);
  const auto picture = test::read_png(path);
  EXPECT_EQ(color_of(picture, 0, 0, 1), test::kBright);
  EXPECT_EQ(color_of(picture, 2, 0, 0), test::kBright);
  EXPECT_EQ(color_of(picture, 2, 0, 1), test::kDark);
}

TEST(WriteReconstruction, DrawsSilenceToo) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "picture.png";
  write_reconstruction(path, torch::zeros({1, 1, 200, 80}), torch::rand({1, 250}).gt(0.5), torch::randn({1, 250, 64}),
                       {}, {}, true);
  const auto picture = test::read_png(path);
  for (const int frame : {0, 100, 199}) EXPECT_EQ(color_of(picture, 0, frame, 40), test::kDark);
}

}  // namespace
}  // namespace axlstm::objective
