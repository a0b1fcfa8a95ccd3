#include "axlstm/train/diagnose.h"

#include <cmath>

#include "train/small_step.h"

namespace axlstm::train {
namespace {

class Diagnosis : public SmallStep {};

TEST_F(Diagnosis, ANumberOfTheInputIsTracedToItsClip) {
  torch::manual_seed(1);
  Setup setup(spec_);
  spectrogram_[3][0][0][0] = std::nan("");
  const auto found = find_non_finite(setup.step(), batch(), noise_);
  EXPECT_EQ(found.row, 3);
  EXPECT_EQ(found.place, "the input");
}

/// Deterministic algorithms fill what is not written yet with NaN: a view of that is nobody's overflow.
TEST_F(Diagnosis, MemoryThatIsNotWrittenYetIsPassedOver) {
  const torch::NoGradGuard no_grad;
  Setup setup(spec_);
  setup.objective.module().named_parameters()["blocks.0.layer.proj_down.weight"].fill_(3e38F);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  const auto found = find_non_finite(setup.step(), batch(), noise_);
  at::globalContext().setDeterministicAlgorithms(false, /*warn_only=*/false);
  EXPECT_NE(found.place.find("blocks.0.layer.proj_down (aten::"), std::string::npos) << found.place;
}

TEST_F(Diagnosis, NumbersThatOverflowAreTracedToTheirModule) {
  const torch::NoGradGuard no_grad;
  Setup setup(spec_);
  auto& model = setup.objective.module();
  model.named_parameters()["blocks.0.layer.proj_down.weight"].fill_(3e38F);
  auto found = find_non_finite(setup.step(), batch(), noise_);
  EXPECT_EQ(found.row, 0);
  EXPECT_NE(found.place.find("blocks.0.layer.proj_down (aten::"), std::string::npos) << found.place;
  model.named_parameters()["pred.0.bias"][1] = std::nan("");
  found = find_non_finite(setup.step(), batch(), noise_);
  EXPECT_EQ(found.row, -1);
  EXPECT_EQ(found.place, "the weight pred.0.bias");
}

}  // namespace
}  // namespace axlstm::train
