// Clips one after the other, from a list of files or from archives, for packing. Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "axlstm/audio/file_names.h"
#include "axlstm/data/lists/manifest.h"

namespace axlstm::data {

/// A clip not yet decoded.
struct StreamedClip {
  Clip clip;                         ///< path: the file, or the archive and the member in it, for messages
  std::optional<std::string> bytes;  ///< the encoded audio, where it comes out of an archive
  std::string failure;               ///< why it cannot be had, if it cannot
};

/// Used by one thread at a time, except done().
class ClipStream {
 public:
  virtual ~ClipStream() = default;

  /// The next clip, nothing at the end.
  virtual std::optional<StreamedClip> next() = 0;

  /// Passes over `count` clips.
  virtual void skip(std::int64_t count) = 0;

  /// Share of the stream already read, 0 … 1; from any thread.
  virtual double done() const = 0;

  /// Changes when the clips do.
  virtual std::string fingerprint() const = 0;

  /// Where the clips come from, for people.
  virtual std::string description() const = 0;

  /// What was found beside the clips up to here: sound that is not decoded, links without their target.
  virtual audio::PassedOver passed_over() const { return {}; }
};

/// The files of a list, in its order; `path` of each clip is read by who decodes it.
std::unique_ptr<ClipStream> stream_manifest(Manifest manifest);

/// Sounds in tar archives (compressed ones too) and zip archives, in order; `inputs` are archives or folders of them.
/// A clip is called by its key: its name up to the first dot of its last part. Of several sounds with one key each is
/// called by its whole name, and a name that comes again gets "#2". Labels come from the member of the same name, of
/// the same name up to the last dot, or of the key, wherever it lies: .json ("labels" and the like), .cls or .txt.
/// Links are clips at the place of what they lead to; litter is left out. Throws Error for an archive that is missing
/// or named twice; a damaged one gives a clip with `failure` and then the next archive.
std::unique_ptr<ClipStream> stream_tars(const std::vector<std::filesystem::path>& inputs);

}  // namespace axlstm::data
