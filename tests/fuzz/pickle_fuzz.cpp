// Pickled label lists: what is read can be written again, and memory stays within a fixed multiple of the input.
#include "axlstm/hear/pickle.h"

#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  hear::LabelLists labels;
  if (!fuzz::accepted([&] { labels = hear::parse_label_pickle(fuzz::text_of(data, size), "input"); })) return 0;
  std::size_t text_bytes = 0;
  for (const auto& row : labels)
    for (const hear::Label& label : row) text_bytes += hear::label_text(label).size();
  fuzz::require(text_bytes <= 64 * size + 32, "labels are no longer than 64 times the file");
  fuzz::require(hear::parse_label_pickle(hear::label_pickle(labels), "copy") == labels, "labels survive a round trip");
  return 0;
}
