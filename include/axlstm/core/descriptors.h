// Bytes from and to other programs, through descriptors that are open already.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <string_view>

namespace axlstm {

/// Waits until `descriptor` has something and reads that, at most `count` bytes. 0: the input ended, or `stop` turned
/// true, which a signal's handler may do. Throws Error with `name` and the system's reason.
std::size_t read_available(int descriptor, char* target, std::size_t count, const std::atomic<bool>& stop,
                           const std::string& name);

/// Writes all of it, however slowly it is read. False: nobody reads any more. Throws Error with `name` and the system's
/// reason. SIGPIPE must be ignored.
bool write_all(int descriptor, std::string_view bytes, const std::string& name);

}  // namespace axlstm
