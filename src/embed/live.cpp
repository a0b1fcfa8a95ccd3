#include "axlstm/embed/live.h"

#include "axlstm/audio/resample_stream.h"
#include "axlstm/core/descriptors.h"
#include "axlstm/core/enum_names.h"
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"

namespace axlstm::embed {
namespace {

constexpr const char* kInput = "standard input";
constexpr const char* kOutput = "standard output";

/// Thrown where nobody reads any more, which is no failure.
struct ReaderGone {};

Embedder& embedder_of(ClipEncoder& encoder) {
  auto* embedder = dynamic_cast<Embedder*>(&encoder);
  need(embedder != nullptr, "--stream: " + encoder.description() +
                                " has no chunks; it takes checkpoints, run folders and random:CONFIG.yaml");
  return *embedder;
}

/// With all digits, so that the same numbers are taken back.
std::string text_of(const features::ClipStatistics& statistics) {
  std::ostringstream text;
  text.precision(17);
  text << statistics.mean << ',' << statistics.std;
  return text.str();
}

}  // namespace

std::int64_t embed_live(ClipEncoder& encoder, int input, int output, const LiveOptions& options,
                        const std::atomic<bool>& stop) {
  Embedder& embedder = embedder_of(encoder);
  const int rate = embedder.sample_rate();
  std::int64_t written = 0;
  const auto write = [&](const StreamEmbedding& embedding) {
    if (!write_all(output, formatted(embedding, options.format), kOutput)) throw ReaderGone{};
    ++written;
  };
  EmbeddingStream stream(embedder, options.kind, options.statistics, write, /*together=*/1, options.state);
  const auto read = [&](char* target, std::size_t count) { return read_available(input, target, count, stop, kInput); };
  try {
    audio::PcmStream sound(read, options.input, {audio::SampleFormat::kS16le, rate, 1}, kInput);
    const audio::PcmFormat& format = sound.format();
    log::info(str(kInput, ": ", sound.is_wave() ? "WAV, " : "", enum_name(format.samples), ", ", format.channels,
                  format.channels == 1 ? " channel, " : " channels, ", format.sample_rate, " Hz"));
    std::optional<audio::ResampleStream> resampled;
    if (format.sample_rate != rate) {
      need(options.resample,
           str(kInput, ": is at ", format.sample_rate, " Hz, the model needs ", rate, " Hz; --resample converts it"));
      resampled.emplace(format.sample_rate, rate);
    }
    const auto finish = [&] {
      if (resampled) stream.push(resampled->finish());
      stream.finish();
    };
    try {
      for (auto samples = sound.read(); !samples.empty(); samples = sound.read()) {
        stream.push(resampled ? resampled->push(samples) : samples);
      }
    } catch (const Error&) {
      finish();  // of the sound before
      throw;
    }
    finish();
    if (const std::string note = sound.note(); !note.empty()) log::warn(str(kInput, ": ", note));
    if (stream.frames() > 0) {
      log::info(str("log-mel of the whole stream: --statistics=", text_of(stream.statistics())));
    }
    if (!stop) sound.check_end();
  } catch (const ReaderGone&) {
    log::info(str("nobody reads ", kOutput, " any more"));
  }
  return written;
}

}  // namespace axlstm::embed
