#include "axlstm/core/json_depth.h"

#include "axlstm/core/error.h"

namespace axlstm {

void check_json_depth(std::string_view text, const std::string& source) {
  constexpr int kMaxDepth = 100;
  int depth = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string && c == '\\') {
      ++at;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      AXLSTM_CHECK(++depth <= kMaxDepth, source, ": JSON of more than ", kMaxDepth, " levels; the file is damaged");
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
}

}  // namespace axlstm
