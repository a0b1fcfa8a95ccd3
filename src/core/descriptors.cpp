#include "axlstm/core/descriptors.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "axlstm/core/error.h"

namespace axlstm {
namespace {

constexpr int kWaitMs = 100;  // a signal between a look at `stop` and poll() is heard after that

bool only_later(int failure) { return failure == EINTR || failure == EAGAIN || failure == EWOULDBLOCK; }

}  // namespace

std::size_t read_available(int descriptor, char* target, std::size_t count, const std::atomic<bool>& stop,
                           const std::string& name) {
  while (!stop) {
    pollfd waiting{descriptor, POLLIN, 0};
    if (::poll(&waiting, 1, kWaitMs) <= 0) continue;  // read() would go on waiting after a signal
    const ssize_t got = ::read(descriptor, target, count);
    if (got >= 0) return static_cast<std::size_t>(got);
    AXLSTM_CHECK(only_later(errno), name, " cannot be read (", std::strerror(errno), ")");
  }
  return 0;
}

bool write_all(int descriptor, std::string_view bytes, const std::string& name) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EPIPE) {
      return false;
    } else {
      AXLSTM_CHECK(only_later(errno), name, " cannot be written (", std::strerror(errno), ")");
      pollfd waiting{descriptor, POLLOUT, 0};
      ::poll(&waiting, 1, kWaitMs);
    }
  }
  return true;
}

}  // namespace axlstm
