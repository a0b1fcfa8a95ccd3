// Sound from one descriptor → embeddings to another, while it comes.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "axlstm/audio/pcm_stream.h"
#include "axlstm/embed/clip_encoder.h"
#include "axlstm/embed/stream_output.h"

namespace axlstm::embed {

struct LiveOptions {
  audio::PcmArguments input;  ///< what it says not: 16 bits, one channel, the encoder's rate
  EmbeddingKind kind = EmbeddingKind::kScene;
  StreamFormat format = StreamFormat::kJsonl;
  std::optional<features::ClipStatistics> statistics;  ///< none: those of the sound so far
  StreamState state = StreamState::kReset;
  bool resample = false;  ///< allow sound of another rate than the encoder's
};

/// Reads until the input ends, `stop` turns true or nobody reads the output any more, and writes each embedding as soon
/// as it is known: a slow reader slows this down, nothing is gathered. Sound that fills no chunk is embedded in the
/// end. Returns the number of embeddings. Throws UsageError for an encoder without chunks and for a rate that would
/// have to be resampled, Error for input that cannot be used, after what was known before is written.
std::int64_t embed_live(ClipEncoder& encoder, int input, int output, const LiveOptions& options,
                        const std::atomic<bool>& stop);

}  // namespace axlstm::embed
