#include <chrono>
#include <csignal>
#include <map>
#include <thread>

#include "data/tar.h"
#include "fixture.h"

namespace axlstm::test {
namespace {

class Pack : public AppTest {
 protected:
  std::vector<std::string> pack(const std::string& name, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"pack", "--output", path(name), "data.root=" + path("audio")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  std::map<std::string, std::string> files(const std::string& name) const {
    std::map<std::string, std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(path(name)))
      if (entry.path().extension() != ".lock" && entry.path().filename() != ".lock")
        found[entry.path().filename().string()] = read_file(entry.path());
    return found;
  }
};

TEST_F(Pack, PackedClipsTrainAsTheirFilesDo) {
  const auto packed = run(pack("packed"));
  ASSERT_EQ(packed.exit_code, 0) << packed.err;
  const auto info = run({"pack", "--info", path("packed")});
  EXPECT_NE(info.out.find("clips      12"), std::string::npos) << info.out;
  EXPECT_EQ(run({"pack", "--verify", path("packed")}).exit_code, 0);
  ASSERT_EQ(run(pretrain("files", {"train.max_steps=6"})).exit_code, 0);
  const auto trained = run(pretrain("shards", {"train.max_steps=6", "data.root=", "data.packed=" + path("packed")}));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const auto losses = [&](const std::string& name) {
    std::vector<double> values;
    std::istringstream lines(read_file(folder_.path() / name / "metrics.jsonl"));
    for (std::string line; std::getline(lines, line);)
      values.push_back(std::stod(line.substr(line.find("\"loss\":") + 7)));
    return values;
  };
  const auto expected = losses("files"), actual = losses("shards");
  ASSERT_EQ(actual.size(), 6U);
  for (std::size_t n = 0; n < 6; ++n) EXPECT_NEAR(actual[n], expected[n], 1e-3 * expected[n]) << n;
}

TEST_F(Pack, KilledAnywhereItGoesOnToTheSameBytes) {
  for (int n = 0; n < 60; ++n)
    write_audio(folder_.path() / "audio" / ("long" + std::to_string(n) + ".wav"), tone(300 + 10 * n, 6.0));
  const std::vector<std::string> small{"--shard-mb", "1", "data.workers=1"};
  ASSERT_EQ(run(pack("whole", small)).exit_code, 0);
  const auto shards = [&](const std::string& name) {
    std::ptrdiff_t count = 0;
    if (!std::filesystem::exists(path(name))) return count;
    for (const auto& entry : std::filesystem::directory_iterator(path(name)))
      count += entry.path().extension() == ".axs" ? 1 : 0;
    return count;
  };
  const std::ptrdiff_t all = shards("whole");
  ASSERT_GE(all, 5);
  for (const int number : {SIGKILL, SIGTERM}) {
    const std::string name = "broken" + std::to_string(number);
    int broken = 0;
    for (std::ptrdiff_t wanted = 1; wanted < all; ++wanted) {  // each call goes on where the one before was killed
      Process process(pack(name, small));
      while (shards(name) < wanted && process.running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      process.signal(number);
      const int code = process.wait().exit_code;
      EXPECT_TRUE(code == 0 || code == (number == SIGKILL ? 128 + SIGKILL : 75) || code == 128 + SIGTERM) << code;
      broken += code != 0 ? 1 : 0;
    }
    EXPECT_GT(broken, 0) << "of a whole set of " << all << " shards none was interrupted";
    const auto last = run(pack(name, small));
    ASSERT_EQ(last.exit_code, 0) << last.err;
    auto found = files(name);
    EXPECT_TRUE(found == files("whole")) << number;
  }
}

TEST_F(Pack, BrokenFilesAreNamedAndGiveExitCode3) {
  folder_.write("audio/text.wav", "this is text");
  const auto packed = run(pack("packed"));
  EXPECT_EQ(packed.exit_code, 3) << packed.err;
  EXPECT_NE(packed.err.find("text.wav"), std::string::npos) << packed.err;
  EXPECT_NE(read_file(folder_.path() / "packed/broken.jsonl").find("text.wav"), std::string::npos);
}

TEST_F(Pack, DamageAndMistakesAreNamed) {
  ASSERT_EQ(run(pack("packed")).exit_code, 0);
  const auto shard = folder_.path() / "packed/shard-00000.axs";
  std::string bytes = read_file(shard);
  bytes[200] = static_cast<char>(bytes[200] ^ 1);
  write_file_atomic(shard, bytes);
  const auto verified = run({"pack", "--verify", path("packed")});
  EXPECT_EQ(verified.exit_code, 1);
  EXPECT_NE(verified.out.find("tone0.wav"), std::string::npos) << verified.out;
  const auto expect = [&](const std::vector<std::string>& arguments, int code, const std::string& text) {
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << "expected '" << text << "' in: " << result.err;
  };
  expect({"pack", "data.root=" + path("audio")}, 2, "--output");
  expect({"pack", "--output", path("p")}, 2, "data.root");
  expect({"pack", "--info", path("nothing")}, 1, "no such folder");
  expect({"pack", "--output", path("p"), "--tar", path("none.tar")}, 1, "no such archive");
  expect(pack("packed", {"audio.mels=64"}), 2, "audio.mels");
  expect(pretrain("r", {"data.packed=" + path("packed")}), 2, "data.root");
  expect(pretrain("r", {"data.root=", "data.packed=" + path("packed"), "audio.hop=200", "model.frames=200"}), 2,
         "audio.hop");
}

TEST_F(Pack, ManyArchivesPatternsAndOverridesBehindThemAreTaken) {
  for (int n = 0; n < 3; ++n) {
    const std::string name = "tone" + std::to_string(n);
    folder_.write("shards/00" + std::to_string(n) + ".tar",
                  tar_bytes({{name + ".wav", read_file(folder_.path() / "audio" / (name + ".wav"))},
                             {name + ".mid", "sound that is not decoded"}}));
  }
  const auto packed = run({"pack", "--output", path("many"), "--tar", path("shards/000.tar"), path("shards/001.tar"),
                           path("shards/002.tar"), "data.workers=2"});
  ASSERT_EQ(packed.exit_code, 0) << packed.err;
  EXPECT_NE(packed.err.find("with 2 threads"), std::string::npos) << packed.err;
  EXPECT_NE(packed.err.find("passed over 3 .mid"), std::string::npos) << packed.err;
  for (const char* pattern : {"shards/{000..002}.tar", "shards/*.tar", "shards"}) {
    const std::string name = "p" + std::to_string(std::string(pattern).size());
    ASSERT_EQ(run({"pack", "--output", path(name), "--tar", path(pattern)}).exit_code, 0) << pattern;
    const auto found = run({"pack", "--info", path(name)}).out;
    EXPECT_NE(found.find("clips      3"), std::string::npos) << found;
  }
  const auto missing = run({"pack", "--output", path("no"), "--tar", path("shards/{000..003}.tar")});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_NE(missing.err.find("003.tar: no such archive"), std::string::npos) << missing.err;
}

TEST_F(Pack, ParquetIsPackedOrTheBuildSaysWhatItLacks) {
  const std::string file = AXLSTM_TEST_DATA "/data/parquet/audio_feature.parquet";
  const std::vector<std::string> command{"pack", "--output",       path("packed"), "--parquet",
                                         file,   "--label-column", "human_labels"};
  const auto packed = run(command);
#ifdef AXLSTM_WITH_ARROW
  EXPECT_EQ(packed.exit_code, 3) << packed.err;  // a row has no audio
  EXPECT_NE(packed.err.find("row 1 (v1): has neither bytes nor a path"), std::string::npos) << packed.err;
  EXPECT_NE(run({"pack", "--info", path("packed")}).out.find("clips      2"), std::string::npos);
  const std::string shard = read_file(folder_.path() / "packed/shard-00000.axs");
  EXPECT_NE(shard.find("v0Dog,Barkv2Cat"), std::string::npos);
  EXPECT_EQ(run(command).exit_code, 3);  // all is packed already
  const auto both = run({"pack", "--output", path("p"), "--tar", file, "--parquet", file});
  EXPECT_EQ(both.exit_code, 2) << both.err;
#else
  EXPECT_EQ(packed.exit_code, 2);
  EXPECT_NE(packed.err.find("pyarrow"), std::string::npos) << packed.err;
#endif
}

TEST_F(Pack, AFullDiskLeavesWholeShardsOnly) {
  const auto full = Process(pack("packed"), /*limit_file_kb=*/64).wait();
  EXPECT_EQ(full.exit_code, 1) << full.err;
  EXPECT_NE(full.err.find("cannot be written"), std::string::npos) << full.err;
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "packed/shard-00000.axs"));
  EXPECT_EQ(run(pack("packed")).exit_code, 0);  // space again
}

}  // namespace
}  // namespace axlstm::test
