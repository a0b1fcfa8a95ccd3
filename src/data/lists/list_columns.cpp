#include "list_columns.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::data {
namespace {

enum class Part { kPath, kId, kStart, kEnd, kDuration, kLabels, kStop, kLength, kSamples };

struct Known {
  Part part;
  int rank;                      ///< the lowest of several counts
  double seconds = 1;            ///< of one unit of a time
  bool names_files = false;      ///< an id after which files are called
  bool is_event_offset = false;  ///< "offset": the end where "onset" is the start
};

/// Lower case without what separates words: "File Name", "file_name" and "filename" are one.
std::string normal(std::string_view name) {
  std::string text;
  for (const char c : name) {
    if (std::string_view(" \t_-.#()[]").find(c) == std::string_view::npos)
      text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return text;
}

std::unordered_map<std::string, Known> known_columns() {
  std::unordered_map<std::string, Known> known;
  const auto add = [&](Part part, std::initializer_list<const char*> names, double seconds = 1) {
    int rank = 0;
    for (const char* name : names) known.emplace(name, Known{part, rank++, seconds});
  };
  // The order is documented (docs/data.md).
  add(Part::kPath, {"path",      "file",  "audiofilepath", "audiopath", "wavpath",       "filepath",    "filename",
                    "wav",       "audio", "wavfile",       "audiofile", "audiofilename", "wavfilename", "soundpath",
                    "soundfile", "sound", "flac",          "fullpath",  "relativepath",  "abspath"});
  add(Part::kId, {"id", "ytid", "key", "uttid", "utteranceid", "segmentid", "clipid", "sampleid", "audioid",
                  "youtubeid", "videoid", "fname"});
  add(Part::kStart, {"startseconds", "start", "offset", "starttime", "starttimeseconds", "startsec", "startsecond",
                     "starts", "begin", "begintime", "beginseconds", "onset", "offsetseconds", "segmentstart"});
  add(Part::kEnd, {"endseconds", "end", "endtime", "endtimeseconds", "endsec", "endsecond", "ends", "stopseconds",
                   "stoptime", "stopsec", "segmentend"});
  add(Part::kDuration, {"durationseconds", "duration", "durationsec", "durations", "dur"});
  add(Part::kStart, {"startms", "starttimems", "beginms", "onsetms", "offsetms"}, 1e-3);
  add(Part::kEnd, {"endms", "endtimems", "stopms"}, 1e-3);
  add(Part::kDuration, {"durationms", "durms"}, 1e-3);
  add(Part::kLabels, {"labels", "label", "positivelabels", "humanlabels", "category", "categories", "class",
                      "classname", "classes", "target", "targets", "tags", "tag", "eventlabel", "eventlabels"});
  add(Part::kStop, {"stop"});
  add(Part::kLength, {"length", "len"});
  add(Part::kSamples, {"startsample", "startsamples", "startframe", "frameoffset", "sampleoffset", "offsetsamples",
                       "startindex", "beginsample"});
  for (const char* name : {"ytid", "youtubeid", "videoid", "fname"}) known.at(name).names_files = true;
  known.at("offset").is_event_offset = true;
  return known;
}

const Known* find(std::string_view name) {
  static const std::unordered_map<std::string, Known> known = known_columns();
  const auto found = known.find(normal(name));
  return found == known.end() ? nullptr : &found->second;
}

/// The column of a part that counts so far.
struct Choice {
  std::optional<std::size_t> at;
  Known known{};
};

std::string decoded(std::string_view address) {
  std::string text;
  for (std::size_t n = 0; n < address.size(); ++n) {
    unsigned code = 0;
    const char* digits = address.data() + n + 1;
    if (address[n] == '%' && n + 2 < address.size() &&
        std::from_chars(digits, digits + 2, code, 16).ptr == digits + 2) {
      text += static_cast<char>(code);
      n += 2;
    } else {
      text += address[n];
    }
  }
  return text;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Place& place) {
  return out << place.file.string() << (place.is_entry ? ": entry " : ":") << place.line;
}

Columns::Columns(const std::vector<std::string>& names, const std::function<bool(std::size_t)>& is_there) {
  std::array<Choice, 9> choices;
  const auto choice = [&](Part part) -> Choice& { return choices[static_cast<std::size_t>(part)]; };
  std::optional<std::size_t> event_offset;
  for (std::size_t n = 0; n < names.size(); ++n) {
    const Known* known = find(names[n]);
    if (!known || (is_there && !is_there(n))) continue;
    if (known->is_event_offset) event_offset = n;
    Choice& best = choice(known->part);
    // Of seconds and milliseconds the seconds: they are first in the list.
    const auto order = [](const Known& one) { return std::pair(one.seconds != 1, one.rank); };
    AXLSTM_CHECK(!best.at || order(best.known) != order(*known), "'", best.at ? names[*best.at] : "", "' and '",
                 names[n], "' are the same column");
    if (!best.at || order(*known) < order(best.known)) best = {n, *known};
  }
  for (std::size_t n = 0; n < names.size(); ++n) {  // onset and offset of an event
    if (normal(names[n]) != "onset" || !event_offset || choice(Part::kStart).at != event_offset) continue;
    choice(Part::kStart) = {n, *find("onset")};
    if (!choice(Part::kEnd).at) choice(Part::kEnd) = {event_offset, *find("end")};
  }
  const auto time = [&](Part part) { return Time{choice(part).at, choice(part).known.seconds}; };
  path = choice(Part::kPath).at;
  id = choice(Part::kId).at;
  labels = choice(Part::kLabels).at;
  start = time(Part::kStart);
  end = time(Part::kEnd);
  duration = time(Part::kDuration);
  ids_name_files = id && choice(Part::kId).known.names_files;
  const auto unclear = [&](Part part, const char* why) {
    AXLSTM_CHECK(!choice(part).at, "column '", choice(part).at ? names[*choice(part).at] : "", "' ", why);
  };
  if (start.at) unclear(Part::kStop, "may be seconds or samples; name it end_seconds if it is seconds");
  if (start.at && !end.at && !duration.at)
    unclear(Part::kLength, "may be seconds or samples; name it duration_seconds if it is seconds");
  if (!start.at) unclear(Part::kSamples, "counts samples; times are needed in seconds: start_seconds, end_seconds");
}

std::optional<int> labels_rank(std::string_view name) {
  const Known* known = find(name);
  return known && known->part == Part::kLabels ? std::optional(known->rank) : std::nullopt;
}

std::string quoted_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += str(text.empty() ? "'" : ", '", name, "'");
  return text.empty() ? "none" : text;
}

double parse_seconds(std::string_view text, const Place& where) {
  const std::string_view whole = text;
  const auto fail = [&] {
    const bool comma = whole.find(',') != std::string_view::npos;
    throw Error(str(where, ": '", whole, "' is not a time in seconds", comma ? "; write a decimal point" : ""));
  };
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '+')) text.remove_prefix(1);
  double seconds = 0;
  for (int parts = 1;; ++parts) {  // hours, minutes, seconds
    const std::size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    double value = 0;
    const auto [end, status] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (status != std::errc() || end != part.data() + part.size() || !(value >= 0) || !std::isfinite(value)) fail();
    if (parts > 1 && value >= 60) fail();
    seconds = 60 * seconds + value;
    if (colon == std::string_view::npos) return seconds;
    if (parts == 3) fail();
    text.remove_prefix(colon + 1);
  }
}

audio::Segment segment_of(std::optional<double> start, std::optional<double> end, std::optional<double> duration,
                          const Place& where) {
  audio::Segment segment;
  if (start) segment.start_seconds = *start;
  if (duration) segment.duration_seconds = *duration;
  AXLSTM_CHECK(segment.start_seconds >= 0 && std::isfinite(segment.start_seconds), where, ": the clip starts at ",
               segment.start_seconds, " s");
  AXLSTM_CHECK(!duration || end || *duration > 0, where, ": the duration is ", *duration,
               " s; leave it out where it is not known");
  if (end) segment.duration_seconds = *end - segment.start_seconds;
  AXLSTM_CHECK(!(end || duration) || segment.duration_seconds > 0, where, ": the clip ends before it starts (",
               segment.start_seconds, " s to ", end.value_or(0), " s)");
  return segment;
}

std::string local_path(const std::string& text, const Place& where) {
  AXLSTM_CHECK(!text.empty(), where, ": the path is empty");
  const std::size_t scheme = text.find("://");
  const auto is_letter = [](unsigned char c) { return std::isalnum(c) || c == '+'; };
  if (scheme == std::string::npos || scheme == 0 ||
      !std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(scheme), is_letter))
    return expand_home(text).string();
  const std::size_t slash = text.find('/', scheme + 3);
  const std::string host = text.substr(scheme + 3, slash - scheme - 3);
  AXLSTM_CHECK(text.starts_with("file://") && (host.empty() || host == "localhost") && slash != std::string::npos,
               where, ": '", text, "' is an address of the net; fetch the audio and list its files");
  return decoded(std::string_view(text).substr(slash));
}

}  // namespace axlstm::data
