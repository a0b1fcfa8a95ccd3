#include "axlstm/config/schema.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "axlstm/core/files.h"
#include "config/values.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::config {
namespace {

namespace fs = std::filesystem;

const fs::path kProject = fs::path(AXLSTM_TEST_DATA).parent_path();

RunConfig read_text(const std::string& text) { return read(parse(text, "x.yaml")); }

void expect_rejected(const std::string& text, std::initializer_list<std::string> parts) {
  test::expect_usage_error([&] { read_text(text); }, parts);
}

std::vector<fs::path> shipped_configs() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(kProject / "configs")) {
    const fs::path folder = entry.path().parent_path().filename();
    const bool other_keys = folder == "hear" || folder == "ablation";  // of hear-eval and sweep
    if (entry.path().extension() == ".yaml" && !other_keys) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Read, AnEmptyFileGivesThePapersDefaults) {
  const RunConfig config = read_text("");
  EXPECT_EQ(config.model.size, model::Size::kTiny);
  EXPECT_EQ(config.model.expansion, 3);
  EXPECT_FALSE(config.model.flip);
  EXPECT_EQ(config.mask.ratio, 0.5);
  EXPECT_EQ(config.loss.region, model::LossRegion::kMasked);
  EXPECT_EQ(config.optim.base_lr, 1.5e-4);
  EXPECT_EQ(config.optim.global_batch, 1024);
}

TEST(Read, TakesEveryKindOfValue) {
  const RunConfig config = read_text(
      "model: {arch: axlstm, size: small, expansion: 2, flip: true, input_gate: sigmoid}\n"
      "optim: {base_lr: 6.0e-3, epochs: 1.5, warmup_epochs: 0}\n"
      "data: {root: 'some folder'}\nembedding: {layout: released}\nloss:\n");
  EXPECT_EQ(config.model.dim, 384);
  EXPECT_EQ(config.model.expansion, 2);
  EXPECT_TRUE(config.model.flip);
  EXPECT_EQ(config.model.input_gate, ops::InputGate::kSigmoid);
  EXPECT_EQ(config.optim.base_lr, 6e-3);
  EXPECT_EQ(config.optim.epochs, 1.5);
  EXPECT_EQ(config.data.root, "some folder");
  EXPECT_EQ(config.embedding.layout, embed::EmbeddingLayout::kReleased);
}

TEST(Read, AnUnknownKeyNamesItsPlaceAndTheNearestKey) {
  expect_rejected("optim:\n  epochs: 3\n  base_rl: 0.1\n", {"x.yaml:3:3", "optim.base_rl", "'optim.base_lr'"});
  expect_rejected("model: {sizes: tiny}\n", {"x.yaml:1:9", "model.sizes", "'model.size'"});
  expect_rejected("model: {quite_another_thing: 1}\n", {"x.yaml:1:9", "unknown key 'model.quite_another_thing'"});
}

TEST(Read, AKeyInTheWrongSectionNamesTheRightOne) {
  expect_rejected("optim: {size: tiny}\n", {"x.yaml:1:9", "optim.size", "'model.size'"});
  expect_rejected("model: {mels: 80}\n", {"x.yaml:1:9", "model.mels", "'audio.mels'"});
  expect_rejected("size: tiny\n", {"x.yaml:1:1", "'size'", "'model.size'"});
}

TEST(Read, AnUnknownSectionNamesTheNearestKey) {
  expect_rejected("modle:\n  size: tiny\n", {"x.yaml:2:3", "modle.size", "'model.size'"});
  expect_rejected("modle:\n", {"x.yaml:1:1", "unknown key 'modle'", "'model'"});
}

TEST(Read, AWrongTypeNamesThePlaceTheValueAndWhatIsNeeded) {
  expect_rejected("model:\n  depth: many\n", {"x.yaml:2:3", "model.depth", "'many'", "whole number"});
  expect_rejected("model: {depth: 1.5}\n", {"x.yaml:1:9", "whole number"});
  expect_rejected("model: {depth: }\n", {"x.yaml:1:9", "nothing"});
  expect_rejected("mask: {ratio: half}\n", {"x.yaml:1:8", "mask.ratio", "a number"});
  expect_rejected("model: {flip: yes}\n", {"x.yaml:1:9", "model.flip", "'yes'", "true or false"});
  expect_rejected("model: {arch: cnn}\n", {"x.yaml:1:9", "model.arch", "axlstm, ssam, ssast, mae"});
  expect_rejected("data: {root: [a, b]}\n", {"x.yaml:1:8", "data.root", "a list"});
  expect_rejected("model: tiny\n", {"x.yaml:1:1", "model", "'tiny'"});
  expect_rejected("optim: {eps: {a: 1}}\n", {"x.yaml:1:9", "a section"});
}

TEST(Read, ValuesAreThoseOfYaml12) {
  for (const char* yes : {"true", "True", "TRUE"})
    EXPECT_TRUE(read(parse(str("model: {flip: ", yes, "}"), "x.yaml")).model.flip);
  for (const char* no : {"false", "False", "FALSE"})
    EXPECT_FALSE(read(parse(str("model: {flip: ", no, "}"), "x.yaml")).model.flip);
  for (const char* word : {"yes", "No", "ON", "off"})
    expect_rejected(str("model: {flip: ", word, "}\n"),
                    {"x.yaml:1:9", str("'", word, "'"), "true or false", "YAML 1.2"});
  expect_rejected("model: {flip: 1}\n", {"true or false"});
  const auto ratio = [](const char* text) {
    return read(parse(str("mask: {ratio: ", text, "}"), "x.yaml")).mask.ratio;
  };
  EXPECT_EQ(ratio("+1.5E-01"), 0.15);
  EXPECT_EQ(ratio(".5"), 0.5);
  EXPECT_EQ(ratio("5.0e-1"), 0.5);
  const auto batch = [](const char* text) {
    return read(parse(str("optim: {global_batch: ", text, "}"), "x.yaml")).optim.global_batch;
  };
  EXPECT_EQ(batch("+64"), 64);
  EXPECT_EQ(batch("0o17"), 15);
  EXPECT_EQ(batch("0x1F"), 31);
  EXPECT_EQ(batch("017"), 17);
  expect_rejected("optim: {global_batch: 1_024}\n", {"'1_024'", "whole number", "write 1024"});
  expect_rejected("optim: {global_batch: 1e3}\n", {"whole number", "write 1000"});
  expect_rejected("optim: {global_batch: 0x-5}\n", {"whole number"});
  expect_rejected("optim: {global_batch: +-5}\n", {"whole number"});
  expect_rejected("mask: {ratio: 0_1.5}\n", {"'0_1.5'", "YAML 1.2 has no '_'"});
  expect_rejected("mask: {ratio: '0,5'}\n", {"'0,5'", "0.5"});
  expect_rejected("mask: {ratio: .nan}\n", {"mask.ratio", "0 … 0.999"});
  expect_rejected("mask: {ratio: -.inf}\n", {"mask.ratio", "0 … 0.999"});
}

TEST(Read, KeysOfTheCommandLineInAFileAreExplained) {
  expect_rejected("model.size: tiny\n", {"x.yaml:1:1", "'model.size'", "'model:'", "'  size: …'"});
  expect_rejected("model.sise: tiny\n", {"x.yaml:1:1", "'model.sise'", "'  size: …'"});
}

TEST(Read, AValueOutOfRangeNamesTheRange) {
  expect_rejected("mask:\n  ratio: 1.5\n", {"x.yaml:2:3", "mask.ratio is 1.5", "0 … 0.999"});
  expect_rejected("mask: {ratio: nan}\n", {"mask.ratio", "0 … 0.999"});
  expect_rejected("optim: {base_lr: inf}\n", {"optim.base_lr"});
  expect_rejected("optim: {global_batch: 0}\n", {"optim.global_batch"});
  expect_rejected("model: {depth: 99999999999999999999}\n", {"model.depth"});
}

TEST(Read, ErrorsOfTheCommandLineSaySo) {
  Node root = parse("model: {size: tiny}\n", "x.yaml");
  apply_override(root, "mask.ratio=2");
  test::expect_usage_error([&] { read(root); }, {"command line 'mask.ratio=2'"});
}

TEST(Read, ValuesThatDoNotFitTogetherAreRejected) {
  expect_rejected("audio: {window: 401}\n", {"audio.window", "audio.n_fft"});
  expect_rejected("audio: {f_min_hz: 4000, f_max_hz: 4000}\n", {"audio.f_min_hz"});
  expect_rejected("audio: {f_max_hz: 8001}\n", {"f_max_hz 8001", "audio.sample_rate"});
  expect_rejected("optim: {epochs: 5, warmup_epochs: 6}\n", {"optim.warmup_epochs", "optim.epochs"});
  expect_rejected("mask: {ratio: 0}\n", {"mask.ratio", "loss.region"});
  EXPECT_NO_THROW(read_text("mask: {ratio: 0}\nloss: {region: all}\n"));
}

struct SizeRow {
  const char* name;
  std::int64_t dim, depth, heads;
};

TEST(Read, SizesAreThoseOfThePaper) {
  for (const SizeRow& row : std::initializer_list<SizeRow>{{"tiny", 192, 12, 3},
                                                           {"small", 384, 12, 6},
                                                           {"medium", 512, 12, 8},
                                                           {"base", 768, 12, 12},
                                                           {"large", 1024, 24, 16},
                                                           {"huge", 1280, 32, 16}}) {
    for (const char* arch : {"axlstm", "ssam", "ssast", "mae"}) {
      const auto model = read_text(str("model: {arch: ", arch, ", size: ", row.name, "}\n")).model;
      EXPECT_EQ(model.dim, row.dim) << row.name;
      EXPECT_EQ(model.depth, row.depth) << row.name;
      EXPECT_EQ(model.attention_heads, row.heads) << row.name;
    }
  }
}

TEST(Read, SizesThatCannotBeBuiltAreRejected) {
  expect_rejected("model: {size: custom}\n", {"model.dim", "model.depth"});
  expect_rejected("model: {size: custom, dim: 96}\n", {"model.depth"});
  expect_rejected("model: {size: custom, dim: 98, depth: 2}\n", {"model.dim is 98", "multiple of 4"});
  expect_rejected("model: {size: custom, arch: ssast, dim: 96, depth: 2}\n", {"model.attention_heads"});
  expect_rejected("model: {size: custom, arch: ssast, dim: 96, depth: 2, attention_heads: 5}\n",
                  {"multiple of model.attention_heads"});
  expect_rejected("model: {size: tiny, dim: 96}\n", {"model.dim is 96", "192", "model.size=custom"});
  expect_rejected("model: {patch_frames: 3}\n", {"model.patch_frames is 3", "model.frames 200"});
  expect_rejected("model: {patch_mels: 7}\n", {"model.patch_mels is 7", "audio.mels 80"});
  EXPECT_EQ(read_text("model: {size: custom, dim: 96, depth: 2}\naudio: {mels: 64}\n").model.patches(), 50 * 4);
}

TEST(Configs, EveryFileLoadsAndItsDumpReadsBackToItself) {
  const auto files = shipped_configs();
  EXPECT_GE(files.size(), 30u);
  for (const auto& file : files) {
    const std::string dumped = dump(read(load(file)));
    EXPECT_EQ(dump(read(parse(dumped, "dump"))), dumped) << file;
  }
}

TEST(Dump, OddTextsReadBackUnchanged) {
  for (const std::string text :
       {"",         "null", "Null",    "NULL",       "~",           "true",       "-",
        "- a",      "a: b", "a #b",    "\"quoted\"", "back\\slash", "two\nlines", "tab\tand\rreturn",
        " spaces ", "12",   "ünïcode", "{a}",        "*a",          "&a",         "!t",
        "%x",       "@",    "caf\xe9"}) {  // the last one is a file name of Latin-1: its byte is kept
    RunConfig config = read_text("");
    config.data.root = text;
    EXPECT_EQ(read(parse(dump(config), "dump")).data.root, text) << dump(config);
  }
}

TEST(Dump, NumbersReadBackToTheLastBit) {
  RunConfig config = read_text("");
  config.optim.base_lr = 0.1 + 0.2;
  config.optim.eps = 5e-324;
  const RunConfig again = read(parse(dump(config), "dump"));
  EXPECT_EQ(again.optim.base_lr, config.optim.base_lr);
  EXPECT_EQ(again.optim.eps, config.optim.eps);
}

TEST(Reference, EqualsTheDocumentation) { EXPECT_EQ(read_file(kProject / "docs" / "config.md"), reference()); }

TEST(Reference, NamesEveryKeyOfADump) {
  const std::string markdown = reference();
  for (const auto& entry : test::scalars(parse(dump(read_text("")), "dump"))) {
    EXPECT_NE(markdown.find("`" + entry.first + "`"), std::string::npos) << entry.first;
  }
}

TEST(ChangedKeys, TheseKeysHaveNoEffect) {
  EXPECT_EQ(effect_free_keys(), (std::vector<std::string>{"kernel.backend",
                                                          "kernel.isa",
                                                          "kernel.recompute",
                                                          "classification.labels",
                                                          "embedding.layout",
                                                          "embedding.padding",
                                                          "data.root",
                                                          "data.manifest",
                                                          "data.packed",
                                                          "data.validation",
                                                          "data.test",
                                                          "data.task",
                                                          "data.workers",
                                                          "data.cache_mb",
                                                          "data.max_bad_fraction",
                                                          "data.min_decoded_fraction",
                                                          "train.run_dir",
                                                          "train.device",
                                                          "train.threads",
                                                          "train.device_batch",
                                                          "train.cuda_graph",
                                                          "train.max_steps",
                                                          "train.max_skipped_steps",
                                                          "train.log_every_steps",
                                                          "train.save_every_steps",
                                                          "train.validate_every_steps",
                                                          "train.keep_last",
                                                          "train.keep_every_steps",
                                                          "train.picture_every_steps",
                                                          "distributed.overlap",
                                                          "distributed.bucket_mb",
                                                          "distributed.heartbeat_s",
                                                          "distributed.timeout_s",
                                                          "eval.probe",
                                                          "eval.probe_every_epochs",
                                                          "eval.probe_clips",
                                                          "eval.resamples"}));
}

TEST(ChangedKeys, AreThoseThatChangeTheNumbersOfARun) {
  RunConfig before = read_text("");
  EXPECT_TRUE(changed_keys(dump(before), dump(before)).empty());
  RunConfig after = before;
  after.train.save_every_steps = 7;
  after.train.max_steps = 3;
  after.data.workers = 9;
  after.data.root = "/moved/audio";
  after.data.manifest = "/moved/list.csv";
  EXPECT_TRUE(changed_keys(dump(before), dump(after)).empty());
  after.mask.ratio = 0.75;
  after.train.seed = 5;
  after.model.flip = true;
  EXPECT_EQ(changed_keys(dump(before), dump(after)),
            (std::vector<std::string>{"model.flip", "mask.ratio", "train.seed"}));
}

TEST(ChangedKeys, AKeyThatTheOldVersionLackedCountsWithItsDefault) {
  RunConfig config = read_text("");
  std::string old = dump(config);
  const auto at = old.find("  clip_grad_norm:");
  ASSERT_NE(at, std::string::npos);
  old.erase(at, old.find('\n', at) + 1 - at);
  EXPECT_TRUE(changed_keys(old, dump(config)).empty());
  config.optim.clip_grad_norm = 1;
  EXPECT_EQ(changed_keys(old, dump(config)), std::vector<std::string>{"optim.clip_grad_norm"});
}

}  // namespace
}  // namespace axlstm::config
