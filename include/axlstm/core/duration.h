// How long things take, for people.
#pragma once

#include <chrono>
#include <string>

namespace axlstm {

/// "45 s", "12 min 30 s", "2 h 05 min", "3 d 4 h"
std::string format_duration(double seconds);

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace axlstm
