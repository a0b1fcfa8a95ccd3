// CSV lists of clips (AudioSet's too): every clip that is taken has an id, a path and a segment that can be.
#include <cmath>

#include "axlstm/data/lists/manifest.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto root = [] {  // what AudioSet's rows are looked up in
    for (const char* name : {"audio/--PJHxphWEs_30.wav", "audio/Y--ZhevVpy1s.flac", "audio/abc_1000_11000.wav"})
      fuzz::file_of(name, "x");
    return (fuzz::folder().path() / "audio").string();
  }();
  const std::string path = fuzz::file_of("input.csv", fuzz::text_of(data, size)).string();
  for (const std::string& folder : {root, std::string()}) {
    data::DataOptions options;
    options.manifest = path;
    options.root = folder;
    fuzz::accepted([&] {
      const data::Manifest manifest = data::load_manifest(options);
      fuzz::require(!manifest.clips.empty(), "a list that is taken names clips");
      for (const data::Clip clip : manifest.clips) {
        const auto& segment = clip.segment;
        fuzz::require(!clip.path.empty() && segment.start_seconds >= 0 && !std::isnan(segment.duration_seconds),
                      "a clip has a path and a segment");
      }
    });
  }
  return 0;
}
