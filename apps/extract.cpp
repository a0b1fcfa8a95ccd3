// extract: sound files, packed clips, HEAR tasks or a stream of sound → embeddings.
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/embed/embed_tasks.h"
#include "axlstm/embed/extraction.h"
#include "axlstm/hear/task.h"
#include "axlstm/runtime/device.h"
#include "cli.h"
#include "extract_options.h"

namespace {

namespace fs = std::filesystem;
using namespace axlstm;

/// How many could be embedded, and how many could not.
struct Count {
  std::size_t written = 0, failed = 0;

  int exit_code() const { return failed == 0 ? kOk : written > 0 ? kSomeFailed : kFailed; }
};

Count count(const embed::ExtractionReport& report, const char* noun, const fs::path& output) {
  log::info(str(report.written, " ", noun, " embedded into ", output.string(), ", ", report.failures.size(), " failed",
                report.partial > 0 ? str("; of ", report.partial, " something is missing") : ""));
  return {static_cast<std::size_t>(report.written), report.failures.size()};
}

int extract_packed(const cli::ExtractArguments& arguments, const cli::ExtractGroups& groups) {
  const auto& [model, inputs, packed, options, stream] = arguments;
  if (!inputs.empty())
    throw UsageError(str("--packed ", packed, " and ", inputs.front().string(),
                         ": packed clips, or files and HEAR tasks; give them to two calls"));
  need(!options.output_dir.empty(), "--packed: --output is missing, the folder to write to");
  cli::refuse_given(groups.tasks, "is for HEAR tasks, not for --packed");
  cli::log_banner("extract", model.device);
  const auto encoder = embed::open(model, runtime::choose_device(model.device));
  return count(embed::extract_packed(*encoder, expand_home(packed), options), "clips", options.output_dir).exit_code();
}

int extract(cli::ExtractArguments& arguments, const cli::ExtractGroups& groups) {
  const embed::ModelArguments& model = arguments.model;
  embed::ExtractionOptions& options = arguments.extraction;
  need(!arguments.inputs.empty() && !options.output_dir.empty(),
       "name files or folders, or --packed, and --output; or --stream");
  cli::log_banner("extract", model.device);
  std::vector<fs::path> tasks, audio;
  for (const fs::path& input : arguments.inputs) {
    if (hear::is_task_folder(input)) {
      tasks.push_back(fs::absolute(input).lexically_normal());
    } else {
      audio.push_back(input);
    }
  }
  if (audio.empty()) cli::refuse_given(groups.files, "is for sound files; HEAR tasks say themselves");
  if (tasks.empty()) cli::refuse_given(groups.tasks, "is for HEAR tasks (folders with task_metadata.json)");
  Count all;
  if (!tasks.empty()) {
    all.written = embed::embed_tasks(model, tasks, options).size();
    all.failed = tasks.size() - all.written;
  }
  if (!audio.empty()) {
    const auto encoder = embed::open(model, runtime::choose_device(model.device));
    const Count files = count(embed::extract_files(*encoder, audio, options), "files", options.output_dir);
    all.written += files.written;
    all.failed += files.failed;
  }
  return all.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Writes embeddings of sound files, of folders of them, of HEAR tasks (folders with task_metadata.json), of\n"
      "clips that pack wrote (--packed), or of sound while it comes from standard input (--stream).\n"
      "Example: extract --model runs/tiny --output embeddings ~/audio\n"
      "         extract --model runs/tiny --output embeddings --packed packed\n"
      "         arecord -f S16_LE -r 16000 | extract --model runs/tiny --stream\n"
      "Exits with 3 if some files or clips could not be read."};
  cli::ExtractArguments arguments;
  const cli::ExtractGroups groups = cli::add_extract_options(app, arguments);
  cli::add_common_flags(app);
  return cli::run(app, argc, argv, [&] {
    if (arguments.stream.wanted) return cli::stream(app, arguments.model, arguments.stream);
    cli::refuse_given(groups.streams, "is for --stream");
    return arguments.packed.empty() ? extract(arguments, groups) : extract_packed(arguments, groups);
  });
}
