#include "axlstm/embed/task_embeddings.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>
#include <stdexcept>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/downstream/split_embeddings.h"
#include "axlstm/embed/extraction.h"
#include "axlstm/hear/python_random.h"
#include "support/expect_error.h"
#include "support/npy.h"

namespace axlstm::embed {
namespace {

using downstream::Frame;
using downstream::label_matrix;
using downstream::load_frames;
using downstream::load_split_embeddings;
using downstream::SplitEmbeddings;

namespace fs = std::filesystem;
using test::expect_error;
using Files = std::vector<fs::path>;

constexpr const char* kScene = R"({"task_name": "scene", "version": "v1", "mode": "full", "embedding_type": "scene",
  "prediction_type": "multiclass", "split_mode": "trainvaltest", "splits": ["train", "valid", "test"],
  "evaluation": ["top1_acc"]})";
constexpr const char* kEvent = R"({"task_name": "event", "version": "v1", "mode": "full", "embedding_type": "event",
  "prediction_type": "multilabel", "split_mode": "trainvaltest", "splits": ["train", "valid", "test"],
  "evaluation": ["event_onset_200ms_fms"]})";

class EmbeddingsTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  /// A task of `files` clips in each split, named s0.wav, s1.flac, s2.wav, … with s the split's first letter.
  fs::path make_task(const char* metadata, int files, const std::string& labels) const {
    const fs::path task = folder_ / "tasks" / "task-v1-full";
    fs::create_directories(task);
    write_file_atomic(task / "task_metadata.json", metadata);
    write_file_atomic(task / "labelvocabulary.csv", "idx,label\n0,bark\n1,7\n");
    for (const std::string split : {"train", "valid", "test"}) {
      fs::create_directories(task / "16000" / split);
      std::string members;
      for (int i = 0; i < files; ++i) {
        const std::string file = split.substr(0, 1) + std::to_string(i) + (i == 1 ? ".flac" : ".wav");
        write_file_atomic(task / "16000" / split / file, "");
        members += (i == 0 ? "\"" : ", \"") + file + "\": " + labels;
      }
      write_file_atomic(task / (split + ".json"), "{" + members + "}");
    }
    return task;
  }

  fs::path folder_ = fs::path(testing::TempDir()) /
                     (std::string("embeddings_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  fs::path output_ = folder_ / "out";
};

/// The number in "t12.wav".
float number_of(const fs::path& file) { return std::stof(file.stem().string().substr(1)); }

/// [3] values made of the file's number.
std::vector<FileEmbedding> embed_scenes(const Files& files) {
  std::vector<FileEmbedding> embedded;
  for (const auto& file : files) embedded.push_back({torch::tensor({number_of(file), 0.5F, -1.0F}), {}});
  return embedded;
}

/// Three frames of 50 ms.
std::vector<FileEmbedding> embed_frames(const Files& files) {
  std::vector<FileEmbedding> embedded;
  for (const auto& file : files) embedded.push_back({torch::full({3, 2}, number_of(file)), {0.0, 50.0, 100.0}});
  return embedded;
}

std::vector<int> shuffled_range(hear::PythonRandom& random, int n) {
  std::vector<int> items;
  for (int i = 0; i < n; ++i) items.push_back(i);
  random.shuffle(items);
  return items;
}

TEST_F(EmbeddingsTest, WritesRowsInTheOfficialOrder) {
  const fs::path task = make_task(kScene, 10, R"(["bark"])");
  ASSERT_TRUE(write_task_embeddings(task, output_, embed_scenes, {.batch_files = 4}));
  hear::PythonRandom random(0);
  for (const std::string split : {"train", "valid", "test"}) {
    const SplitEmbeddings loaded = load_split_embeddings(output_ / "task-v1-full", split);
    ASSERT_EQ(loaded.embeddings.sizes(), (std::vector<std::int64_t>{10, 3}));
    const std::vector<int> order = shuffled_range(random, 10);
    for (int row = 0; row < 10; ++row) EXPECT_EQ(loaded.embeddings[row][0].item<int>(), order[row]);
  }
}

TEST_F(EmbeddingsTest, WritesTheOfficialSceneLayout) {
  const fs::path task = make_task(kScene, 2, "[7]");
  std::vector<std::int64_t> progress;
  const TaskEmbeddingsOptions options{.per_file = true, .progress = [&](std::int64_t done, std::int64_t total) {
                                        progress.insert(progress.end(), {done, total});
                                      }};
  ASSERT_TRUE(write_task_embeddings(task / "", output_, embed_scenes, options));
  const fs::path written = output_ / "task-v1-full";
  for (const char* name : {"task_metadata.json", "labelvocabulary.csv", "train.json", "valid.json", "test.json"}) {
    EXPECT_EQ(read_file(written / name), read_file(task / name));
  }
  EXPECT_EQ(read_file(written / "valid.embedding-dimensions.json"), "[2, 3]");
  EXPECT_EQ(fs::file_size(written / "valid.embeddings.npy"), 2 * 3 * sizeof(float));
  EXPECT_EQ(hear::read_label_pickle(written / "valid.target-labels.pkl"), (hear::LabelLists{{7}, {7}}));
  EXPECT_EQ(read_file(written / ".done.embeddings"), "");
  EXPECT_EQ(test::read_npy(written / "valid" / "v1.flac.embedding.npy").values,
            (std::vector<float>{1.0F, 0.5F, -1.0F}));
  EXPECT_EQ(read_file(written / "valid" / "v1.flac.target-labels.json"), "[7]");
  EXPECT_FALSE(fs::exists(written / "valid.filename-timestamps.json"));
  EXPECT_EQ(progress, (std::vector<std::int64_t>{1, 6, 2, 6, 3, 6, 4, 6, 5, 6, 6, 6}));
}

TEST_F(EmbeddingsTest, WritesCopiesOnlyOnRequest) {
  const fs::path task = make_task(kScene, 1, "[7]");
  write_task_embeddings(task, output_, embed_scenes, {});
  EXPECT_FALSE(fs::exists(output_ / "task-v1-full" / "train"));
}

TEST_F(EmbeddingsTest, WritesTheOfficialEventLayout) {
  const std::string events =
      R"([{"label": "bark", "start": 50, "end": 99.99995}, {"label": 7, "start": 0, "end": 50}])";
  const fs::path task = make_task(kEvent, 1, events);
  ASSERT_TRUE(write_task_embeddings(task, output_, embed_frames, {.per_file = true}));
  const fs::path written = output_ / "task-v1-full";
  EXPECT_EQ(read_file(written / "test.embedding-dimensions.json"), "[3, 2]");
  // An event is active from its start to 0.0001 ms after its end.
  const hear::LabelLists active{{7}, {"bark", 7}, {"bark"}};
  EXPECT_EQ(hear::read_label_pickle(written / "test.target-labels.pkl"), active);
  const std::string path = (written / "test" / "t0.wav").string();
  const auto entry = [&](const char* ms) { return "    [\n        \"" + path + "\",\n        " + ms + "\n    ]"; };
  EXPECT_EQ(read_file(written / "test.filename-timestamps.json"),
            "[\n" + entry("0.0") + ",\n" + entry("50.0") + ",\n" + entry("100.0") + "\n]");
  EXPECT_EQ(read_file(written / "test" / "t0.wav.timestamps.json"), "[\n    0.0,\n    50.0,\n    100.0\n]");
  EXPECT_EQ(test::read_npy(written / "test" / "t0.wav.embedding.npy").shape, (std::vector<std::int64_t>{3, 2}));

  const std::vector<Frame> frames = load_frames(written, "test", 3);
  EXPECT_EQ(frames[2].file, "t0.wav");
  EXPECT_EQ(frames[2].timestamp_ms, 100.0);
  expect_error([&] { load_frames(written, "test", 4); }, {"test.filename-timestamps.json", "3 frames", "says 4"});
}

TEST_F(EmbeddingsTest, ReadsOfficialEventEmbeddings) {
  const fs::path golden = fs::path(AXLSTM_TEST_DATA) / "golden" / "hear" / "toyevent-v1-full";
  const SplitEmbeddings loaded = load_split_embeddings(golden, "train");
  const std::vector<Frame> frames = load_frames(golden, "train", loaded.embeddings.size(0));
  const auto clips = hear::load_event_split(golden, "train");
  // The labels of each frame follow from the events of its file, in an order that Python leaves open.
  for (std::size_t row = 0; row < frames.size(); ++row) {
    std::vector<std::string> expected, found;
    for (const hear::EventClip& clip : clips) {
      if (clip.file != frames[row].file) continue;
      for (const hear::Event& event : clip.events) {
        const double ms = frames[row].timestamp_ms;
        if (event.start_ms <= ms && ms < event.end_ms + 0.0001) expected.push_back(hear::label_text(event.label));
      }
    }
    for (const hear::Label& label : loaded.labels[row]) found.push_back(hear::label_text(label));
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, expected) << row;
  }
}

TEST_F(EmbeddingsTest, OrdersRowsAsTheOfficialEventEmbeddings) {
  const fs::path golden = fs::path(AXLSTM_TEST_DATA) / "golden" / "hear" / "toyevent-v1-full";
  hear::PythonRandom random(0);
  for (const std::string split : {"train", "valid", "test"}) {
    auto clips = hear::load_event_split(golden, split);
    random.shuffle(clips);
    const std::int64_t rows = load_split_embeddings(golden, split).embeddings.size(0);
    std::vector<std::string> order;
    for (const Frame& frame : load_frames(golden, split, rows)) {
      if (order.empty() || order.back() != frame.file) order.push_back(frame.file);
    }
    ASSERT_EQ(order.size(), clips.size());
    for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], clips[i].file) << split << " " << i;
  }
}

TEST_F(EmbeddingsTest, SkipsFinishedTasksAndRedoesOthers) {
  const fs::path task = make_task(kScene, 2, R"(["bark"])");
  const fs::path written = output_ / "task-v1-full";
  const EmbedFiles failing = [](const Files& files) -> std::vector<FileEmbedding> {
    if (files.front().filename() == "v0.wav") throw Error("stopped");
    return embed_scenes(files);
  };
  EXPECT_THROW(write_task_embeddings(task, output_, failing, {}), Error);
  EXPECT_FALSE(fs::exists(written));
  EXPECT_TRUE(write_task_embeddings(task, output_, embed_scenes, {}));
  EXPECT_FALSE(write_task_embeddings(task, output_, failing, {}));

  fs::remove(written / ".done.embeddings");
  write_file_atomic(written / "left over", "");
  EXPECT_TRUE(write_task_embeddings(task, output_, embed_scenes, {}));
  EXPECT_FALSE(fs::exists(written / "left over"));
}

TEST_F(EmbeddingsTest, ContinuesAKilledExtraction) {
  const fs::path task = make_task(kEvent, 300, R"([{"label": "bark", "start": 0, "end": 60}])");
  const auto write = [&](const std::string& output, const std::string& source, int stop_after) {
    int embedded = 0;
    const EmbedFiles embed = [&](const Files& files) {
      if (embedded == stop_after) throw Error("killed");
      embedded += static_cast<int>(files.size());
      return embed_frames(files);
    };
    try {
      write_task_embeddings(task, folder_ / output, embed, {.source = source});
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "killed");
    }
    return embedded;
  };
  EXPECT_EQ(write("whole", "tiny", -1), 900);
  EXPECT_EQ(write("out", "tiny", 700), 700);
  EXPECT_EQ(write("out", "base", 100), 100);  // another model takes nothing over
  EXPECT_EQ(write("out", "tiny", 700), 700);
  EXPECT_EQ(write("out", "tiny", -1), 204);  // two splits and twelve pieces of eight files are there
  const fs::path written = folder_ / "out" / "task-v1-full", whole = folder_ / "whole" / "task-v1-full";
  for (const char* name : {"train.embeddings.npy", "test.embeddings.npy", "valid.target-labels.pkl"}) {
    EXPECT_EQ(read_file(written / name), read_file(whole / name)) << name;
  }
  EXPECT_EQ(load_frames(written, "valid", 900).back().file, load_frames(whole, "valid", 900).back().file);
  EXPECT_FALSE(fs::exists(written / ".pieces"));
}

TEST_F(EmbeddingsTest, FilesAreAnnouncedOneCallAhead) {
  const fs::path task = make_task(kEvent, 20, "[]");  // three pieces of eight files at most in each split
  std::vector<Files> announced, calls;
  bool killed = true;
  const auto embed = [&](const Files& files) {
    calls.push_back(files);
    AXLSTM_CHECK(!killed || calls.size() < 4, "killed");
    return embed_frames(files);
  };
  TaskEmbeddingsOptions options{.batch_files = 5, .source = "test"};
  options.announce = [&](Files files) { announced.push_back(std::move(files)); };
  const auto expect_ahead = [&] {
    ASSERT_EQ(announced.size(), calls.size());
    for (std::size_t n = 0; n + 1 < calls.size(); ++n) {
      const bool same_split = calls[n][0].parent_path() == calls[n + 1][0].parent_path();
      EXPECT_EQ(announced[n], same_split ? calls[n + 1] : Files{}) << n;
    }
  };
  expect_error([&] { write_task_embeddings(task, output_, embed, options); }, {"killed"});
  expect_ahead();
  EXPECT_EQ(announced.back().size(), 4U) << "of the third piece";
  announced.clear();
  calls.clear();
  killed = false;
  ASSERT_TRUE(write_task_embeddings(task, output_, embed, options));
  EXPECT_EQ(calls.size(), 5 * 3 - 2U) << "the first piece was there";
  expect_ahead();
  EXPECT_TRUE(announced.back().empty());
}

TEST_F(EmbeddingsTest, LeavesFoldersAloneThatHoldNoEmbeddings) {
  const fs::path task = make_task(kScene, 2, R"(["bark"])");
  const auto refused = [&](const fs::path& output, const std::string& reason) {
    const std::string folder = (output / "task-v1-full").string();
    test::expect_usage_error([&] { write_task_embeddings(task, output, embed_scenes, {}); },
                             {folder, reason, "--output"});
  };
  refused(folder_ / "tasks", "is the task itself");
  EXPECT_TRUE(fs::exists(task / "16000" / "test" / "t1.flac"));
  fs::create_directories(output_);
  fs::create_directory_symlink(task, output_ / "task-v1-full");
  refused(output_, "is the task itself");
  fs::remove(output_ / "task-v1-full");
  fs::create_directories(output_ / "task-v1-full");
  write_file_atomic(output_ / "task-v1-full" / "thesis.tex", "");
  refused(output_, "holds no embeddings");
  EXPECT_TRUE(fs::exists(output_ / "task-v1-full" / "thesis.tex"));
}

TEST_F(EmbeddingsTest, RefusesFinishedEmbeddingsOfAnotherSource) {
  const fs::path task = make_task(kScene, 2, R"(["bark"])");
  const auto write = [&](const std::string& source) {
    return write_task_embeddings(task, output_, embed_scenes, {.source = source});
  };
  EXPECT_TRUE(write("tiny"));
  EXPECT_FALSE(write("tiny"));
  expect_error([&] { write("base \xff"); }, {"task-v1-full: was made with", "tiny", "not", "base", "--output"});
  fs::remove(output_ / "task-v1-full" / "embeddings-source.json");  // as the official runner leaves it
  EXPECT_FALSE(write("base"));
  fs::remove(output_ / "task-v1-full" / ".done.embeddings");
  EXPECT_TRUE(write("base \xff"));
  EXPECT_FALSE(write("base \xff"));
}

/// Refuses more than one clip at once, and every second clip.
class FailingEncoder final : public ClipEncoder {
 public:
  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& waveforms, EmbeddingKind) override {
    if (waveforms.size() > 1 || ++clips_ % 2 == 0) {
      throw std::runtime_error("out of memory\nException raised from here");
    }
    return {{.scene = torch::ones({2}), .timestamps = {}, .timestamps_ms = {}}};
  }
  int sample_rate() const override { return 16000; }

 private:
  int clips_ = 0;
};

TEST_F(EmbeddingsTest, OneBadClipOfABatchCostsItselfOnly) {
  const fs::path task = fs::path(AXLSTM_TEST_DATA) / "data" / "hear" / "tasks" / "instruments-v1-full";
  for (const char* name : {"a.flac", "b.flac", "c.flac", "d.flac", "e.flac"}) {
    fs::create_directories(folder_ / "audio");
    fs::copy(task / "16000" / "valid" / "tabla_tun2.flac", folder_ / "audio" / name);
  }
  fs::create_directories(output_ / "c.flac.npy" / "in the way");
  FailingEncoder encoder;
  const ExtractionReport report = extract_files(encoder, {folder_ / "audio"}, {.output_dir = output_});
  EXPECT_EQ(report.written, 2);
  ASSERT_EQ(report.failures.size(), 3U);
  EXPECT_EQ(report.failures[0], (folder_ / "audio" / "b.flac").string() + ": out of memory");
  EXPECT_NE(report.failures[2].find("c.flac"), std::string::npos)
      << report.failures[2];  // written after all are embedded
  EXPECT_TRUE(fs::is_regular_file(output_ / "e.flac.npy"));

  write_file_atomic(folder_ / "file", "");
  EXPECT_THROW(extract_files(encoder, {folder_ / "audio"}, {.output_dir = folder_ / "file"}), std::exception);
}

TEST_F(EmbeddingsTest, RefusesBadEmbeddingsNamingTheFile) {
  const fs::path task = make_task(kScene, 2, R"(["bark"])");
  const auto with = [&](const torch::Tensor& embedding, std::vector<double> times = {}) {
    return [=, this] {
      const EmbedFiles embed = [&](const Files& files) {
        auto embedded = embed_scenes(files);
        if (files.front().filename() == "v1.flac") embedded[0] = {embedding, times};
        return embedded;
      };
      write_task_embeddings(task, output_, embed, {});
    };
  };
  const torch::Tensor good = torch::ones({3});
  expect_error(with(good * std::numeric_limits<float>::infinity()), {"v1.flac", "NaN or infinite"});
  expect_error(with(good * std::numeric_limits<float>::quiet_NaN()), {"v1.flac", "NaN or infinite"});
  expect_error(with(torch::ones({4})), {"v1.flac", "an embedding of 4 values, earlier ones have 3"});
  expect_error(with(torch::ones({1, 3})), {"v1.flac", "1 dimensions"});
  expect_error(with(good.to(torch::kFloat64)), {"v1.flac", "float32"});
  expect_error(with({}), {"v1.flac", "float32"});
  expect_error(with(good, {0.0}), {"v1.flac", "1 timestamps"});
  const EmbedFiles too_few = [](const Files&) { return std::vector<FileEmbedding>{}; };
  expect_error([&] { write_task_embeddings(task, output_, too_few, {}); }, {"0 embeddings for 1 files"});
}

TEST_F(EmbeddingsTest, ChecksTheTaskBeforeEmbedding) {
  const EmbedFiles never = [](const Files&) -> std::vector<FileEmbedding> { throw Error("embedding has begun"); };
  const fs::path task = make_task(kScene, 2, R"(["bark"])");
  const auto write = [&] { write_task_embeddings(task, output_, never, {}); };
  fs::remove(task / "16000" / "test" / "t1.flac");
  expect_error(write, {"t1.flac: no such file", "test.json"});
  make_task(kScene, 2, R"(["meow"])");
  expect_error(write, {"labelvocabulary.csv", "\"meow\""});
  fs::remove_all(task / "16000");
  expect_error(write, {"16000: no such folder"});
  expect_error([&] { write_task_embeddings(folder_ / "none", output_, never, {}); }, {"none: no such task folder"});
}

TEST_F(EmbeddingsTest, NamesWhatDoesNotFitTogether) {
  const fs::path task = make_task(kScene, 2, R"(["bark"])");
  const fs::path written = output_ / "task-v1-full";
  const auto damaged = [&](const char* name, const std::string& bytes) {
    fs::remove_all(output_);
    write_task_embeddings(task, output_, embed_scenes, {});
    write_file_atomic(written / name, bytes);
    return [=] { load_split_embeddings(written, "train"); };
  };
  expect_error(damaged("train.embedding-dimensions.json", "[3, 3]"), {"train.target-labels.pkl", "2 rows", "says 3"});
  expect_error(damaged("train.embedding-dimensions.json", "[2, 4]"), {"train.embeddings.npy", "8 float32", "24 bytes"});
  expect_error(damaged("train.embedding-dimensions.json", "[2, 9223372036854775807]"), {"cannot be stored"});
  expect_error(damaged("train.embedding-dimensions.json", "[2]"), {"two positive sizes", "[2]"});
  expect_error(damaged("train.embedding-dimensions.json", "[-2, 3]"), {"two positive sizes"});
  expect_error(damaged("train.target-labels.pkl", "x"), {"train.target-labels.pkl", "PROTO"});
  expect_error(damaged("train.embeddings.npy", std::string(24, '\xff')), {"train.embeddings.npy", "NaN"});
  fs::remove(written / "train.embeddings.npy");
  expect_error([&] { load_split_embeddings(written, "train"); }, {"train.embeddings.npy", "cannot be opened"});
}

TEST_F(EmbeddingsTest, TurnsLabelsIntoAMatrix) {
  const hear::LabelVocabulary vocabulary({"bark", "7"}, "vocabulary");
  const auto matrix =
      label_matrix({{"bark", 7}, {}, {"7", "7"}}, vocabulary, hear::PredictionType::kMultilabel, "labels");
  EXPECT_TRUE(torch::equal(matrix, torch::tensor({{1.0F, 1.0F}, {0.0F, 0.0F}, {0.0F, 1.0F}})));
  const auto convert = [&](const hear::LabelLists& labels) {
    return [&vocabulary, labels] { label_matrix(labels, vocabulary, hear::PredictionType::kMulticlass, "labels.pkl"); };
  };
  expect_error(convert({{"bark"}, {}}), {"labels.pkl", "row 1 has 0 labels"});
  expect_error(convert({{"meow"}}), {"vocabulary", "\"meow\""});
}

}  // namespace
}  // namespace axlstm::embed
