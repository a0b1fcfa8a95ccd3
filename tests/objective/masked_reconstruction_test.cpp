#include "axlstm/objective/masked_reconstruction.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <filesystem>

#include "axlstm/core/files.h"
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

TEST(WriteReconstruction, DrawsAPictureOfAnyInput) {
  const test::TemporaryFolder folder;
  const model::EncoderOptions encoder;
  const auto mask = torch::rand({1, 250}).gt(0.5);
  for (const double scale : {0.0, 1.0}) {
    const auto path = folder.path() / "picture.png";
    write_reconstruction(path, torch::randn({1, 1, 200, 80}) * scale, mask, torch::randn({1, 250, 64}), encoder, {});
    EXPECT_EQ(read_file(path).substr(1, 3), "PNG");
  }
}

}  // namespace
}  // namespace axlstm::objective
