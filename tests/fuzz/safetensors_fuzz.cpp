// Headers of safetensors files: every tensor lies within the file, and a header that is read can be written again.
#include "axlstm/io/safetensors.h"

#include "fuzz/fuzz.h"

using namespace axlstm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file = fuzz::text_of(data, size);
  io::SafetensorsHeader header;
  if (!fuzz::accepted([&] { header = io::parse_safetensors(file, "input"); })) return 0;
  for (const io::TensorEntry& tensor : header.tensors) {
    std::size_t bytes = io::dtype_size(tensor.dtype);
    for (const std::int64_t length : tensor.shape) bytes *= static_cast<std::size_t>(length);
    fuzz::require(tensor.begin <= tensor.end && header.data_offset + tensor.end <= size, "a tensor lies in the file");
    fuzz::require(bytes == tensor.end - tensor.begin, "a tensor has the bytes of its shape");
  }
  std::string copy = io::write_safetensors_header(header.tensors, header.metadata);
  copy += file.substr(header.data_offset);
  const io::SafetensorsHeader again = io::parse_safetensors(copy, "copy");
  fuzz::require(again.metadata == header.metadata, "metadata survive a round trip");
  fuzz::require(again.tensors.size() == header.tensors.size(), "tensors survive a round trip");
  return 0;
}
