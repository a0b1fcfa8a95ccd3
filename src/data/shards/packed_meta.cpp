#include "packed_meta.h"

#include <optional>

#include "axlstm/core/error.h"
#include "axlstm/core/zero_padded.h"
#include "core/json.h"

namespace axlstm::data {
std::string shard_name(std::size_t number) { return str("shard-", zero_padded(number, 5), ".axs"); }

nlohmann::ordered_json to_json(const PackedInfo& info) {
  const auto& audio = info.audio;
  return {{"format", kPackFormat},
          {"encoding", enum_name(info.encoding)},
          {"audio",
           {{"sample_rate", audio.sample_rate},
            {"n_fft", audio.n_fft},
            {"window", audio.window},
            {"hop", audio.hop},
            {"mels", audio.mels},
            {"f_min_hz", audio.f_min_hz},
            {"f_max_hz", audio.f_max_hz}}},
          {"source", info.source},
          {"source_fingerprint", info.source_fingerprint},
          {"broken", info.broken},
          {"partial", info.partial}};
}

PackedInfo info_from_json(const nlohmann::json& json, const std::string& source) {
  try {
    const int format = whole_number<int>(json, "format", source);
    AXLSTM_CHECK(format >= 1 && format <= kPackFormat, source, ": is of format ", format, ", this version reads up to ",
                 kPackFormat, "; pack again");
    PackedInfo info;
    const std::string encoding = json.at("encoding");
    const std::optional<Encoding> known = enum_of<Encoding>(encoding);
    AXLSTM_CHECK(known, source, ": unknown encoding '", encoding, "'");
    info.encoding = *known;
    const auto& audio = json.at("audio");
    info.audio.sample_rate = whole_number<decltype(info.audio.sample_rate)>(audio, "sample_rate", source);
    info.audio.n_fft = whole_number<decltype(info.audio.n_fft)>(audio, "n_fft", source);
    info.audio.window = whole_number<decltype(info.audio.window)>(audio, "window", source);
    info.audio.hop = whole_number<decltype(info.audio.hop)>(audio, "hop", source);
    info.audio.mels = whole_number<decltype(info.audio.mels)>(audio, "mels", source);
    audio.at("f_min_hz").get_to(info.audio.f_min_hz);
    audio.at("f_max_hz").get_to(info.audio.f_max_hz);
    AXLSTM_CHECK(info.audio.hop > 0 && info.audio.mels > 0 && info.audio.sample_rate > 0, source,
                 ": audio settings that cannot be");
    json.at("source").get_to(info.source);
    json.at("source_fingerprint").get_to(info.source_fingerprint);
    info.broken = whole_number<std::int64_t>(json, "broken", source);
    if (format > 1) info.partial = whole_number<std::int64_t>(json, "partial", source);
    return info;
  } catch (const nlohmann::json::exception& failure) {
    throw Error(str(source, ": is not what pack writes (", failure.what(), ")"));
  }
}

std::string write_meta(const ShardMeta& meta) {
  auto json = to_json(meta.info);
  json["broken"] = meta.broken.size();
  json["partial"] = meta.partial.size();
  json["source_begin"] = meta.source_begin;
  json["source_end"] = meta.source_end;
  const auto list = [](const std::vector<ClipRemark>& remarks) {
    auto array = nlohmann::ordered_json::array();
    for (const ClipRemark& clip : remarks) array.push_back({{"id", clip.id}, {"reason", clip.reason}});
    return array;
  };
  json["broken_clips"] = list(meta.broken);
  json["partial_clips"] = list(meta.partial);
  // Names of files may be in any encoding; JSON must be UTF-8.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

ShardMeta read_meta(std::string_view text, const std::string& source) {
  const auto json = parse_json(text, source, "is not what pack writes");
  ShardMeta meta;
  meta.info = info_from_json(json, source);
  try {
    meta.source_begin = whole_number<std::int64_t>(json, "source_begin", source);
    meta.source_end = whole_number<std::int64_t>(json, "source_end", source);
    for (const auto& clip : json.at("broken_clips")) meta.broken.push_back({clip.at("id"), clip.at("reason")});
    if (json.contains("partial_clips")) {
      for (const auto& clip : json.at("partial_clips")) meta.partial.push_back({clip.at("id"), clip.at("reason")});
    }
    return meta;
  } catch (const nlohmann::json::exception& failure) {
    throw Error(str(source, ": is not what pack writes (", failure.what(), ")"));
  }
}

}  // namespace axlstm::data
