// Lists of clips in all the other forms. The first line is the file's name, which tells some of them apart; what
// follows a line "segments" is Kaldi's file of that name beside it.
#include <cmath>

#include "axlstm/data/lists/manifest.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto root = fuzz::file_of("audio/64760.wav", "x").parent_path().string();
  std::string_view text = fuzz::text_of(data, size);
  const std::string_view first = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(first.size() + 1, text.size()));
  std::string name = "list.txt";
  for (const char* known : {"list.json", "list.jsonl", "list.tsv", "wav.scp", "list.csv.gz"})
    if (first == known) name = known;
  constexpr std::string_view kSegments = "\nsegments\n";
  const std::size_t at = name == "wav.scp" ? text.find(kSegments) : std::string_view::npos;
  const auto segments = fuzz::folder().path() / "segments";
  std::filesystem::remove(segments);
  if (at != std::string_view::npos) fuzz::file_of("segments", text.substr(at + kSegments.size()));
  data::DataOptions options;
  options.manifest = fuzz::file_of(name, text.substr(0, at)).string();
  for (const std::string& folder : {std::string(), root}) {
    options.root = folder;
    fuzz::accepted([&] {
      const data::Manifest manifest = data::load_manifest(options);
      fuzz::require(!manifest.clips.empty(), "a list that is taken names clips");
      for (const data::Clip clip : manifest.clips) {
        const auto& segment = clip.segment;
        fuzz::require(!clip.path.empty() && !clip.id.empty(), "a clip has a path and an id");
        fuzz::require(segment.start_seconds >= 0 && std::isfinite(segment.start_seconds) &&
                          segment.duration_seconds != 0 && !std::isnan(segment.duration_seconds),
                      "a clip has a segment that can be");
      }
    });
  }
  return 0;
}
