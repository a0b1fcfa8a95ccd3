// pack: audio files, archives or Parquet files → a folder of shards that pretrain reads without decoding.
#include <algorithm>
#include <functional>
#include <iostream>

#include "axlstm/core/cores.h"
#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/path_patterns.h"
#include "axlstm/data/packed.h"
#include "axlstm/data/packer.h"
#include "axlstm/data/parquet_stream.h"
#include "cli.h"

namespace {

namespace fs = std::filesystem;
using namespace axlstm;

constexpr double kProgressSeconds = 5;

std::int64_t worker_count(const data::DataOptions& options) {
  return options.workers > 0 ? options.workers : allowed_cores();
}

cli::ExitCode verify(const std::string& folder, std::int64_t workers) {
  const data::PackedSet set(expand_home(folder));
  const auto start = std::chrono::steady_clock::now();
  double shown = 0;
  const auto damaged = data::verify(set, static_cast<std::size_t>(workers), [&](std::int64_t done) {
    const double seconds = seconds_since(start);
    if (seconds < shown + kProgressSeconds) return;
    shown = seconds;
    log::progress(str("verified ", done, " of ", set.size(), " clips | ETA ",
                      format_duration(seconds * static_cast<double>(set.size() - done) / static_cast<double>(done))),
                  /*milestone=*/true);
  });
  for (const std::string& id : damaged) std::cout << id << "\n";
  AXLSTM_CHECK(damaged.empty(), folder, ": ", damaged.size(), " of ", set.size(),
               " clips do not match their checksums; pack again");
  log::info(str(folder, ": all ", set.size(), " clips match their checksums"));
  return cli::kOk;
}

/// An option that takes many paths also gets the section.key=value behind them: those go where they belong.
void take_overrides(std::vector<std::string>& paths, std::vector<std::string>& overrides) {
  const auto is_override = [](const std::string& text) {
    const std::string key = text.substr(0, text.find('='));
    std::error_code failure;
    return key.size() < text.size() && key.find('.') != std::string::npos && key.find('/') == std::string::npos &&
           !fs::exists(text, failure);
  };
  const auto first = std::stable_partition(paths.begin(), paths.end(), std::not_fn(is_override));
  overrides.insert(overrides.end(), first, paths.end());
  paths.erase(first, paths.end());
}

cli::ExitCode pack(data::ClipStream& stream, const data::PackOptions& options) {
  log::info(
      str("packing ", stream.description(), " with ", options.workers, " threads into ", options.output.string()));
  const data::PackReport report = data::pack(stream, options, cli::stop_on_signal());
  if (!report.finished) {
    log::warn("interrupted; whole shards are kept, the same command goes on");
    return cli::kInterrupted;
  }
  const audio::PassedOver passed_over = stream.passed_over();
  if (!passed_over.empty()) log::warn("passed over " + passed_over.description());
  const auto listed = [&](std::int64_t count, const char* file) {
    return count > 0 ? " (" + (options.output / file).string() + ")" : "";
  };
  log::info(str("packed ", report.clips, " clips, ", report.partial, " of them in part",
                listed(report.partial, "partial.jsonl"), "; ", report.broken, " could not be used",
                listed(report.broken, "broken.jsonl")));
  return report.broken > 0 ? cli::kSomeFailed : cli::kOk;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Packs audio for pre-training: decoded once, read at random without decoding.\n"
      "Example: pack --output packed data.root=~/audio data.manifest=balanced_train_segments.csv\n"
      "         pretrain --config configs/pretrain/axlstm_tiny.yaml data.packed=packed\n"
      "Exits with 3 if some clips could not be used."};
  cli::ConfigArguments arguments;
  arguments.add_to(app);
  data::PackOptions options;
  std::string output, to_verify, to_describe;
  std::vector<std::string> tars, parquet;
  data::ParquetColumns columns;
  app.add_option("-o,--output", output, "Folder to write to; the same command goes on with what is in it")
      ->type_name("DIR");
  app.add_option("--tar", tars,
                 "Tar or zip archives, WebDataset's for example, or folders of them, instead of data.root and "
                 "data.manifest; patterns in quotes too: 'shards/{000000..000099}.tar', 'shards/*.tar'")
      ->type_name("PATH ...");
  app.add_option("--parquet", parquet,
                 "Parquet files with a column of audio, as Hugging Face's data sets have them, or folders of them; "
                 "patterns as above. data.root: where their paths begin")
      ->type_name("PATH ...");
  app.add_option("--audio-column", columns.audio, "Of --parquet: column of {bytes, path}, of bytes or of paths")
      ->type_name("NAME");
  app.add_option("--id-column", columns.id, "Of --parquet: column of the clips' names")->type_name("NAME");
  app.add_option("--label-column", columns.labels, "Of --parquet: column of the labels")->type_name("NAME");
  app.add_option("--format", options.encoding,
                 "16-bit samples, or float16 log-mel: half the computing and the size, but rounded")
      ->transform(cli::one_of<data::Encoding>())
      ->option_text(cli::choices(options.encoding));
  app.add_option("--shard-mb", options.shard_mb, "Size of a shard")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--memory-mb", options.memory_mb,
                 "For the clips that are worked on at once, however many threads there are")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  CLI::Option* info =
      app.add_option("--info", to_describe, "Print what a packed folder holds, and exit")->type_name("DIR");
  app.add_option("--verify", to_verify, "Compare a packed folder with its checksums, and exit")
      ->excludes(info)
      ->type_name("DIR");
  cli::add_common_flags(app);
  return cli::run(app, argc, argv, [&]() -> int {
    for (auto* paths : {&tars, &parquet}) take_overrides(*paths, arguments.overrides);
    const config::RunConfig config = arguments.read();
    if (!to_describe.empty()) {
      std::cout << data::describe(data::PackedSet(expand_home(to_describe)));
      return cli::kOk;
    }
    options.workers = worker_count(config.data);
    if (!to_verify.empty()) return verify(to_verify, options.workers);
    if (output.empty()) throw UsageError("--output is missing: the folder to pack into");
    options.output = expand_home(output);
    options.audio = config.audio;
    options.min_decoded_fraction = config.data.min_decoded_fraction;
    cli::stop_on_signal();  // before a list of millions is read
    if (!tars.empty() && !parquet.empty()) throw UsageError("--tar and --parquet are two packings; give one of them");
    if (!tars.empty()) return pack(*data::stream_tars(expand_paths(tars)), options);
    if (!parquet.empty())
      return pack(*data::stream_parquet(expand_paths(parquet), columns, expand_home(config.data.root)), options);
    if (config.data.root.empty() && config.data.manifest.empty()) {
      throw UsageError(
          "nothing to pack: set data.root=FOLDER (all audio under it), data.manifest=FILE.csv, --tar or --parquet");
    }
    data::Manifest manifest = data::load_manifest(config.data);
    fs::create_directories(options.output);
    data::report_unmatched(manifest.unmatched, options.output);
    return pack(*data::stream_manifest(std::move(manifest)), options);
  });
}
