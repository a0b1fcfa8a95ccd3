#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>

#include "pretrain_fixture.h"

namespace axlstm::test {
namespace {

TEST_F(Pretrain, WritesCheckpointsMetricsAndPictures) {
  const auto result = run(pretrain("run"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* name : {"model.safetensors", "optimizer.safetensors", "state.json", "config.yaml"}) {
    EXPECT_TRUE(std::filesystem::exists(folder_.path() / "run/checkpoints/step-00000036" / name)) << name;
  }
  for (const char* picture : {"step-00000000.png", "step-00000018.png", "step-00000036.png"}) {
    EXPECT_GT(std::filesystem::file_size(folder_.path() / "run/pictures" / picture), 500U) << picture;
  }
  ASSERT_EQ(loss_curve(path("run")).size(), 36U);
  EXPECT_LT(mean_loss_of_six("run", 30), 0.9 * mean_loss_of_six("run", 0))
      << "36 steps on twelve tones must teach something";
  EXPECT_NE(result.err.find("mLSTM backend cell"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("ETA"), std::string::npos) << result.err;
  const auto again = run(pretrain("run"));  // nothing left to do
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(loss_curve(path("run")).size(), 36U);
}

TEST_F(Pretrain, KilledAnywhereEndsAsTheUnbrokenRun) {
  expect_kills_change_nothing({5, 8, 11}, {});  // at the first checkpoint, between two, behind the second
}

TEST_F(Pretrain, AudioMambaKilledEndsAsTheUnbrokenRun) {
  expect_kills_change_nothing({8}, {"model.arch=ssam", "optim.decay_A_log=false"});
}

TEST_F(Pretrain, AudioMambaLearnsByOwnCodeOrSaysWhyItIsSlow) {
  const auto result = run(pretrain("run", {"model.arch=ssam"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_LT(mean_loss_of_six("run", 30), 0.9 * mean_loss_of_six("run", 0));
  EXPECT_NE(result.err.find("scan backend fused"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("slow:"), std::string::npos) << result.err;
  const std::vector<std::pair<std::string, std::string>> reasons{
      {"model.dim=20", "the width 40 is not a multiple of 16"}, {"model.state=65", "a state of 65 is larger than 64"}};
  for (const auto& [setting, reason] : reasons) {
    const auto slow = run(pretrain(setting, {"model.arch=ssam", setting, "train.max_steps=2"}));
    EXPECT_EQ(slow.exit_code, 0) << slow.err;
    EXPECT_NE(slow.err.find("scan backend reference"), std::string::npos) << slow.err;
    EXPECT_NE(slow.err.find("own code cannot be used: " + reason), std::string::npos) << slow.err;
  }
}

TEST_F(Pretrain, KilledAgainAndAgainItEndsAsTheUnbrokenRun) {
  const auto command = endless("killed", {"train.ema_decay=0.9"});
  for (int kill = 0; kill < 5; ++kill) {
    Process process(command);
    if (kill % 2 != 0) {  // soon after the start; there may be nothing yet that it resumes
      wait_until(process, [&] { return process.err().find("steps an epoch") != std::string::npos; });
    } else {  // or after it got on
      wait_until(process, [&, begin = steps_of("killed")] { return steps_of("killed") >= begin + 7; });
    }
    process.signal(SIGKILL);
    ASSERT_EQ(process.wait().exit_code, 128 + SIGKILL) << process.err();
  }
  const std::int64_t steps = steps_of("killed") + 6;
  const std::string limit = "train.max_steps=" + std::to_string(steps);
  ASSERT_EQ(run(endless("unbroken", {"train.ema_decay=0.9", limit})).exit_code, 0);
  const auto resumed = run(endless("killed", {"train.ema_decay=0.9", limit}));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_EQ(loss_curve(path("killed")), loss_curve(path("unbroken")));
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "ema.safetensors"}) {
    EXPECT_TRUE(last_checkpoint("killed", steps, file) == last_checkpoint("unbroken", steps, file)) << file;
  }
}

TEST_F(Pretrain, ADryRunTellsHowLongItTakesAndWritesNothing) {
  const auto result = run(pretrain("dry", {"--dry-run", "data.validation=" + path("audio")}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"whole run    36 steps", "validation   12 clips", "clips/s", "checkpoint"})
    EXPECT_NE(result.out.find(part), std::string::npos) << result.out;
  EXPECT_FALSE(std::filesystem::exists(path("dry")));
}

TEST_F(Pretrain, AveragedWeightsCanBeEmbeddedWith) {
  ASSERT_EQ(run(pretrain("run", {"train.ema_decay=0.9", "train.max_steps=5", "model.frames=200"})).exit_code, 0);
  const auto embed = [&](const std::string& output, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"extract",  "--model",    path("run"),
                                       "--output", path(output), path("audio/tone3.wav")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.exit_code == 0 ? read_file(folder_.path() / output / "tone3.wav.npy") : "";
  };
  EXPECT_TRUE(embed("plain", {}) != embed("averaged", {"--ema"}));
}

TEST_F(Pretrain, AProbeScoresAndChangesNothingOfTheTraining) {
  const auto task = folder_.path() / "task";
  for (const std::string split : {"train", "valid", "test"}) {
    nlohmann::json labels;
    for (int n = 0; n < 4; ++n) {
      const std::string file = std::to_string(n) + ".wav";
      write_audio(task / "16000" / split / file, tone(300 + 700 * n, 1.0));
      labels[file] = {n < 2 ? "low" : "high"};
    }
    folder_.write("task/" + split + ".json", labels.dump());
  }
  folder_.write("task/labelvocabulary.csv", "idx,label\n0,low\n1,high\n");
  folder_.write(
      "task/task_metadata.json",
      R"({"task_name": "pitch", "version": "1", "mode": "full", "embedding_type": "scene",)"
      R"( "prediction_type": "multiclass", "split_mode": "trainvaltest", "splits": ["train", "valid", "test"],)"
      R"( "sample_duration": 1.0, "evaluation": ["top1_acc"]})");
  ASSERT_EQ(run(pretrain("without")).exit_code, 0);
  const auto result = run(pretrain("with", {"eval.probe=" + task.string(), "eval.probe_every_epochs=4"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(loss_curve(path("with")), loss_curve(path("without")));
  EXPECT_TRUE(final_weights("with") == final_weights("without"));
  EXPECT_NE(result.err.find("pitch: top1_acc of 4 clips by the nearest of 4"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("| probe "), std::string::npos) << result.err;
  std::vector<int> steps;
  std::istringstream lines(read_file(folder_.path() / "with/metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const auto record = nlohmann::json::parse(line);
    if (record.contains("probe")) steps.push_back(record["step"]);
  }
  EXPECT_EQ(steps, (std::vector<int>{12, 24, 36}));
  const auto missing = run(pretrain("r", {"eval.probe=" + path("audio")}));
  EXPECT_EQ(missing.exit_code, 2) << missing.err;
  EXPECT_NE(missing.err.find("eval.probe: " + path("audio") + " is no HEAR task"), std::string::npos) << missing.err;
  auto tried = pretrain("r", {"eval.probe=" + path("audio")});
  tried.emplace_back("--dry-run");
  EXPECT_EQ(run(tried).exit_code, 2);
}

TEST_F(Pretrain, WorkersDoNotChangeTheNumbers) {
  ASSERT_EQ(run(pretrain("two")).exit_code, 0);
  ASSERT_EQ(run(pretrain("five", {"data.workers=5", "data.cache_mb=0"})).exit_code, 0);
  EXPECT_EQ(loss_curve(path("five")), loss_curve(path("two")));
}

TEST_F(Pretrain, SignalsSaveAndExitWith75) {
  const std::vector<std::vector<int>> cases{{SIGINT}, {SIGTERM}, {SIGUSR1, SIGTERM}};
  for (std::size_t n = 0; n < cases.size(); ++n) {
    const std::string name = "signal" + std::to_string(n);
    const auto command = endless(name, {"train.save_every_steps=100000"});
    Process process(command);
    wait_until(process, [&] { return steps_of(name) >= 3; });
    for (const int number : cases[n]) process.signal(number);
    const auto result = process.wait();
    EXPECT_EQ(result.exit_code, 75) << result.err;
    Process resumed(command);
    wait_until(resumed, [&] { return resumed.err().find("resuming") != std::string::npos; });
    resumed.signal(SIGTERM);
    EXPECT_NE(resumed.wait().err.find("resuming"), std::string::npos) << "nothing was saved: " << result.err;
  }
}

TEST_F(Pretrain, ClipsOfEveryKindAreUsedOrNamed) {
  write_audio(folder_.path() / "audio/short.wav", tone(300, 0.1));
  write_audio(folder_.path() / "audio/silence.wav", std::vector<float>(16000, 0.0F));
  write_audio(folder_.path() / "audio/channels8.wav", tone(300, 8.0), 8);
  write_audio(folder_.path() / "audio/stereo44.flac", tone(300, 4.0, 88200), 2, 44100,
              SF_FORMAT_FLAC | SF_FORMAT_PCM_16);
  std::vector<float> nan(1000, 0.1F);
  nan[500] = NAN;
  write_audio(folder_.path() / "audio/nan.wav", nan, 1, 16000, SF_FORMAT_WAV | SF_FORMAT_FLOAT);
  write_audio(folder_.path() / "audio/truncated.wav", tone(300, 1.0));
  std::filesystem::resize_file(folder_.path() / "audio/truncated.wav", 9000);
  folder_.write("audio/text.wav", "this is text");
  folder_.write("audio/empty.flac", "");
  const auto result = run(pretrain("run", {"data.max_bad_fraction=0.25"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* bad : {"nan.wav", "truncated.wav", "text.wav", "empty.flac"}) {
    EXPECT_NE(result.err.find(bad), std::string::npos) << bad << " is not named in " << result.err;
  }
  for (const char* good : {"short.wav", "silence.wav", "channels8.wav", "stereo44.flac"}) {
    EXPECT_EQ(result.err.find(good), std::string::npos) << good << " was not used: " << result.err;
  }
  const auto stopped = run(pretrain("run2", {"data.max_bad_fraction=0.05"}));
  EXPECT_EQ(stopped.exit_code, 1);
  EXPECT_NE(stopped.err.find("data.max_bad_fraction"), std::string::npos) << stopped.err;
}

TEST_F(Pretrain, MistakesAreNamed) {
  const auto expect = [&](const std::vector<std::string>& arguments, int code, const std::string& text) {
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << "expected '" << text << "' in: " << result.err;
    EXPECT_EQ(result.err.find("Exception raised"), std::string::npos) << result.err;
  };
  std::filesystem::create_directories(folder_.path() / "nothing");
  expect(pretrain("r", {"data.root=" + path("nothing")}), 2, "no audio under this folder");
  expect(pretrain("r", {"data.root=" + path("missing")}), 2, "no such folder");
  expect(pretrain("r", {"model.expnasion=3"}), 2, "did you mean 'model.expansion'");
  expect(pretrain("r", {"optim.global_batch=1000"}), 2, "lower optim.global_batch");
  expect(pretrain("r", {"model.arch=ssast", "model.expansion=3", "model.attention_heads=4", "kernel.backend=fused"}), 2,
         "kernel.backend fused cannot be used");
  expect(pretrain("r", {"model.arch=ssam", "model.flip=true"}), 2, "model.flip is true, a key of axlstm");
  expect(pretrain("r", {"model.arch=axlstm", "model.expansion=3", "model.state=16"}), 2,
         "model.state is 16, a key of ssam, but model.arch is axlstm");
  expect(pretrain("r", {"model.arch=ssam", "model.state=65", "kernel.backend=fused"}), 2,
         "kernel.backend fused cannot be used: a state of 65");
  expect(pretrain("r", {"optim.decay_A_log=false"}), 2, "set model.arch=ssam");
  expect({"pretrain"}, 2, "data.root");
  expect({"pretrain", "--config", path("none.yaml")}, 2, "none.yaml: no such configuration file");
  const auto typo = folder_.write("typo.yaml", "model:\n  size: tiny\n  depht: 3\n");
  expect({"pretrain", "--config", typo.string()}, 2, "typo.yaml:3:3: unknown key 'model.depht'");
  const auto missing = folder_.write("gone.csv", "path\ngone1.wav\ngone2.wav\ngone3.wav\ngone4.wav\n");
  expect(pretrain("r", {"data.manifest=" + missing.string(), "data.root="}), 1, "no such file");
}

TEST_F(Pretrain, AnotherRecipeInTheSameFolderIsRefused) {
  ASSERT_EQ(run(pretrain("run", {"train.max_steps=6"})).exit_code, 0);
  const auto other = run(pretrain("run", {"model.dim=32", "train.max_steps=6"}));
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("model.dim"), std::string::npos) << other.err;
  EXPECT_EQ(run(pretrain("run")).exit_code, 0) << "going further with the same recipe is allowed";
}

TEST_F(Pretrain, TwoProcessesOnOneFolderAreRefused) {
  Process first(endless("run"));
  wait_until(first, [&] { return steps_of("run") >= 1; });
  const auto second = run(endless("run"));
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_NE(second.err.find("another process"), std::string::npos) << second.err;
  EXPECT_TRUE(first.running());
}

TEST_F(Pretrain, AFullDiskCostsTheCheckpointNotTheOlderOnes) {
  ASSERT_EQ(run(pretrain("run", {"train.max_steps=6"})).exit_code, 0);
  const auto full = Process(pretrain("run"), /*limit_file_kb=*/8).wait();
  EXPECT_EQ(full.exit_code, 1) << full.err;
  EXPECT_NE(full.err.find("cannot be written"), std::string::npos) << full.err;
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "run/checkpoints/step-00000006/state.json"));
  const auto rerun = run(pretrain("run"));  // space again
  ASSERT_EQ(rerun.exit_code, 0) << rerun.err;
  ASSERT_EQ(run(pretrain("unbroken")).exit_code, 0);
  EXPECT_TRUE(final_weights("run") == final_weights("unbroken"));
}

TEST(CommandLine, HelpVersionDoctorConfig) {
  for (const char* program : {"pretrain", "finetune", "classify", "extract", "hear-eval", "pack"}) {
    const auto help = run({program, "--help"});
    EXPECT_EQ(help.exit_code, 0);
    EXPECT_NE(help.out.find("Example:"), std::string::npos) << help.out;
    EXPECT_EQ(run({program, "--version"}).exit_code, 0);
    const auto doctor = run({program, "--doctor"});
    EXPECT_EQ(doctor.exit_code, 0);
    for (const char* word : {"LibTorch", "CUDA", "libsndfile", "compiler", "ranks by"})
      EXPECT_NE(doctor.out.find(word), std::string::npos) << word;
    EXPECT_EQ(run({program, "--no-such-option"}).exit_code, 2);
  }
  const auto dump = run({"pretrain", "--dump-config", "model.size=base"});
  EXPECT_EQ(dump.exit_code, 0) << dump.err;
  EXPECT_NE(dump.out.find("dim: 768"), std::string::npos) << dump.out;
}

}  // namespace
}  // namespace axlstm::test
