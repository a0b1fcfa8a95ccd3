// JSONL lists of clips.
#include <cmath>

#include "axlstm/data/lists/manifest.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  data::DataOptions options;
  options.manifest = fuzz::file_of("input.jsonl", fuzz::text_of(data, size)).string();
  fuzz::accepted([&] {
    for (const data::Clip clip : data::load_manifest(options).clips)
      fuzz::require(!clip.path.empty() && clip.segment.start_seconds >= 0 && !std::isnan(clip.segment.duration_seconds),
                    "a clip has a path and a segment");
  });
  return 0;
}
