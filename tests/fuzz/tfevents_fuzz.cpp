// TensorBoard's event files are only written, so the input is what is written: tags, steps, values, text. Every record
// of the file is then taken apart as TensorBoard does, lengths and checksums compared.
#include "axlstm/io/tfevents.h"

#include <cstring>
#include <string>
#include <vector>

#include "axlstm/core/files.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

namespace {

/// The payloads of a file's records.
std::vector<std::string> records_of(const std::string& file) {
  std::vector<std::string> payloads;
  for (std::size_t at = 0; at < file.size();) {
    std::uint64_t length = 0;
    fuzz::require(file.size() - at >= 16, "a record is whole");
    std::memcpy(&length, file.data() + at, sizeof length);
    fuzz::require(length <= file.size() - at - 16, "a record lies in the file");
    payloads.push_back(file.substr(at + 12, length));
    fuzz::require(file.compare(at, 16 + length, io::tfrecord(payloads.back())) == 0, "a record has its checksums");
    at += 16 + length;
  }
  return payloads;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 17) return 0;
  std::int64_t step = 0;
  double value = 0;
  std::memcpy(&step, data, sizeof step);
  std::memcpy(&value, data + sizeof step, sizeof value);
  const std::string_view rest = fuzz::text_of(data + 17, size - 17);
  const std::string tag(rest.substr(0, data[16]));
  io::EventWriter writer(fuzz::folder().path(), step);
  writer.scalar(tag, step, value);
  writer.text(tag, step, rest);
  const bool picture = fuzz::accepted([&] { writer.picture(tag, step, rest); });
  fuzz::require(writer.flush(), "events are written");
  const std::vector<std::string> records = records_of(read_file(writer.path()));
  fuzz::require(records.size() == (picture ? 5U : 4U), "every event is one record");
  fuzz::require(records[2].find(tag) != std::string::npos && records[3].find(rest) != std::string::npos,
                "tag and text are in their records");
  std::filesystem::remove(writer.path());
  return 0;
}
