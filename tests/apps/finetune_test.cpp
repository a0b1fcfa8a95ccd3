#include <csignal>
#include <map>
#include <nlohmann/json.hpp>

#include "pretrain_fixture.h"

namespace axlstm::test {
namespace {

using Arguments = std::vector<std::string>;

/// Low, middle and high tones; lists of them with labels.
class Finetune : public Pretrain {
 protected:
  void SetUp() override {
    Pretrain::SetUp();
    std::map<std::string, std::string> lists;
    for (const std::string part : {"train", "valid", "test"}) {
      std::string list = "path,label\n";
      for (int n = 0; n < (part == "train" ? 12 : 6); ++n) {
        const int kind = n % 3;
        const std::string file = part + std::to_string(n) + ".wav";
        write_audio(folder_.path() / "labelled" / file, tone(300 + 1200 * kind + 20 * n, 0.6 + 0.1 * n));
        list += file + "," + kKinds[kind] + "\n";
      }
      folder_.write("labelled/" + part + ".csv", list);
    }
  }

  /// 30 steps of a nano model: ten epochs.
  Arguments finetune(const std::string& name, const Arguments& more = {}) const {
    Arguments arguments{"finetune",
                        "model.size=custom",
                        "model.dim=16",
                        "model.depth=2",
                        "model.expansion=2",
                        "model.frames=64",
                        "model.patch_frames=8",
                        "optim.epochs=10",
                        "optim.warmup_epochs=1",
                        "optim.global_batch=4",
                        "optim.base_lr=1.5",
                        "eval.resamples=50",
                        "train.device=cpu",
                        "train.threads=1",
                        "train.save_every_steps=5",
                        "train.log_every_steps=5",
                        "data.workers=2",
                        "data.manifest=" + path("labelled/train.csv"),
                        "data.validation=" + path("labelled/valid.csv"),
                        "train.run_dir=" + path(name)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  nlohmann::json json(const std::string& name) const { return nlohmann::json::parse(read_file(path(name))); }

  std::vector<nlohmann::json> records(const std::string& name) const {
    std::vector<nlohmann::json> all;
    std::istringstream lines(read_file(path(name) + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }

  void expect_refused(const Arguments& arguments, int code, const std::vector<std::string>& parts) const {
    const auto result = run(arguments);
    EXPECT_EQ(result.exit_code, code) << result.err;
    for (const auto& part : parts) EXPECT_NE(result.err.find(part), std::string::npos) << part << "\n" << result.err;
  }

  static constexpr const char* kKinds[] = {"low", "middle", "high"};
};

TEST_F(Finetune, LearnsLabelsScoresThemAndClassifies) {
  const auto result = run(finetune("run", {"data.test=" + path("labelled/test.csv")}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto all = records("run");
  ASSERT_EQ(all.size(), 30u);
  int evaluated = 0;
  for (const auto& record : all) evaluated += record.contains("validation_mAP") ? 1 : 0;
  EXPECT_EQ(evaluated, 10) << "every epoch";
  const auto& last = all.back();
  for (const char* name : {"mAP", "AUC", "d_prime", "accuracy"}) {
    const auto key = std::string("validation_") + name;
    ASSERT_TRUE(last.contains(key)) << key;
    EXPECT_EQ(last[key + "_interval"].size(), 2u);
  }
  EXPECT_GT(last["validation_accuracy"].get<double>(), 0.6) << "three tones are learned";
  EXPECT_LT(last["loss"].get<double>(), all.front()["loss"].get<double>());
  const auto test = json("run/test.json");
  EXPECT_EQ(test["clips"], 6);
  EXPECT_EQ(test["scored_classes"], 3);
  EXPECT_GT(test["accuracy"]["value"].get<double>(), 0.6);

  const Arguments files{path("labelled/test0.wav"), path("labelled/test1.wav"), path("labelled/test2.wav")};
  Arguments classify{"classify", "--model", path("run"), "--device", "cpu", "--format", "json"};
  classify.insert(classify.end(), files.begin(), files.end());
  const auto labels = run(classify);
  ASSERT_EQ(labels.exit_code, 0) << labels.err;
  const auto found = nlohmann::json::parse(labels.out);
  ASSERT_EQ(found.size(), 3u);
  double sum = 0;
  for (const auto& label : found[0]["labels"]) sum += label["probability"].get<double>();
  EXPECT_EQ(found[0]["labels"].size(), 3u);
  EXPECT_NEAR(sum, 1, 1e-4);
  EXPECT_EQ(found[0]["file"], files[0]);
  classify[6] = "csv";
  EXPECT_EQ(run(classify).out.substr(0, 28), "file,rank,label,probability\n");
  classify[6] = "table";
  EXPECT_NE(run(classify).out.find("  middle\n"), std::string::npos);
  classify.push_back(path("labelled/train.csv"));
  const auto some = run(classify);
  EXPECT_EQ(some.exit_code, 3) << some.err;
  EXPECT_NE(some.err.find("train.csv"), std::string::npos) << some.err;
}

TEST_F(Finetune, BeginsWithAnEncoderAndItsShape) {
  ASSERT_EQ(run(pretrain("encoder", {"train.max_steps=5", "model.frames=64"})).exit_code, 0);
  Arguments arguments{"finetune",
                      "classification.encoder=" + path("encoder"),
                      "classification.train=head",
                      "optim.epochs=2",
                      "optim.warmup_epochs=0",
                      "optim.global_batch=4",
                      "train.device=cpu",
                      "data.manifest=" + path("labelled/train.csv"),
                      "train.run_dir=" + path("run")};
  const auto result = run(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("begins with the encoder of " + path("encoder")), std::string::npos) << result.err;
  // A frozen encoder keeps its weights; a run that has begun no longer needs the folder that they came from.
  const auto embedding = [&](const std::string& model) {
    const auto extracted = run({"extract", "--quiet", "--device", "cpu", "--model", path(model), "--output",
                                path("embeddings-" + model), path("audio/tone3.wav")});
    EXPECT_EQ(extracted.exit_code, 0) << extracted.err;
    return read_file(path("embeddings-" + model) + "/tone3.wav.npy");
  };
  EXPECT_EQ(embedding("run"), embedding("encoder"));
  std::filesystem::rename(path("encoder"), path("moved"));
  EXPECT_EQ(run(arguments).exit_code, 0);
}

TEST_F(Finetune, KilledAnywhereItEndsAsTheUnbrokenRun) {
  const Arguments more{"head.dropout=0.2",
                       "classification.mixup=0.5",
                       "classification.balanced=true",
                       "classification.frequency_mask=10",
                       "classification.time_mask=10",
                       "classification.time_roll=5",
                       "classification.drop_path=0.2",
                       "classification.label_smoothing=0.1",
                       "optim.layer_decay=0.75",
                       "train.ema_decay=0.9"};
  auto killed = finetune("killed", more), unbroken = finetune("unbroken", more);
  for (auto* command : {&killed, &unbroken}) command->push_back("optim.epochs=20000");
  Process process(killed);
  wait_until(process, [&] { return steps_of("killed") >= 8; });
  process.signal(SIGKILL);
  EXPECT_EQ(process.wait().exit_code, 128 + SIGKILL);
  const std::int64_t steps = steps_of("killed") + 6;
  for (auto* command : {&killed, &unbroken}) command->push_back("train.max_steps=" + std::to_string(steps));
  ASSERT_EQ(run(unbroken).exit_code, 0);
  const auto resumed = run(killed);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("resuming"), std::string::npos) << resumed.err;
  EXPECT_EQ(loss_curve(path("killed")), loss_curve(path("unbroken")));
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "ema.safetensors"})
    EXPECT_TRUE(last_checkpoint("killed", steps, file) == last_checkpoint("unbroken", steps, file)) << file;
  const auto of = [&](const std::string& name) {
    std::vector<std::string> scores;
    for (const auto& record : records(name))
      if (record.contains("validation_mAP")) scores.push_back(record["validation_mAP_interval"].dump());
    return scores;
  };
  EXPECT_EQ(of("killed"), of("unbroken"));
}

TEST_F(Finetune, TheBestCheckpointStaysAndPatienceEndsTheRun) {
  // A rate of 0 learns nothing: the first evaluation stays the best one.
  const auto command = finetune("run", {"optim.base_lr=0", "eval.patience=3", "train.keep_last=1", "eval.metric=loss"});
  const auto result = run(command);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("3 evaluations without a better score than that of step 3"), std::string::npos)
      << result.err;
  EXPECT_NE(result.err.find("best: " + path("run/checkpoints/step-00000003")), std::string::npos) << result.err;
  EXPECT_EQ(records("run").size(), 12u);
  EXPECT_TRUE(std::filesystem::exists(path("run/checkpoints/step-00000003/model.safetensors")));
  EXPECT_TRUE(std::filesystem::exists(path("run/checkpoints/step-00000012/model.safetensors")));
  EXPECT_EQ(json("run/checkpoints/step-00000012/state.json")["best"]["step"], 3);
  EXPECT_EQ(run(command).exit_code, 0) << "the same command has nothing left to do";
  EXPECT_EQ(records("run").size(), 12u);
}

TEST_F(Finetune, ATaskTrainsEveryFold) {
  const std::vector<std::string> folds{"fold00", "fold01", "fold02"};
  for (const auto& fold : folds) {
    nlohmann::json labels;
    for (int n = 0; n < 6; ++n) {
      const std::string file = fold + "-" + std::to_string(n) + ".wav";
      write_audio(folder_.path() / "task/16000" / fold / file, tone(300 + 1200 * (n % 3) + 7 * n, 0.7));
      labels[file] = {kKinds[n % 3]};
    }
    folder_.write("task/" + fold + ".json", labels.dump());
  }
  folder_.write("task/labelvocabulary.csv", "idx,label\n0,low\n1,middle\n2,high\n");
  folder_.write("task/task_metadata.json",
                R"({"task_name": "tones", "version": "1", "mode": "full", "embedding_type": "scene",)"
                R"( "prediction_type": "multiclass", "split_mode": "new_split_kfold",)"
                R"( "splits": ["fold00", "fold01", "fold02"], "sample_duration": 0.7, "evaluation": ["top1_acc"]})");
  auto command = finetune("run", {"optim.epochs=4", "optim.warmup_epochs=0", "data.task=" + path("task")});
  for (auto& argument : command) {
    if (argument.starts_with("data.manifest=")) argument = "data.manifest=";
    if (argument.starts_with("data.validation=")) argument = "data.validation=";
  }
  const auto result = run(command);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto scores = json("run/scores.json");
  ASSERT_EQ(scores["folds"].size(), 3u);
  double sum = 0;
  for (const auto& fold : folds) sum += json("run/" + fold + "/test.json")["accuracy"]["value"].get<double>();
  EXPECT_NEAR(scores["accuracy"]["mean"].get<double>(), sum / 3, 1e-12);
  EXPECT_NE(result.out.find("mean over 3 folds"), std::string::npos) << result.out;
  EXPECT_NE(read_file(path("run/fold01/config.yaml")).find("classes: [low, middle, high]"), std::string::npos);

  // The same command scores again only what its file is not of.
  auto edited = json("run/fold00/test.json");
  edited["loss"] = 123;
  folder_.write("run/fold00/test.json", edited.dump());
  edited = json("run/fold01/test.json");
  edited["clips_fingerprint"] = "of other clips";
  edited["loss"] = 123;
  folder_.write("run/fold01/test.json", edited.dump());
  const auto again = run(command);
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_NE(again.err.find("scored already: " + path("run/fold00/test.json")), std::string::npos) << again.err;
  EXPECT_EQ(json("run/fold00/test.json")["loss"], 123);
  EXPECT_NE(json("run/fold01/test.json")["loss"], 123);
  EXPECT_EQ(json("run/scores.json")["accuracy"], scores["accuracy"]);
  EXPECT_EQ(scores["task_score"]["name"], "top1_acc");
  EXPECT_EQ(scores["task_score"]["mean"], scores["accuracy"]["mean"]);

  command.push_back("data.fold=7");
  expect_refused(command, 2, {"data.fold is 7", "folds 0 … 2"});
  command.back() = "data.fold=1";
  std::filesystem::copy_file(path("task/16000/fold00/fold00-0.wav"), path("task/16000/fold01/fold00-0.wav"));
  auto overlapping = json("task/fold01.json");
  overlapping["fold00-0.wav"] = {"low"};
  folder_.write("task/fold01.json", overlapping.dump());
  expect_refused(command, 1, {"folds overlap", "fold00-0.wav", "fold00", "fold01"});
}

TEST_F(Finetune, LabelsThatDoNotFitAreNamed) {
  const auto with_list = [&](const std::string& list, const Arguments& more = {}) {
    folder_.write("labelled/odd.csv", list);
    auto command = finetune("refused", more);
    command.push_back("data.manifest=" + path("labelled/odd.csv"));
    return command;
  };
  folder_.write("classes.txt", "low\nmiddle\nhigh\n");
  const std::string rows = "path,label\ntrain0.wav,low\ntrain1.wav,middle\ntrain2.wav,high\n";
  const std::string classes = "classification.labels=" + path("classes.txt");
  expect_refused(with_list(rows + "train3.wav,lwo\n", {classes}), 1,
                 {"train3.wav", "'lwo'", "3 classes", "classes.txt"});
  expect_refused(with_list(rows + "train3.wav,\n"), 1, {"train3.wav", "no label"});
  expect_refused(with_list("path\ntrain0.wav\ntrain1.wav\n"), 1, {"train0.wav", "no label"});
  expect_refused(with_list("path,label\ntrain0.wav,low\ntrain1.wav,low\n"), 2, {"all training clips", "'low'"});
  expect_refused(with_list(rows + "train3.wav,\"low,high\"\n", {classes}), 1,
                 {"train3.wav", "several labels", "classification.targets=multilabel"});
  expect_refused(with_list(rows + "train3.wav,\"low,high\"\n"), 2,
                 {"'low,high'", "'low' is one too", "classification.targets=multilabel"});
  expect_refused(finetune("refused", {"data.test=" + path("labelled/odd.csv")}), 1, {"train3.wav", "'low,high'"});
  EXPECT_FALSE(std::filesystem::exists(path("refused"))) << "nothing is written before all is known to fit";
  const auto missing =
      run(with_list("path,label\ntrain0.wav,low\ntrain1.wav,middle\ntrain3.wav,low\ntrain4.wav,"
                    "middle\n",
                    {classes, "train.max_steps=1", "data.validation="}));
  EXPECT_EQ(missing.exit_code, 0) << missing.err;
  EXPECT_NE(missing.err.find("no clip has 1 of the 3 classes: 'high'"), std::string::npos) << missing.err;
}

TEST_F(Finetune, AnotherHeadOrRunIsRefusedAndNothingIsOverwritten) {
  ASSERT_EQ(run(finetune("run", {"train.max_steps=3"})).exit_code, 0);
  const auto weights = read_file(path("run/checkpoints/step-00000003/model.safetensors"));
  expect_refused(finetune("run", {"head.classes=[low,middle,high,other]"}), 2, {"head.classes", path("run")});
  expect_refused(finetune("run", {"head.hidden=8"}), 2, {"head.hidden", path("run")});
  expect_refused(finetune("new", {"model.arch=ssam", "classification.encoder=" + path("run")}), 2,
                 {"model.arch is ssam", "are of axlstm"});
  expect_refused(finetune("new", {"model.dim=32", "classification.encoder=" + path("run")}), 1,
                 {"another architecture", path("run")});
  expect_refused({"classify", "--model", path("nowhere"), path("audio/tone1.wav")}, 1, {"nowhere", "no such folder"});
  ASSERT_EQ(run(pretrain("encoder", {"train.max_steps=1"})).exit_code, 0);
  expect_refused({"classify", "--model", path("encoder"), path("audio/tone1.wav")}, 2,
                 {"no classifier", "objective.name is masked_tokens"});
  expect_refused({"pretrain", "objective.name=classification"}, 2, {"`finetune`"});
  expect_refused(finetune("new", {"objective.name=masked_tokens"}), 2,
                 {"objective.name is masked_tokens", "`finetune` trains classifiers"});
  EXPECT_EQ(read_file(path("run/checkpoints/step-00000003/model.safetensors")), weights);
}

TEST_F(Finetune, TheRecipesRunDry) {
  for (const std::string name : {"audioset20k", "audioset2m", "esc50", "speechcommands"}) {
    const auto result =
        run({"finetune", "--config", std::string(AXLSTM_TEST_DATA) + "/../configs/finetune/" + name + ".yaml",
             "--dry-run", "model.size=custom", "model.dim=16", "model.depth=2", "data.synthetic=300",
             "optim.global_batch=8", "train.device=cpu", "data.workers=2", "train.run_dir=" + path(name)});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find("whole run"), std::string::npos) << result.out;
    EXPECT_FALSE(std::filesystem::exists(path(name)));
  }
}

TEST_F(Finetune, ADryRunWritesNothing) {
  const auto result = run(finetune("dry", {"--dry-run"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"whole run    30 steps", "evaluation   6 clips"})
    EXPECT_NE(result.out.find(part), std::string::npos) << result.out;
  EXPECT_FALSE(std::filesystem::exists(path("dry")));
}

TEST_F(Finetune, PackedClipsKeepTheirLabels) {
  ASSERT_EQ(run({"pack", "--output", path("packed"), "data.root=" + path("labelled"),
                 "data.manifest=" + path("labelled/train.csv")})
                .exit_code,
            0);
  auto packed = finetune("packed-run", {"train.max_steps=6"}), files = finetune("files-run", {"train.max_steps=6"});
  packed.push_back("data.manifest=");
  packed.push_back("data.packed=" + path("packed"));
  ASSERT_EQ(run(files).exit_code, 0);
  const auto result = run(packed);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto a = records("packed-run"), b = records("files-run");
  for (std::size_t n = 0; n < 6; ++n)
    EXPECT_NEAR(a[n]["loss"].get<double>(), b[n]["loss"].get<double>(), 1e-3) << "numbers agree to rounding";
}

}  // namespace
}  // namespace axlstm::test
