// extract: sound files, HEAR tasks or a stream of sound → embeddings.
#include "axlstm/core/error.h"
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

int extract(cli::ExtractArguments& arguments, const cli::ExtractGroups& groups) {
  const embed::ModelArguments& model = arguments.model;
  embed::ExtractionOptions& options = arguments.extraction;
  need(!arguments.inputs.empty() && !options.output_dir.empty(), "name files or folders, and --output; or --stream");
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
      "Writes embeddings of sound files, of folders of them, or of HEAR tasks (folders with task_metadata.json),\n"
      "or of sound while it comes from standard input (--stream).\n"
      "Example: extract --model runs/tiny --output embeddings ~/audio\n"
      "         arecord -f S16_LE -r 16000 | extract --model runs/tiny --stream\n"
      "Exits with 3 if some files could not be read."};
  cli::ExtractArguments arguments;
  const cli::ExtractGroups groups = cli::add_extract_options(app, arguments);
  cli::add_common_flags(app);
  return cli::run(app, argc, argv, [&] {
    if (arguments.stream.wanted) return cli::stream(app, arguments.model, arguments.stream);
    cli::refuse_given(groups.streams, "is for --stream");
    return extract(arguments, groups);
  });
}
