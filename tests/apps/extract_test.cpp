#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fixture.h"
#include "support/npy.h"

namespace axlstm::test {
namespace {

namespace fs = std::filesystem;

class Extract : public AppTest {
 protected:
  void SetUp() override {
    AppTest::SetUp();
    ASSERT_EQ(run(pretrain("run", {"train.max_steps=2"})).exit_code, 0);
  }

  ProcessResult extract(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{"extract", "--device", "cpu", "--model", path("run"), "--output", path("out")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
};

TEST_F(Extract, SceneAndTimestampEmbeddingsOfAFolder) {
  ASSERT_EQ(extract({path("audio")}).exit_code, 0);
  const auto scene = read_npy(folder_.path() / "out/tone3.wav.npy");
  EXPECT_EQ(scene.shape, (std::vector<std::int64_t>{5 * 16}));
  ASSERT_EQ(extract({"--kind", "timestamp", path("audio")}).exit_code, 0);
  const auto steps = read_npy(folder_.path() / "out/tone3.wav.npy");
  const auto times = nlohmann::json::parse(read_file(folder_.path() / "out/tone3.wav.timestamps.json"));
  ASSERT_EQ(steps.shape.size(), 2U);
  EXPECT_EQ(steps.shape[0], static_cast<std::int64_t>(times.size()));
  EXPECT_EQ(times.front(), 0.0);
  double mean = 0;  // the scene embedding is the mean over time
  for (std::int64_t step = 0; step < steps.shape[0]; ++step)
    mean += steps.values[static_cast<std::size_t>(step * steps.shape[1])];
  EXPECT_NEAR(mean / static_cast<double>(steps.shape[0]), scene.values[0], 1e-5);
}

TEST_F(Extract, BatchingDoesNotChangeTheEmbeddings) {
  ASSERT_EQ(extract({path("audio")}).exit_code, 0);
  const auto together = read_npy(folder_.path() / "out/tone7.wav.npy");
  ASSERT_EQ(extract({"--batch-seconds", "0.1", path("audio")}).exit_code, 0);
  const auto alone = read_npy(folder_.path() / "out/tone7.wav.npy");
  for (std::size_t n = 0; n < alone.values.size(); ++n) EXPECT_NEAR(together.values[n], alone.values[n], 1e-5);
}

TEST_F(Extract, LayoutsDiffer) {
  ASSERT_EQ(extract({path("audio/tone7.wav")}).exit_code, 0);
  const auto ours = read_npy(folder_.path() / "out/tone7.wav.npy");
  ASSERT_EQ(extract({"--layout", "released", path("audio/tone7.wav")}).exit_code, 0);
  EXPECT_NE(read_npy(folder_.path() / "out/tone7.wav.npy").values, ours.values);
}

TEST_F(Extract, AudioMambaInBothLayoutsAndLive) {
  ASSERT_EQ(run(pretrain("mamba", {"model.arch=ssam", "train.max_steps=2"})).exit_code, 0);
  const std::string clip = path("audio/tone7.wav");
  std::vector<std::vector<float>> scenes;
  for (const std::string layout : {"time_frequency", "released"}) {
    const auto result = run(
        {"extract", "--device", "cpu", "--model", path("mamba"), "--output", path(layout), "--layout", layout, clip});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.err.find("ssam custom (D 16, 2 blocks, E 2, state 24"), std::string::npos) << result.err;
    scenes.push_back(read_npy(folder_.path() / layout / "tone7.wav.npy").values);
    EXPECT_EQ(scenes.back().size(), 5U * 16);
  }
  EXPECT_NE(scenes[0], scenes[1]);

  const int sound = ::open(clip.c_str(), O_RDONLY | O_CLOEXEC);
  const auto live =
      Process({"extract", "--device", "cpu", "--model", path("mamba"), "--stream"}, 0, -1, {sound, -1}).wait();
  ::close(sound);
  ASSERT_EQ(live.exit_code, 0) << live.err;
  EXPECT_EQ(std::count(live.out.begin(), live.out.end(), '\n'), 2) << "2.25 s are a chunk and what is left";
  const auto first = nlohmann::json::parse(live.out.substr(0, live.out.find('\n')));
  EXPECT_EQ(first["embedding"].size(), 5U * 16);
}

TEST_F(Extract, CsvHoldsOneRowAFile) {
  ASSERT_EQ(extract({"--format", "csv", path("audio")}).exit_code, 0);
  const std::string csv = read_file(folder_.path() / "out/embeddings.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 13);
  EXPECT_EQ(csv.rfind("file,e0,e1,", 0), 0U);
}

TEST_F(Extract, BadFilesAreReportedAndTheRestIsDone) {
  folder_.write("audio/fake.wav", "this is text");
  folder_.write("audio/empty.ogg", "");
  write_audio(folder_.path() / "audio/stereo44.flac", tone(300, 1, 88200), 2, 44100, SF_FORMAT_FLAC | SF_FORMAT_PCM_16);
  write_audio(folder_.path() / "audio/short.wav", tone(300, 0.1));
  write_audio(folder_.path() / "audio/one_sample.wav", {0.5F});
  write_audio(folder_.path() / "audio/silence.wav", std::vector<float>(16000, 0.0F));
  std::vector<float> nan(1000, 0.1F);
  nan[500] = NAN;
  write_audio(folder_.path() / "audio/nan.wav", nan, 1, 16000, SF_FORMAT_WAV | SF_FORMAT_FLOAT);
  const auto result = extract({path("audio"), path("missing.wav")});
  EXPECT_EQ(result.exit_code, 3) << result.err;
  for (const char* name : {"fake.wav", "empty.ogg", "nan.wav", "missing.wav"}) {
    EXPECT_NE(result.err.find(name), std::string::npos) << name << " is not named in " << result.err;
    EXPECT_FALSE(fs::exists(folder_.path() / "out" / (std::string(name) + ".npy"))) << name;
  }
  for (const char* name : {"stereo44.flac", "short.wav", "one_sample.wav", "silence.wav", "tone0.wav", "tone11.wav"}) {
    EXPECT_TRUE(fs::exists(folder_.path() / "out" / (std::string(name) + ".npy"))) << name << ": " << result.err;
  }
}

TEST_F(Extract, LinksAreFollowedOnceAndOutputStaysInItsFolder) {
  write_audio(folder_.path() / "elsewhere/bell.wav", tone(500, 1));
  fs::create_symlink(folder_.path() / "elsewhere/bell.wav", folder_.path() / "audio/link.wav");
  fs::create_directory_symlink(".", folder_.path() / "audio/loop");
  const auto result = extract({path("audio")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("13 files embedded"), std::string::npos) << result.err;
  EXPECT_TRUE(fs::exists(folder_.path() / "out/link.wav.npy"));
  EXPECT_FALSE(fs::exists(folder_.path() / "out/loop"));
  EXPECT_FALSE(fs::exists(folder_.path() / "elsewhere/bell.wav.npy"));
}

TEST_F(Extract, WrongModelsAreNamed) {
  const auto none = run({"extract", "--model", path("nothing"), "--output", path("out"), path("audio")});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_NE(none.err.find("no such folder"), std::string::npos) << none.err;

  const fs::path checkpoint = folder_.path() / "run/checkpoints/step-00000002", other = folder_.path() / "other";
  fs::create_directories(other);
  fs::copy(checkpoint / "model.safetensors", other / "model.safetensors");
  folder_.write("other/config.yaml",
                "model:\n  size: custom\n  dim: 16\n  depth: 2\n  expansion: 3\n  patch_frames: 8\n");
  const auto misfit = run({"extract", "--model", other.string(), "--output", path("out"), path("audio")});
  EXPECT_EQ(misfit.exit_code, 1);
  EXPECT_NE(misfit.err.find("blocks.0.layer"), std::string::npos) << misfit.err;
  EXPECT_NE(misfit.err.find("in the file"), std::string::npos) << misfit.err;

  folder_.write("other/config.yaml", "model: {arch: ssam, size: custom, dim: 16, depth: 2}\n");
  const auto mamba = run({"extract", "--model", other.string(), "--output", path("out"), path("audio")});
  EXPECT_EQ(mamba.exit_code, 1);
  EXPECT_NE(mamba.err.find("these weights are of model.arch axlstm, but "), std::string::npos) << mamba.err;
  EXPECT_NE(mamba.err.find("config.yaml says ssam"), std::string::npos) << mamba.err;

  const auto file =
      run({"extract", "--model", (other / "model.safetensors").string(), "--output", path("out"), path("audio")});
  EXPECT_EQ(file.exit_code, 1);
  EXPECT_NE(file.err.find("is a file, but a checkpoint or a run is a folder"), std::string::npos) << file.err;

  fs::resize_file(other / "model.safetensors", 5000);
  const auto damaged = run({"extract", "--model", other.string(), "--output", path("out"), path("audio")});
  EXPECT_EQ(damaged.exit_code, 1);
  EXPECT_NE(damaged.err.find("model.safetensors"), std::string::npos) << damaged.err;
}

TEST_F(Extract, TwoInputsForOneOutputAreRefused) {
  write_audio(folder_.path() / "more/tone1.wav", tone(500, 1));
  const auto result = extract({path("audio"), path("more")});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("tone1.wav"), std::string::npos) << result.err;
}

TEST_F(Extract, PackedClipsGiveTheEmbeddingsOfTheirFiles) {
  ASSERT_EQ(run({"pack", "--output", path("packed"), "data.root=" + path("audio")}).exit_code, 0);
  ASSERT_EQ(extract({path("audio")}).exit_code, 0);
  const std::string of_file = read_file(folder_.path() / "out/tone3.wav.npy");
  fs::remove_all(path("out"));
  const auto result = extract({"--packed", path("packed")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("12 clips embedded"), std::string::npos) << result.err;
  EXPECT_EQ(read_file(folder_.path() / "out/tone3.wav.npy"), of_file);

  const fs::path shard = folder_.path() / "packed/shard-00000.axs";
  std::string bytes = read_file(shard);
  bytes[200] = static_cast<char>(bytes[200] ^ 1);
  write_file_atomic(shard, bytes);
  const auto damaged = extract({"--packed", path("packed")});
  EXPECT_EQ(damaged.exit_code, 3);
  EXPECT_NE(damaged.err.find("tone0.wav"), std::string::npos) << damaged.err;

  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong{
      {{path("audio")}, path("audio")},
      {{"--resample"}, "--resample"},
      {{"--min-decoded-fraction", "0.5"}, "--min-decoded-fraction"},
      {{"--rate", "16000"}, "--rate"}};
  for (const auto& [more, named] : wrong) {
    std::vector<std::string> arguments{"--packed", path("packed")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto refused = extract(arguments);
    EXPECT_EQ(refused.exit_code, 2) << named;
    EXPECT_NE(refused.err.find(named), std::string::npos) << refused.err;
  }
  const auto stream = run({"extract", "--model", path("run"), "--stream", "--packed", path("packed")});
  EXPECT_EQ(stream.exit_code, 2);
  EXPECT_NE(stream.err.find("--packed means nothing beside --stream"), std::string::npos) << stream.err;
}

TEST_F(Extract, FromTaskToScore) {
  const std::string task = std::string(AXLSTM_TEST_DATA) + "/data/hear/tasks/instruments-v1-full";
  for (const std::string& model : {path("run"), std::string("naive")}) {
    const std::string out = path(model == "naive" ? "naive" : "ours");
    const auto extracted = run({"extract", "--device", "cpu", "--model", model, "--output", out, task});
    ASSERT_EQ(extracted.exit_code, 0) << extracted.err;
    const auto scored = run({"hear-eval", "--grid-points", "1", out});
    ASSERT_EQ(scored.exit_code, 0) << scored.err;
    const auto scores = nlohmann::json::parse(read_file(out + "/instruments-v1-full/test.predicted-scores.json"));
    const double accuracy = scores["test"]["test_top1_acc"];
    EXPECT_EQ(scores["test"]["test_score"], accuracy);
    EXPECT_LE(accuracy, 1.0);
    if (model == "naive") {
      EXPECT_GT(accuracy, 1.0 / 9) << "no better than guessing one of nine instruments";
    }
    EXPECT_NE(scored.out.find("instruments-v1-full"), std::string::npos) << scored.out;
  }
  const auto again = run({"extract", "--device", "cpu", "--model", "naive", "--output", path("naive"), task});
  EXPECT_NE(again.err.find("embedded already"), std::string::npos) << again.err;
}

}  // namespace
}  // namespace axlstm::test
