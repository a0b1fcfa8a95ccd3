// pack: audio files, archives or Parquet files → a folder of shards that pretrain reads without decoding.
#include <iostream>

#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/path_patterns.h"
#include "axlstm/data/lists/parquet_stream.h"
#include "axlstm/data/shards/packed.h"
#include "axlstm/suite/packing.h"
#include "cli.h"

namespace {

namespace fs = std::filesystem;
using namespace axlstm;

std::int64_t worker_count(const data::DataOptions& options) {
  return options.workers > 0 ? options.workers : allowed_cores();
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
                 "Tar or zip archives (WebDataset, for example) or folders of them, in place of data.root and "
                 "data.manifest; also patterns in quotes: 'shards/{000000..000099}.tar', 'shards/*.tar'")
      ->type_name("PATH");
  app.add_option(
         "--parquet", parquet,
         "Parquet files with a column of audio, as in Hugging Face's data sets, or folders of them; patterns as "
         "above. Paths in them are relative to data.root")
      ->type_name("PATH");
  app.add_option("--audio-column", columns.audio,
                 "With --parquet: the column of the audio: {bytes, path}, bytes or paths")
      ->type_name("NAME");
  app.add_option("--id-column", columns.id, "With --parquet: the column of the clips' names")->type_name("NAME");
  app.add_option("--label-column", columns.labels, "With --parquet: the column of the labels")->type_name("NAME");
  app.add_option("--format", options.encoding,
                 "pcm16: 16-bit samples; logmel16: log-mel in float16, half the computing and size, but rounded")
      ->transform(cli::one_of<data::Encoding>())
      ->option_text(cli::choices(options.encoding));
  app.add_option("--shard-mb", options.shard_mb, "Size of a shard in MiB")
      ->check(CLI::Range(1, 1 << 20))
      ->option_text(str("N [", options.shard_mb, "]"));
  app.add_option(
         "--memory-mb", options.memory_mb,
         "Memory in MiB for the clips that all threads together decode at once, estimated from the files' sizes")
      ->check(CLI::Range(1, 1 << 24))
      ->option_text(str("N [", options.memory_mb, "]"));
  CLI::Option* info =
      app.add_option("--info", to_describe, "Print what a packed folder holds, and exit")->type_name("DIR");
  app.add_option("--verify", to_verify, "Compare a packed folder with its checksums, and exit")
      ->excludes(info)
      ->type_name("DIR");
  cli::add_common_flags(app);
  return cli::run(app, argc, argv, [&]() -> int {
    for (auto* paths : {&tars, &parquet}) arguments.take_from(*paths);
    const config::RunConfig config = arguments.read();
    if (!to_describe.empty()) {
      std::cout << data::describe(data::PackedSet(expand_home(to_describe)));
      return kOk;
    }
    options.workers = worker_count(config.data);
    if (!to_verify.empty()) return suite::verify_packed(to_verify, options.workers);
    if (output.empty()) throw UsageError("--output is missing: the folder to pack into");
    options.output = expand_home(output);
    options.audio = config.audio;
    options.min_decoded_fraction = config.data.min_decoded_fraction;
    const auto& stop = cli::stop_on_signal();  // before a list of millions is read
    if (!tars.empty() && !parquet.empty()) throw UsageError("--tar and --parquet are two packings; give one of them");
    if (!tars.empty()) return suite::pack(*data::stream_tars(expand_paths(tars)), options, stop);
    if (!parquet.empty())
      return suite::pack(*data::stream_parquet(expand_paths(parquet), columns, expand_home(config.data.root)), options,
                         stop);
    if (config.data.root.empty() && config.data.manifest.empty()) {
      throw UsageError(
          "nothing to pack: set data.root=FOLDER (all audio under it), data.manifest=FILE.csv, --tar or --parquet");
    }
    data::Manifest manifest = data::load_manifest(config.data);
    fs::create_directories(options.output);
    data::report_unmatched(manifest.unmatched, options.output);
    return suite::pack(*data::stream_manifest(std::move(manifest)), options, stop);
  });
}
