#include "stream_options.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/runtime/device.h"

namespace axlstm::cli {
namespace {

/// Options of extract that say something of a stream too.
constexpr std::array kShared{"--stream", "--model",     "--kind", "--layout",   "--padding", "--ema",
                             "--device", "--precision", "--seed", "--resample", "--quiet"};

/// Refuses what is given of `app` itself and of its groups, but for `streams`.
void refuse_others(const CLI::App& app, const CLI::App& streams) {
  auto groups = app.get_subcommands([&](const CLI::App* group) { return group != &streams; });
  groups.push_back(&app);
  for (const CLI::App* group : groups) {
    for (const CLI::Option* option : group->get_options()) {
      const std::string name = option->get_name();
      const bool allowed = std::find(kShared.begin(), kShared.end(), name) != kShared.end() ||
                           streams.get_option_no_throw(name) != nullptr;
      need(option->count() == 0 || allowed,
           name + " means nothing beside --stream, which reads standard input and writes to standard output");
    }
  }
}

}  // namespace

const CLI::App& add_stream_options(CLI::App& app, const embed::ExtractionOptions& shared, StreamArguments& arguments) {
  arguments.shared = &shared;
  app.add_flag(
      "--stream", arguments.wanted,
      "Embed live sound from standard input, 16-bit or float samples or WAV: one JSON line on standard output for "
      "each two seconds (docs/stream.md)");
  auto& group = *app.add_option_group("With --stream");
  auto& input = arguments.live.input;
  group.add_option("--input", input.samples, "Format of samples without a WAV header")
      ->transform(one_of<audio::SampleFormat>())
      ->option_text(choices(audio::SampleFormat::kS16le));
  group.add_option("--rate", input.sample_rate, "Their sample rate in Hz")
      ->check(CLI::Range(100, audio::kMaxPcmRate))
      ->option_text("HZ [the model's]");
  group.add_option("--channels", input.channels, "Their channels, which are averaged")
      ->check(CLI::Range(1, audio::kMaxPcmChannels))
      ->option_text("N [1]");
  group
      .add_option("--statistics", arguments.statistics,
                  "Normalise by this mean and standard deviation of the log-mel instead of those of the sound so far")
      ->delimiter(',')
      ->expected(2)
      ->option_text("MEAN,STD");
  group
      .add_option(
          "--state", arguments.live.state,
          "carry: each chunk sees all sound before it, through the state of the mLSTM (model.flip=false); reset: "
          "none, as in a file")
      ->transform(one_of<embed::StreamState>())
      ->option_text(choices(arguments.live.state));
  group.add_option("--output-format", arguments.live.format, "JSON lines, or rows of float32 values without times")
      ->transform(one_of<embed::StreamFormat>())
      ->option_text(choices(arguments.live.format));
  return group;
}

int stream(const CLI::App& app, const embed::ModelArguments& model, const StreamArguments& arguments) {
  refuse_others(app, *app.get_option_group("With --stream"));
  embed::LiveOptions live = arguments.live;
  live.kind = arguments.shared->kind;
  live.resample = arguments.shared->resample;
  if (const auto& given = arguments.statistics; !given.empty()) {
    need(std::isfinite(given[0]) && std::isfinite(given[1]) && given[1] > 0,
         str("--statistics ", given[0], ",", given[1], ": the mean must be finite, the deviation above 0"));
    live.statistics = {given[0], given[1]};
  }
  need(::isatty(STDIN_FILENO) == 0,
       "--stream: standard input is a terminal; sound comes through a pipe: arecord … | extract …");
  const auto& stop = stop_on_signal();
  log_banner("extract", model.device);
  const auto encoder = embed::open(model, runtime::choose_device(model.device));
  const auto written = embed::embed_live(*encoder, STDIN_FILENO, STDOUT_FILENO, live, stop);
  log::info(str(written, " embeddings written"));
  return stop ? kInterrupted : kOk;
}

}  // namespace axlstm::cli
