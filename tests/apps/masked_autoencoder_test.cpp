// Pre-training of masked autoencoders (objective.name=masked_autoencoder) and what is made of it.
#include <fcntl.h>
#include <unistd.h>

#include "pretrain_fixture.h"
#include "support/npy.h"

namespace axlstm::test {
namespace {

using Settings = std::vector<std::string>;

const Settings kObjective{"objective.name=masked_autoencoder", "mask.ratio=0.8", "decoder.dim=16", "decoder.depth=1",
                          "decoder.heads=4"};
const Settings kTransformer{"model.arch=mae", "model.expansion=3", "model.attention_heads=2"};
const Settings kMwMae{"model.class_token=false",
                      "model.activation=gelu_tanh",
                      "model.train_positions=true",
                      "decoder.windows=[5, 25, global, global]",
                      "optim.decay=all",
                      "optim.beta2=0.999"};

Settings joined(std::initializer_list<Settings> parts) {
  Settings all;
  for (const Settings& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

struct Variant {
  std::string name;
  Settings settings;
};

std::ostream& operator<<(std::ostream& out, const Variant& variant) { return out << variant.name; }

/// The objective with several encoders.
class MaskedAutoencoder : public Pretrain, public testing::WithParamInterface<Variant> {
 protected:
  Settings with(const Settings& more) const { return joined({kObjective, GetParam().settings, more}); }

  std::vector<float> embedded(const std::string& output, const Settings& more) const {
    const auto result = run(joined({{"extract", "--device", "cpu", "--model", path("run"), "--output", path(output)},
                                    more,
                                    {path("audio/tone7.wav")}}));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.exit_code == 0 ? read_npy(folder_.path() / output / "tone7.wav.npy").values : std::vector<float>{};
  }
};

TEST_P(MaskedAutoencoder, KilledEndsAsTheUnbrokenRun) { expect_kills_change_nothing({8}, with({})); }

TEST_P(MaskedAutoencoder, LearnsDrawsAndEmbeds) {
  const auto result = run(pretrain("run", with({})));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_LT(mean_loss_of_six("run", 30), 0.9 * mean_loss_of_six("run", 0));
  EXPECT_GT(std::filesystem::file_size(folder_.path() / "run/pictures/step-00000036.png"), 500U);

  const auto ours = embedded("ours", {});
  EXPECT_EQ(ours.size(), 5U * 16);
  EXPECT_NE(embedded("released", {"--layout", "released"}), ours);
  EXPECT_NE(embedded("mirrored", {"--padding", "reflect"}), ours);

  const int sound = ::open(path("audio/tone7.wav").c_str(), O_RDONLY | O_CLOEXEC);
  const auto live = Process({"extract", "--device", "cpu", "--model", path("run"), "--stream", "--padding", "reflect"},
                            0, -1, {sound, -1})
                        .wait();
  ::close(sound);
  ASSERT_EQ(live.exit_code, 0) << live.err;
  EXPECT_EQ(std::count(live.out.begin(), live.out.end(), '\n'), 2) << "2.25 s are a chunk and what is left";
  EXPECT_EQ(nlohmann::json::parse(live.out.substr(0, live.out.find('\n')))["embedding"].size(), 5U * 16);
}

TEST_P(MaskedAutoencoder, AccumulatedGradientsGiveTheSameLosses) {
  ASSERT_EQ(run(pretrain("whole", with({"optim.base_lr=0.1"}))).exit_code, 0);
  ASSERT_EQ(run(pretrain("pieces", with({"optim.base_lr=0.1", "train.device_batch=2"}))).exit_code, 0);
  const auto a = loss_curve(path("whole")), b = loss_curve(path("pieces"));
  ASSERT_EQ(a.size(), 36U);
  ASSERT_EQ(b.size(), 36U);
  const auto loss = [](const std::string& line) { return std::stod(line.substr(line.find(' '))); };
  for (std::size_t n = 0; n < a.size(); ++n) EXPECT_NEAR(loss(b[n]), loss(a[n]), 1e-4 * loss(a[n])) << a[n];
}

INSTANTIATE_TEST_SUITE_P(Encoders, MaskedAutoencoder,
                         testing::Values(Variant{"MwMae", joined({kTransformer, kMwMae})},
                                         Variant{"PlainMae", kTransformer}, Variant{"Axlstm", {"model.arch=axlstm"}},
                                         Variant{"Ssam", {"model.arch=ssam"}}),
                         [](const auto& variant) { return variant.param.name; });

class MaskedAutoencoderMistakes : public Pretrain {
 protected:
  void expect_refused(const Settings& settings, const std::string& text) const {
    const auto result = run(pretrain("r", settings));
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << "expected '" << text << "' in: " << result.err;
  }
};

TEST_F(MaskedAutoencoderMistakes, AreNamed) {
  const auto mwmae = joined({kObjective, kTransformer, kMwMae});  // of 125 patches
  expect_refused({"decoder.dim=16"}, "section decoder is of objective.name masked_autoencoder");
  expect_refused(joined({mwmae, {"decoder.windows=[4, 25, global, global]"}}),
                 "decoder.windows has 4, it must divide the 125 patches");
  expect_refused(joined({mwmae, {"decoder.windows=[5, global]"}}), "decoder.windows has 2 entries");
  expect_refused(joined({mwmae, {"decoder.windows=[5, 25, all, global]"}}), "decoder.windows has 'all'");
  expect_refused(joined({mwmae, {"decoder.dim=18"}}), "decoder.dim is 18, it must be even and a multiple of");
  expect_refused(joined({mwmae, {"model.class_token=true"}}), "set model.class_token=false");
  expect_refused(joined({kObjective, {"decoder.windows=[5, 25, global, global]"}}), "model.class_token=false");
  expect_refused(joined({mwmae, {"mask.ratio=0.995"}}), "leaves a masked autoencoder no visible patch");
  expect_refused({"model.class_token=false"}, "model.class_token is false, a key of mae, but model.arch is axlstm");
  expect_refused({"objective.name=autoencoder"}, "objective.name");
  expect_refused({"embedding.padding=mirror"}, "embedding.padding");
}

TEST_F(MaskedAutoencoderMistakes, AnotherRecipeInTheSameFolderIsRefused) {
  const auto mwmae = joined({kObjective, kTransformer, kMwMae, {"train.max_steps=5"}});
  ASSERT_EQ(run(pretrain("r", mwmae)).exit_code, 0);
  expect_refused(joined({mwmae, {"decoder.windows=[25, 5, global, global]"}}), "decoder.windows");
  expect_refused(joined({mwmae, {"decoder.windows=[]"}}), "decoder.windows");
  expect_refused(joined({mwmae, {"optim.decay=matrices"}}), "optim.decay");
  expect_refused(joined({mwmae, {"model.train_positions=false"}}), "model.train_positions");
  EXPECT_EQ(run(pretrain("r", joined({mwmae, {"embedding.padding=reflect", "train.max_steps=6"}}))).exit_code, 0)
      << "how embeddings are made changes nothing of the training";
}

}  // namespace
}  // namespace axlstm::test
