#include "extract_options.h"

#include "axlstm/core/error.h"

namespace axlstm::cli {

ExtractGroups add_extract_options(CLI::App& app, ExtractArguments& arguments) {
  auto& [model, inputs, packed, options, stream] = arguments;
  options.per_file = true;  // these files are for people too; hear-eval leaves them out unless asked
  app.add_option(
         "-m,--model", model.name,
         "Checkpoint or run folder, `naive` (HEAR-naive features), `random:CONFIG.yaml` (untrained) or `module:FOLDER` "
         "(exported from PyTorch, docs/table2.md)")
      ->required();
  app.add_option("inputs", inputs, "Files, folders, HEAR task folders")->type_name("PATH");
  CLI::Option& from_packed =
      *app.add_option("--packed", packed,
                      "Instead of files: the clips of a folder that pack wrote, named by their ids (docs/data.md)")
           ->type_name("FOLDER");
  app.add_option("-o,--output", options.output_dir, "Folder to write to");
  CLI::App& for_files = *app.add_option_group("Sound files, folders of them, and --packed");
  for_files
      .add_option("--kind", options.kind,
                  "scene: a vector for each clip (with --stream: each chunk); timestamp: for each time step")
      ->transform(one_of<embed::EmbeddingKind>())
      ->option_text(choices(options.kind));
  for_files.add_option("--format", options.format, "npy: a .npy file for each clip; csv: one embeddings.csv")
      ->transform(one_of<embed::OutputFormat>())
      ->option_text(choices(options.format));
  app.add_option("--layout", model.layout, "Instead of the checkpoint's embedding.layout")
      ->transform(one_of<embed::EmbeddingLayout>())
      ->option_text(list_names<embed::EmbeddingLayout>("|"));
  app.add_option("--padding", model.padding, "Instead of the checkpoint's embedding.padding")
      ->transform(one_of<embed::Padding>())
      ->option_text(list_names<embed::Padding>("|"));
  app.add_flag("--ema", model.ema, "The checkpoint's averaged weights (train.ema_decay)");
  app.add_option("--device", model.device, "Where to compute; HEAR tasks on all GPUs that are visible")
      ->transform(one_of<runtime::DeviceChoice>())
      ->option_text(choices(model.device));
  app.add_option(
         "--precision", model.precision,
         "Arithmetic; auto: fp16 on a GPU, as for the paper's embeddings, fp32 on the CPU (docs/performance.md)")
      ->transform(one_of<runtime::Precision>())
      ->option_text(choices(model.precision));
  app.add_option("--batch-seconds", options.batch_seconds, "Audio that is encoded at once")
      ->check(CLI::Range(0.1, 1e6))
      ->option_text(str("SECONDS [", options.batch_seconds, "]"));
  CLI::Option& min_decoded_fraction = *app.add_option("--min-decoded-fraction", options.min_decoded_fraction,
                                                      "A file fails if less than this share of the length in its "
                                                      "header can be decoded; with more, but not all, "
                                                      "it is used with a warning")
                                           ->check(CLI::Range(0.0, 1.0))
                                           ->option_text("SHARE [0.9]");
  from_packed.excludes(&min_decoded_fraction);  // what pack left out is not there
  app.add_option("--seed", model.seed, "Seed of the weights of random:CONFIG.yaml")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 53))
      ->option_text("N [0]");
  CLI::App& for_tasks = *app.add_option_group("HEAR tasks");
  for_tasks.add_flag("--resample", options.resample,
                     "Resample audio of another rate than the model's; also with --stream");
  for_tasks.add_flag("!--no-per-file", options.per_file, "Leave out each clip's own .npy");
  return {for_files, for_tasks, add_stream_options(app, options, stream)};
}

}  // namespace axlstm::cli
