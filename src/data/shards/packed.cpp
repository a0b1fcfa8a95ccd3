#include "axlstm/data/shards/packed.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/ordered_parallel.h"
#include "core/json.h"
#include "packed_meta.h"

namespace axlstm::data {

namespace fs = std::filesystem;

PackedSet::PackedSet(const fs::path& folder, std::vector<std::string>* damaged) : first_clip_{0} {
  const fs::path index = folder / kPackFile;
  std::error_code failure;
  AXLSTM_CHECK(fs::is_directory(folder, failure), folder.string(), ": no such folder of packed clips");
  AXLSTM_CHECK(fs::exists(index, failure), folder.string(), ": holds no ", kPackFile,
               fs::exists(folder / shard_name(0), failure)
                   ? ", so packing is not finished; the same pack command goes on"
                   : ", so it is not a folder that pack wrote");
  allow_many_open_files();  // a set of AudioSet's size has more than a thousand shards
  const auto json = parse_json(read_file(index), index.string(), "is not what pack writes");
  info_ = info_from_json(json, index.string());
  try {
    for (const auto& entry : json.at("shards")) {
      const fs::path file = entry.at("file").get<std::string>();
      AXLSTM_CHECK(file.filename() == file, index.string(), ": lists ", file.string(),
                   ", which is no file of the folder; pack again");
      const fs::path path = folder / file;
      const auto checksum = whole_number<std::uint64_t>(entry, "checksum", index.string());
      try {
        shards_.push_back(open_shard(path, checksum));
      } catch (const Error& failure) {
        if (damaged == nullptr) throw;
        damaged->push_back(str(failure.what(), " (", entry.at("clips").get<std::int64_t>(), " clips)"));
        continue;
      }
      first_clip_.push_back(first_clip_.back() + shards_.back().size());
    }
  } catch (const nlohmann::json::exception& reason) {
    throw Error(str(index.string(), ": is not what pack writes (", reason.what(), ")"));
  }
}

ShardReader PackedSet::open_shard(const fs::path& path, std::uint64_t checksum) const {
  ShardReader shard(path);
  AXLSTM_CHECK(shard.checksum() == checksum, path.string(), ": is not the shard that ", kPackFile,
               " lists; pack again");
  const std::uint64_t values = info_.encoding == Encoding::kPcm16 ? 1 : static_cast<std::uint64_t>(info_.audio.mels);
  for (std::int64_t clip = 0; clip < shard.size(); ++clip) {
    const ShardView view = shard.clip(clip);
    AXLSTM_CHECK(view.bytes % (2 * values) == 0 && view.bytes / (2 * values) == view.length, path.string(), ": clip ",
                 view.id, " has ", view.bytes, " bytes for a length of ", view.length, "; pack again");
  }
  return shard;
}

ShardView PackedSet::clip(std::int64_t index) const {
  AXLSTM_CHECK(index >= 0 && index < size(), "clip ", index, " of ", size(), " packed ones was asked for");
  const auto after = std::upper_bound(first_clip_.begin(), first_clip_.end(), index);
  const auto shard = static_cast<std::size_t>(after - first_clip_.begin() - 1);
  return shards_[shard].clip(index - first_clip_[shard]);
}

std::int64_t PackedSet::frames(const ShardView& clip) const {
  const auto length = static_cast<std::int64_t>(clip.length);
  return info_.encoding == Encoding::kPcm16 ? 1 + length / info_.audio.hop : length;
}

double PackedSet::seconds() const {
  double units = 0;
  for (std::int64_t index = 0; index < size(); ++index) units += static_cast<double>(clip(index).length);
  const double samples = info_.encoding == Encoding::kPcm16 ? units : units * static_cast<double>(info_.audio.hop);
  return samples / static_cast<double>(info_.audio.sample_rate);
}

void check_front_end(const PackedInfo& info, const features::LogMelOptions& wanted, const std::string& folder,
                     const std::string& fix) {
  const auto check = [&](const char* key, auto packed, auto asked) {
    if (packed != asked)
      throw UsageError(str(folder, ": was packed with audio.", key, " ", packed, ", audio.", key, " is ", asked,
                           " here; ", fix.empty() ? str("set it to ", packed, " or pack again") : fix));
  };
  check("sample_rate", info.audio.sample_rate, wanted.sample_rate);
  check("n_fft", info.audio.n_fft, wanted.n_fft);
  check("window", info.audio.window, wanted.window);
  check("hop", info.audio.hop, wanted.hop);
  check("mels", info.audio.mels, wanted.mels);
  check("f_min_hz", info.audio.f_min_hz, wanted.f_min_hz);
  check("f_max_hz", info.audio.f_max_hz, wanted.f_max_hz);
}

std::vector<std::string> verify(const PackedSet& set, std::size_t threads,
                                const std::function<void(std::int64_t)>& progress) {
  std::vector<std::string> damaged;
  std::int64_t next = 0, index = 0;
  ordered_parallel<std::int64_t, bool>(
      [&]() -> std::optional<std::int64_t> { return next < set.size() ? std::optional(next++) : std::nullopt; },
      [&](std::int64_t&& clip) {
        try {
          return set.clip(clip).is_whole();
        } catch (const Error& failure) {  // a part of the disk that cannot be read
          log::warn(failure.what());
          return false;
        }
      },
      [&](bool&& whole) {
        if (!whole) damaged.emplace_back(set.clip(index).id);
        ++index;
        if (progress) progress(index);
        return true;
      },
      threads, 16 * threads);
  return damaged;
}

std::string describe(const PackedSet& set) {
  const PackedInfo& info = set.info();
  std::uint64_t bytes = 0;
  for (std::int64_t index = 0; index < set.size(); ++index) bytes += set.clip(index).bytes;
  std::ostringstream text;
  text << std::fixed << "clips      " << set.size() << ", " << std::setprecision(2) << set.seconds() / 3600
       << " hours\n"
       << "broken     " << info.broken << (info.broken > 0 ? str(" (", kBrokenFile, ")") : "") << "\n"
       << "in part    " << info.partial << (info.partial > 0 ? str(" (", kPartialFile, ")") : "") << "\n"
       << "kept as    " << (info.encoding == Encoding::kPcm16 ? "16-bit samples at " : "float16 log-mel of audio at ")
       << info.audio.sample_rate << " Hz\n"
       << "log-mel    " << info.audio.mels << " mels, " << std::setprecision(0) << info.audio.f_min_hz << "–"
       << info.audio.f_max_hz << " Hz, window " << info.audio.window << ", hop " << info.audio.hop << ", n_fft "
       << info.audio.n_fft << "\n"
       << "size       " << std::setprecision(1) << static_cast<double>(bytes) / (1 << 20) << " MiB in "
       << set.shards().size() << " shards\n"
       << "source     " << info.source << "\n";
  return text.str();
}

}  // namespace axlstm::data
