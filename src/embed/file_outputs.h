// Where extraction writes the embeddings of files (private to embed/).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/core/pending_files.h"
#include "axlstm/core/spool.h"
#include "axlstm/embed/extraction.h"

namespace axlstm::embed {

/// Raised when the one file of all embeddings cannot be written: none of the clips to come can be either.
class SharedFileError : public Error {
 public:
  using Error::Error;
};

class FileOutput {
 public:
  virtual ~FileOutput() = default;

  /// Throws Error if the embedding of the clip `name` (Clips::name) cannot be written.
  virtual void write(const std::string& name, const ClipEmbedding& embedding) = 0;

  /// The same of a clip whose time steps are too many for memory: `steps` are rows [W] of float32, `step_ms` apart.
  virtual void write_steps(const std::string& name, Spool& steps, std::size_t width, double step_ms) = 0;

  /// Called behind every batch: what was written is safe then, but for the clips of the failures that are returned, one
  /// for each of a clip's files; `path` is the clip's, without the added extension.
  virtual std::vector<PendingFiles::Failure> flush() { return {}; }

  /// Called once, at the end.
  virtual void finish() {}
};

std::unique_ptr<FileOutput> open_output(const ExtractionOptions& options);

}  // namespace axlstm::embed
