// The JSON in shards and in pack.json.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/data/shards/packed.h"

namespace axlstm::data {

/// A whole number of an object. Throws nlohmann's exception if the key is missing, Error naming `source` and the key if
/// the value is no whole number or does not fit.
template <typename Integer>
Integer whole_number(const nlohmann::json& object, const char* key, const std::string& source) {
  const nlohmann::json& value = object.at(key);
  const bool fits = value.is_number_unsigned()
                        ? std::in_range<Integer>(value.get<std::uint64_t>())
                        : value.is_number_integer() && std::in_range<Integer>(value.get<std::int64_t>());
  AXLSTM_CHECK(fits, source, ": \"", key, "\" is ", value.dump(), "; pack again");
  return value.get<Integer>();
}

inline constexpr int kPackFormat = 2;  ///< 1: shards without scales, nothing taken in part; read too
inline constexpr const char* kPackFile = "pack.json";
inline constexpr const char* kBrokenFile = "broken.jsonl";
inline constexpr const char* kPartialFile = "partial.jsonl";

/// A clip that could not be used, or of which something is missing.
struct ClipRemark {
  std::string id, reason;
};

/// What a shard knows beside its clips: enough to go on after it.
struct ShardMeta {
  PackedInfo info;
  std::int64_t source_begin = 0, source_end = 0;  ///< positions in the stream of clips
  std::vector<ClipRemark> broken;                 ///< among them, left out
  std::vector<ClipRemark> partial;                ///< among them, packed in part
};

std::string shard_name(std::size_t number);  ///< shard-00012.axs

nlohmann::ordered_json to_json(const PackedInfo& info);

/// Throws Error naming `source` if `json` is not of this format.
PackedInfo info_from_json(const nlohmann::json& json, const std::string& source);

std::string write_meta(const ShardMeta& meta);
ShardMeta read_meta(std::string_view text, const std::string& source);

}  // namespace axlstm::data
