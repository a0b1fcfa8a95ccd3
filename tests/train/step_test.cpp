#include "axlstm/train/step.h"

#include <cmath>

#include "support/golden.h"
#include "train/small_step.h"

namespace axlstm::train {
namespace {

class TrainingStep : public SmallStep {};

TEST_F(TrainingStep, AccumulatedPiecesEqualTheWholeBatch) {
  for (const auto region : {model::LossRegion::kMasked, model::LossRegion::kAll}) {
    spec_.loss.region = region;
    spec_.train.device_batch = 0;
    const auto whole = step(spec_);
    for (const std::int64_t device_batch : {1, 3, 8, 100}) {
      spec_.train.device_batch = device_batch;
      const auto pieces = step(spec_);
      EXPECT_NEAR(pieces.result.loss, whole.result.loss, 1e-5 * whole.result.loss) << device_batch;
      EXPECT_NEAR(pieces.result.grad_norm, whole.result.grad_norm, 1e-5 * whole.result.grad_norm) << device_batch;
      for (const auto& [name, gradient] : whole.gradients) {
        const double scale = gradient.abs().max().item<double>() + 1e-3 * whole.result.grad_norm;
        EXPECT_LE(test::absolute_error(pieces.gradients.at(name), gradient), 1e-5 * scale)
            << name << ", " << device_batch;
      }
    }
  }
}

TEST_F(TrainingStep, ClippingScalesAllGradientsToTheLimit) {
  const auto free = step(spec_);
  spec_.optim.clip_grad_norm = free.result.grad_norm / 4;
  const auto clipped = step(spec_);
  EXPECT_DOUBLE_EQ(clipped.result.grad_norm, free.result.grad_norm);  // what is logged is the norm before clipping
  for (const auto& [name, gradient] : free.gradients) {
    EXPECT_LE(test::absolute_error(clipped.gradients.at(name), gradient / 4), 1e-6 * free.result.grad_norm) << name;
  }
  spec_.optim.clip_grad_norm = free.result.grad_norm * 2;
  EXPECT_TRUE(step(spec_).gradients.at("cls_token").equal(free.gradients.at("cls_token")));
}

TEST_F(TrainingStep, ALossThatIsNotFiniteSkipsTheUpdate) {
  torch::manual_seed(1);
  Setup setup(spec_);
  auto& model = setup.objective.module();
  const auto before = model.named_parameters()["pred.0.weight"].detach().clone();
  spectrogram_[3][0][0][0] = std::nan("");
  const auto result = training_step(setup.step(), batch(), noise_, 1e-3);
  EXPECT_TRUE(result.skipped);
  EXPECT_TRUE(std::isnan(result.loss));
  EXPECT_TRUE(model.named_parameters()["pred.0.weight"].equal(before));
}

TEST_F(TrainingStep, HalfPrecisionTrainsOnFloat32WeightsAndDiffersByItsRounding) {
  const auto exact = step(spec_);
  for (const auto precision : {runtime::Precision::kBf16, runtime::Precision::kFp16}) {
    spec_.train.precision = precision;
    const auto rounded = step(spec_);
    EXPECT_NEAR(rounded.result.loss, exact.result.loss, 2e-2 * exact.result.loss);
    EXPECT_NE(rounded.result.loss, exact.result.loss);
    for (const auto& [name, weight] : rounded.weights) EXPECT_EQ(weight.scalar_type(), torch::kFloat32) << name;
    EXPECT_LE(test::absolute_error(rounded.gradients.at("pred.2.weight"), exact.gradients.at("pred.2.weight")),
              0.05 * exact.result.grad_norm);
  }
}

TEST_F(TrainingStep, TheLossScaleDoesNotChangeTheGradients) {
  spec_.train.precision = runtime::Precision::kFp16;
  const auto plain = step(spec_);
  torch::manual_seed(1);
  Setup setup(spec_);
  GradScaler scaler(torch::kCPU, true);
  const auto result = training_step(setup.step(&scaler), batch(), noise_, 1e-3);
  EXPECT_FALSE(result.skipped);
  EXPECT_NEAR(result.grad_norm, plain.result.grad_norm, 1e-2 * plain.result.grad_norm);
}

}  // namespace
}  // namespace axlstm::train
