// Clips one after the other, from a list of files or from WebDataset's tar archives, for packing. Free of LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "axlstm/data/manifest.h"

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
};

std::unique_ptr<ClipStream> stream_manifest(Manifest manifest);

/// Members of the archives, in order. Those of one name up to its first dot are one clip: `x.flac`, and its labels in
/// `x.json` ("labels" or "label"), `x.cls` or `x.txt`. libarchive reads them, compressed ones too. `inputs` are
/// archives or folders of *.tar, *.tar.gz, *.tar.zst and the like. Throws Error for a missing one; a damaged archive
/// gives a clip with `failure` and then the next archive.
std::unique_ptr<ClipStream> stream_tars(const std::vector<std::filesystem::path>& inputs);

}  // namespace axlstm::data
