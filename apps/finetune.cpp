// finetune: an encoder and labelled audio → a classifier.
#include <iostream>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/distributed/join.h"
#include "axlstm/launch/rank.h"
#include "axlstm/suite/finetuning.h"
#include "axlstm/suite/training.h"
#include "training_arguments.h"

using namespace axlstm;

namespace {

config::RunConfig read(const cli::ConfigArguments& arguments) {
  config::RunConfig config = config::read(suite::with_encoder(arguments.tree()));
  config.train.run_dir = expand_home(config.train.run_dir).string();
  return config;
}

/// The command line for the ranks of one fold.
std::vector<char*> of_fold(char** argv, std::string& assignment) {
  std::vector<char*> arguments;
  for (; *argv != nullptr; ++argv) arguments.push_back(*argv);
  arguments.push_back(assignment.data());
  arguments.push_back(nullptr);
  return arguments;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Trains a classifier on labelled audio: a pre-trained encoder with a head, all of it or the head alone "
      "(docs/finetune.md).\n"
      "Example: finetune classification.encoder=runs/tiny data.manifest=train.csv data.validation=valid.csv "
      "train.run_dir=runs/classifier"};
  cli::TrainingArguments arguments;
  arguments.add_to(app);
  return cli::run(app, argc, argv, [&]() -> int {
    if (arguments.config_reference) {
      std::cout << config::reference();
      return kOk;
    }
    const config::RunConfig config = read(arguments.config);
    if (arguments.dump_config) {
      std::cout << config::dump(config);
      return kOk;
    }
    const auto announce = cli::announcer("finetune", config.train.device);
    const auto all = suite::fine_tunings(config);
    need(all.size() == 1 || arguments.nproc > 0 || !launch::rank_from(process_environment()),
         str(config.data.task, " has ", all.size(),
             " folds, and ranks that a launcher started train one: set data.fold, or use --nproc"));
    if (arguments.dry_run) {
      if (arguments.starts_ranks())
        return distributed::start_ranks(config.train.device, argv, arguments.nproc, arguments.launch);
      cli::end_on_signal();
      if (all.size() > 1) log::info(str("the first of ", all.size(), " folds"));
      return suite::dry_run(all.front(), announce);
    }
    if (!arguments.starts_ranks()) {
      const auto& stop = cli::stop_on_signal();
      for (const config::RunConfig& each : all) {
        if (all.size() > 1) log::info("fold " + std::to_string(each.data.fold) + ": " + each.train.run_dir);
        const int code = suite::finetune(each, stop, announce);
        if (code != kOk) return code;
      }
    } else {
      for (const config::RunConfig& each : all) {
        std::string assignment = str("data.fold=", each.data.fold);
        auto command = of_fold(argv, assignment);
        const int code =
            distributed::start_ranks(config.train.device, command.data(), arguments.nproc, arguments.launch);
        if (code != kOk) return code;
      }
    }
    suite::summarize(config, all);
    return kOk;
  });
}
