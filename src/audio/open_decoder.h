// The decoder for a sound, by what its first bytes say.
#pragma once

#include <memory>
#include <string>

#include "decoder.h"

namespace axlstm::audio {

/// A sound that was opened, with the views of its bytes that the decoder needs.
struct Opened {
  std::unique_ptr<ByteSource> view;
  std::unique_ptr<Decoder> decoder;
  double share = 1;  ///< of the samples that the header promises, by bytes
  std::string note;
};

/// `bytes` must outlive it. FFmpeg's libraries take what the others refuse. Throws Error without the file's name.
Opened open_decoder(const ByteSource& bytes);

}  // namespace axlstm::audio
