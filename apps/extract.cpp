// extract: sound files or HEAR tasks → embeddings.
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/embed/embed_tasks.h"
#include "axlstm/embed/extraction.h"
#include "axlstm/hear/task.h"
#include "axlstm/runtime/device.h"
#include "cli.h"

namespace {

namespace fs = std::filesystem;
using namespace axlstm;

int extract(const embed::ModelArguments& model, const std::vector<fs::path>& inputs,
            const embed::ExtractionOptions& options, const CLI::App& for_tasks, const CLI::App& for_files) {
  cli::log_banner("extract", model.device);
  std::vector<fs::path> tasks, audio;
  for (const fs::path& input : inputs) {
    if (hear::is_task_folder(input)) {
      tasks.push_back(fs::absolute(input).lexically_normal());
    } else {
      audio.push_back(input);
    }
  }
  if (audio.empty()) cli::refuse_given(for_files, "is for sound files; HEAR tasks say themselves");
  if (tasks.empty()) cli::refuse_given(for_tasks, "is for HEAR tasks (folders with task_metadata.json)");
  std::size_t failed = 0, written = 0;
  if (!tasks.empty()) {
    written = embed::embed_tasks(model, tasks, options).size();
    failed = tasks.size() - written;
  }
  if (!audio.empty()) {
    const auto encoder = embed::open(model, runtime::choose_device(model.device));
    const embed::ExtractionReport report = embed::extract_files(*encoder, audio, options);
    log::info(str(report.written, " files embedded into ", options.output_dir.string(), ", ", report.failures.size(),
                  " failed", report.partial > 0 ? str("; of ", report.partial, " something is missing") : ""));
    failed += report.failures.size();
    written += static_cast<std::size_t>(report.written);
  }
  if (failed == 0) return kOk;
  return written > 0 ? kSomeFailed : kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Writes embeddings of sound files, of folders of them, or of HEAR tasks (folders with task_metadata.json).\n"
      "Example: extract --model runs/tiny --output embeddings ~/audio\n"
      "Exits with 3 if some files could not be read."};
  embed::ModelArguments model;
  std::vector<fs::path> inputs;
  embed::ExtractionOptions options;
  options.per_file = true;  // these files are for people too; hear-eval leaves them out unless asked
  app.add_option("-m,--model", model.name,
                 "Checkpoint or run folder, `naive` (HEAR-naive features) or `random:CONFIG.yaml` (untrained)")
      ->required();
  app.add_option("inputs", inputs, "Files, folders, HEAR task folders")->required()->type_name("PATH");
  app.add_option("-o,--output", options.output_dir, "Folder to write to")->required();
  CLI::App& for_files = *app.add_option_group("Sound files and folders of them");
  for_files.add_option("--kind", options.kind, "One vector a clip, or one a time step")
      ->transform(cli::one_of<embed::EmbeddingKind>())
      ->option_text(cli::choices(options.kind));
  for_files.add_option("--format", options.format, "A .npy file for each clip, or one embeddings.csv")
      ->transform(cli::one_of<embed::OutputFormat>())
      ->option_text(cli::choices(options.format));
  app.add_option("--layout", model.layout, "Instead of the checkpoint's embedding.layout")
      ->transform(cli::one_of<embed::EmbeddingLayout>())
      ->option_text(list_names<embed::EmbeddingLayout>("|"));
  app.add_flag("--ema", model.ema, "The checkpoint's averaged weights (train.ema_decay)");
  app.add_option("--device", model.device, "Where to compute; HEAR tasks on all GPUs that are visible")
      ->transform(cli::one_of<runtime::DeviceChoice>())
      ->option_text(cli::choices(model.device));
  app.add_option("--precision", model.precision,
                 "Arithmetic; auto: fp16 on a GPU, as the paper's embeddings, fp32 on the CPU (docs/performance.md)")
      ->transform(cli::one_of<runtime::Precision>())
      ->option_text(cli::choices(model.precision));
  app.add_option("--batch-seconds", options.batch_seconds, "Audio encoded at once")
      ->check(CLI::Range(0.1, 1e6))
      ->option_text(str("SECONDS [", options.batch_seconds, "]"));
  app.add_option(
         "--min-decoded-fraction", options.min_decoded_fraction,
         "A file of which less than this share of what it promises can be decoded fails; with more it is taken, "
         "with a warning")
      ->check(CLI::Range(0.0, 1.0))
      ->option_text("SHARE [0.9]");
  app.add_option("--seed", model.seed, "Of random: weights")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{1} << 53))
      ->option_text("N [0]");
  CLI::App& for_tasks = *app.add_option_group("HEAR tasks");
  for_tasks.add_flag("--resample", options.resample, "Take audio of another rate than the model's");
  for_tasks.add_flag("!--no-per-file", options.per_file, "Leave out each clip's own .npy");
  cli::add_common_flags(app);
  return cli::run(app, argc, argv, [&] { return extract(model, inputs, options, for_tasks, for_files); });
}
