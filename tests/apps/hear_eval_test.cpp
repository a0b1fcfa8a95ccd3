#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "fixture.h"

namespace axlstm::test {
namespace {

namespace fs = std::filesystem;

const fs::path kData = AXLSTM_TEST_DATA;

class HearEval : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  /// A copy of golden embeddings as those of the model `toy`.
  std::string embeddings(const std::string& task) const {
    const fs::path copy = folder_.path() / "embeddings" / "toy" / task;
    fs::create_directories(copy.parent_path());
    fs::copy(kData / "golden/hear" / task, copy);
    return copy.string();
  }

  static void expect(const ProcessResult& result, int code, const std::string& text) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE((result.out + result.err).find(text), std::string::npos)
        << "expected '" << text << "' in: " << result.out << result.err;
  }

  TemporaryFolder folder_;
};

TEST_F(HearEval, FromAudioToThePageInOneCommand) {
  const std::vector<std::string> command{
      "hear-eval",
      "--config",
      (kData.parent_path() / "configs/hear/paper.yaml").string(),
      "hear.tasks=[" + (kData / "data/hear/tasks").string() + "]",
      "hear.models=naive,untrained=random:" + (kData.parent_path() / "configs/quickstart/pretrain.yaml").string(),
      "hear.output=" + path("out"),
      "hear.grid=faster",
      "hear.seeds=2",
      "hear.extract_device=cpu"};
  const auto result = run(command);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string page = read_file(folder_.path() / "out/report/report.html");
  for (const char* text : {"instruments-v1-full", "naive", "untrained", "<svg"}) {
    EXPECT_NE(page.find(text), std::string::npos) << text;
  }
  EXPECT_TRUE(fs::exists(folder_.path() / "out/scores/untrained_01/instruments-v1-full/test.predicted-scores.json"));
  const auto again = run(command);
  expect(again, 0, "embedded already");
  expect(again, 0, "(found)");
  EXPECT_EQ(read_file(folder_.path() / "out/report/report.html"), page);
  auto flag_beside = command;
  flag_beside.insert(flag_beside.end(), {"--seeds", "3"});
  expect(run(flag_beside), 2, "--seeds cannot be given with --config");
}

TEST_F(HearEval, NothingEmbeddedIsAFailure) {
  fs::create_directories(folder_.path() / "tasks/empty-v1-full");
  fs::copy(kData / "data/hear/tasks/instruments-v1-full/task_metadata.json",
           folder_.path() / "tasks/empty-v1-full/task_metadata.json");
  const auto result = run({"hear-eval", "--config", (kData.parent_path() / "configs/hear/paper.yaml").string(),
                           "hear.models=naive", "hear.tasks=" + path("tasks"), "hear.output=" + path("out")});
  expect(result, 1, "naive/empty-v1-full: ");
  expect(run({"hear-eval", "--config", (kData.parent_path() / "configs/hear/paper.yaml").string(),
              "hear.models=a/x,b/x", "hear.tasks=" + path("tasks")}),
         2, "two models are called 'x'");
  expect(run({"hear-eval", "--config", (kData.parent_path() / "configs/hear/paper.yaml").string(), "hear.models=naive",
              "hear.tasks=[" + path("nowhere") + "]"}),
         2, "hear.tasks: " + path("nowhere") + ": no such folder");
}

TEST_F(HearEval, ReportsSeedsAndRefusesOtherGrids) {
  const std::string task = embeddings("toyfold-v1-full");
  expect(run({"hear-eval", "--seeds", "2", task}), 2, "--seeds needs --output");
  const auto evaluate = [&](const std::string& grid, const std::string& output) {
    return run({"hear-eval", "--grid", grid, "--seeds", "3", "--output", path(output), task});
  };
  expect(evaluate("faster", "scores"), 0, "(3 seeds, 95 % interval)");
  expect(evaluate("fast", "scores"), 1, "grid faster instead of fast");
  expect(run({"hear-eval", "report", path("scores")}), 0, "toyfold-v1-full");
  expect(run({"hear-eval", "report", path("nothing")}), 2, "no such folder");
  fs::copy(path("scores"), path("more"), fs::copy_options::recursive);
  for (const char* seed : {"0", "1", "2"}) {
    const std::string note = path(std::string("more/toy_0") + seed + "/toyfold-v1-full/prediction-done.json");
    auto json = nlohmann::json::parse(read_file(note));
    json["grid"] = "default";
    write_file_atomic(note, json.dump());
  }
  expect(run({"hear-eval", "report", path("scores"), path("more")}), 2, "--mix-grids");
  expect(run({"hear-eval", "report", "--mix-grids", path("scores"), path("more")}), 0, "toy [default]");
}

TEST_F(HearEval, AStoppedEvaluationGoesOn) {
  const std::vector<std::string> command{
      "hear-eval", "--seeds", "40",       "--jobs",       "1",
      "--grid",    "faster",  "--output", path("scores"), embeddings("toymc-v1-full")};
  Process process(command);
  const fs::path first = folder_.path() / "scores/toy_02/toymc-v1-full/prediction-done.json";
  for (int tries = 0; tries < 3000 && !fs::exists(first) && process.running(); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  process.signal(SIGTERM);
  expect(process.wait(), 75, "the same command resumes");
  const auto resumed = run(command);
  expect(resumed, 0, "(found)");
  expect(resumed, 0, "(40 seeds");
}

TEST_F(HearEval, OneBadTaskDoesNotEndTheEvaluation) {
  embeddings("toymc-v1-full");
  const std::string damaged = embeddings("toyevent-v1-full");
  fs::remove(fs::path(damaged) / "labelvocabulary.csv");
  const auto some = run({"hear-eval", "--grid", "faster", path("nothing"), path("embeddings/toy")});
  expect(some, 3, "nothing: no such folder");
  expect(some, 3, "labelvocabulary.csv: ");
  expect(some, 3, "toymc-v1-full");
  EXPECT_EQ(run({"hear-eval", damaged}).exit_code, 1);
  EXPECT_EQ(run({"hear-eval", "--grid", "coarse", path("embeddings/toy")}).exit_code, 2);
  expect(run({"hear-eval"}), 2, "give folders of embeddings");
}

}  // namespace
}  // namespace axlstm::test
