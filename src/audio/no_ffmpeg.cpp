// Instead of ffmpeg_decoder.cpp where FFmpeg's libraries were not found.
#include "axlstm/core/error.h"
#include "decoder.h"

namespace axlstm::audio {

std::unique_ptr<Decoder> open_ffmpeg(const ByteSource&) {
  throw Error(
      "this build has no FFmpeg libraries (Debian: libavformat-dev libavcodec-dev libswresample-dev, then cmake "
      "again); "
      "or convert it: ffmpeg -i IN OUT.flac");
}

std::string ffmpeg_version() { return ""; }

}  // namespace axlstm::audio
