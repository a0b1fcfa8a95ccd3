// pretrain: a folder of audio → a pre-trained encoder.
#include <iostream>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/distributed/join.h"
#include "axlstm/suite/training.h"
#include "training_arguments.h"

using namespace axlstm;

int main(int argc, char** argv) {
  CLI::App app{
      "Pre-trains an AxLSTM, an Audio Mamba (SSAM) or the SSAST baseline on audio by predicting masked spectrogram "
      "patches.\n"
      "Example: pretrain --config configs/pretrain/axlstm_tiny.yaml data.root=~/audio train.run_dir=runs/tiny"};
  cli::TrainingArguments arguments;
  arguments.add_to(app);
  return cli::run(app, argc, argv, [&]() -> int {
    if (arguments.config_reference) {
      std::cout << config::reference();
      return kOk;
    }
    config::RunConfig config = arguments.config.read();
    config.train.run_dir = expand_home(config.train.run_dir).string();
    if (arguments.dump_config) {
      std::cout << config::dump(config);
      return kOk;
    }
    need(config.objective != objective::Kind::kClassification,
         "objective.name is classification: that is what `finetune` trains");
    if (arguments.starts_ranks())
      return distributed::start_ranks(config.train.device, argv, arguments.nproc, arguments.launch);
    const auto announce = cli::announcer("pretrain", config.train.device);
    if (arguments.dry_run) {
      cli::end_on_signal();
      return suite::dry_run(config, announce);
    }
    return suite::train(config, cli::stop_on_signal(), announce);
  });
}
