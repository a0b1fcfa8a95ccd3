// Shards of packed clips, and the JSON in them. The checksum of the index stops nearly every changed byte, so the input
// is first read as it is and then once more with the checksum set right.
#include "axlstm/data/shards/shard.h"

#include <cstring>

#include "data/shards/packed_meta.h"
#include "fuzz/fuzz.h"

using namespace axlstm;

namespace {

/// Sets the checksum of the index that the footer tells of.
void correct_checksum(std::string& bytes) {
  data::ShardFooter footer;
  if (bytes.size() < sizeof footer) return;
  const std::size_t end = bytes.size() - sizeof footer;
  std::memcpy(&footer, bytes.data() + end, sizeof footer);
  if (footer.records_offset > end) return;
  footer.checksum = fnv1a64(std::string_view(bytes).substr(footer.records_offset, end - footer.records_offset));
  std::memcpy(bytes.data() + end, &footer, sizeof footer);
}

bool lies_in(std::string_view part, std::size_t size) { return part.size() <= size; }

void read_shard(const std::string& bytes) {
  const auto path = fuzz::file_of("input.axs", bytes);
  fuzz::accepted([&] {
    const data::ShardReader shard(path);
    std::uint64_t sum = 0;
    for (std::int64_t index = 0; index < shard.size(); ++index) {
      const data::ShardView clip = shard.clip(index);
      fuzz::require(lies_in(clip.id, bytes.size()) && lies_in(clip.labels, bytes.size()) &&
                        clip.bytes <= bytes.size() && clip.length > 0,
                    "a clip lies in its shard");
      std::string content(clip.bytes, '\0');
      clip.read(0, content.data(), content.size());
      sum += clip.is_whole() ? 1 : 0;
      for (const std::string_view part : {clip.id, clip.labels}) sum += fnv1a64(part);  // touches all bytes
    }
    const data::ShardMeta meta = data::read_meta(shard.meta(), "input");
    const data::ShardMeta again = data::read_meta(data::write_meta(meta), "copy");
    fuzz::require(again.broken.size() == meta.broken.size(), "the list of broken clips survives a round trip");
    fuzz::require(sum != 1, "the sum is used");
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(fuzz::text_of(data, size));
  read_shard(bytes);
  correct_checksum(bytes);
  read_shard(bytes);
  return 0;
}
