// What extraction embeds: clips with names, wherever they come from (private to embed/).
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "axlstm/audio/decode.h"
#include "axlstm/embed/clip_encoder.h"
#include "axlstm/embed/extraction.h"

namespace axlstm::embed {

/// Threads that decode ahead of the encoder, for each of the extractions side by side.
std::size_t decoding_threads(const ClipEncoder& encoder, const ExtractionOptions& options);

/// Warns if `note` says that something is missing of the clip at `place`.
void say_what_is_missing(const std::string& place, const std::string& note);

/// A clip in memory.
struct ReadClip {
  torch::Tensor data;  ///< what Clips::embed takes
  double seconds = 0;
  std::string note;  ///< what of it is missing
};

/// Used by one thread, but for the const functions, and embed() by as many as ClipEncoder::calls_at_once(). The encoder
/// must outlive it.
class Clips {
 public:
  virtual ~Clips() = default;

  virtual const char* noun() const { return "clips"; }
  virtual std::size_t size() const = 0;

  /// Relative path under the output folder, without the added extension.
  virtual std::string name(std::size_t clip) const = 0;

  /// Where the clip is, for messages.
  virtual std::string place(std::size_t clip) const = 0;

  /// What it takes in memory; an estimate, before anything is read.
  virtual std::uint64_t expected_bytes(std::size_t clip) const = 0;

  /// Nothing: it is too long to be held. Throws Error if it cannot be used.
  virtual std::optional<ReadClip> read(std::size_t clip) const = 0;

  virtual std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& clips, EmbeddingKind kind) = 0;

  /// As ClipEncoder::embed_long.
  virtual LongClip embed_long(std::size_t clip, const ClipEncoder::TakeStep& take) = 0;
};

/// Clips that are decoded.
class RecordedClips : public Clips {
 public:
  RecordedClips(ClipEncoder& encoder, double long_seconds)
      : encoder_(encoder),
        long_seconds_(encoder.embeds_long() ? long_seconds : std::numeric_limits<double>::infinity()) {}

  std::optional<ReadClip> read(std::size_t clip) const final;
  std::vector<ClipEmbedding> embed(const std::vector<torch::Tensor>& clips, EmbeddingKind kind) final {
    return encoder_.embed(clips, kind);
  }
  LongClip embed_long(std::size_t clip, const ClipEncoder::TakeStep& take) final {
    return encoder_.embed_long(recording(clip), take);
  }

 protected:
  virtual audio::Recording recording(std::size_t clip) const = 0;

 private:
  ClipEncoder& encoder_;
  double long_seconds_;
};

/// Files and everything that is audio under folders, in the order of their names. What does not exist is listed in
/// `failures`; two inputs that would write one output are a UsageError.
std::unique_ptr<Clips> file_clips(ClipEncoder& encoder, const std::vector<std::filesystem::path>& inputs,
                                  const ExtractionOptions& options, std::vector<std::string>& failures);

/// The clips of a folder that `pack` wrote, in its order, named by their ids. Shards that cannot be used are listed in
/// `failures`. Throws UsageError if they were packed with another front end than the encoder's, or if the ids cannot
/// name the outputs.
std::unique_ptr<Clips> packed_clips(ClipEncoder& encoder, const std::filesystem::path& folder,
                                    const ExtractionOptions& options, std::vector<std::string>& failures);

}  // namespace axlstm::embed
