// A guard that goes before parsing JSON of unknown origin.
#pragma once

#include <string>
#include <string_view>

namespace axlstm {

/// Throws Error naming `source` if arrays and objects lie in each other more than 100 deep. What copies or prints a
/// value calls itself once a level: without this a few kilobytes of brackets would exhaust the stack.
void check_json_depth(std::string_view text, const std::string& source);

}  // namespace axlstm
