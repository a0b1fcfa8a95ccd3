// .npy files and headerless float32 files: what is read is written as it was, and nothing beyond the file's size is
// allocated.
#include "axlstm/io/npy.h"

#include <cstring>

#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  const auto path = fuzz::file_of("input.npy", bytes);
  io::NpyArray array;
  if (fuzz::accepted([&] { array = io::read_npy(path); })) {
    std::string copy;
    // NumPy writes at most 32 dimensions, and so does npy_bytes.
    if (array.shape.size() <= 32) copy = io::npy_bytes(array.shape, array.values);
    const std::size_t value_bytes = 4 * array.values.size();
    fuzz::require(copy.empty() || copy.substr(copy.size() - value_bytes) == bytes.substr(size - value_bytes),
                  "values survive a round trip");
  }
  // A headerless file, of a length that the first bytes choose.
  std::int64_t count = 0;
  std::memcpy(&count, data, std::min(size, sizeof count));
  for (const std::int64_t wanted : {count, static_cast<std::int64_t>(size / 4)}) {
    std::vector<float> values;
    if (fuzz::accepted([&] { values = io::read_raw_floats(path, wanted); }))
      fuzz::require(4 * values.size() == size, "a headerless file has the length asked for");
  }
  return 0;
}
