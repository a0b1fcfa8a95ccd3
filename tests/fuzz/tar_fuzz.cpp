// WebDataset archives, compressed or not: reading ends, skipping passes over the same clips, and nothing is written.
#include "axlstm/data/lists/clip_stream.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto path = fuzz::file_of("archive/input.tar", fuzz::text_of(data, size));
  fuzz::accepted([&] {
    std::int64_t clips = 0;
    const auto stream = data::stream_tars({path});
    while (const auto clip = stream->next()) {
      fuzz::require(clip->bytes.has_value() || !clip->failure.empty(), "a clip has bytes or the reason why not");
      ++clips;
    }
    fuzz::require(stream->done() == 1, "a stream at its end is done");
    const auto skipped = data::stream_tars({path});
    skipped->skip(clips);
    fuzz::require(!skipped->next(), "skipping passes over as many clips as reading gives");
  });
  const auto entries = std::filesystem::directory_iterator(fuzz::folder().path());
  fuzz::require(std::distance(entries, std::filesystem::directory_iterator()) == 1, "an archive writes no file");
  return 0;
}
