#include "axlstm/core/duration.h"

#include <cmath>
#include <cstdint>

#include "axlstm/core/error.h"

namespace axlstm {

std::string format_duration(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(seconds));
  const auto two = [](std::int64_t value) { return str(value < 10 ? "0" : "", value); };
  if (total < 60) return str(total, " s");
  if (total < 3600) return str(total / 60, " min ", two(total % 60), " s");
  if (total < 86400) return str(total / 3600, " h ", two(total % 3600 / 60), " min");
  return str(total / 86400, " d ", total % 86400 / 3600, " h");
}

}  // namespace axlstm
