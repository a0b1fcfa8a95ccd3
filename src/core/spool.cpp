#include "axlstm/core/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace axlstm {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

}  // namespace

Spool::Spool(std::filesystem::path folder) : folder_(std::move(folder)) {
  std::string name = (folder_ / ".spool-XXXXXX").string();
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail("created");
  ::unlink(name.c_str());
}

Spool::~Spool() { ::close(descriptor_); }

void Spool::fail(const char* what) const {
  throw SpoolError(str(folder_.string(), ": a temporary file in it cannot be ", what, " (", std::strerror(errno), ")"));
}

void Spool::append(std::string_view bytes) {
  pending_ += bytes;
  size_ += bytes.size();
  if (pending_.size() >= kPieceBytes) flush();
}

void Spool::flush() {
  for (std::string_view left = pending_; !left.empty();) {
    const ssize_t written = ::write(descriptor_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("written");
    left.remove_prefix(static_cast<std::size_t>(written));
  }
  pending_.clear();
}

void Spool::for_each_piece(const std::function<void(std::string_view)>& take, std::size_t unit) {
  flush();
  std::string piece(std::max<std::size_t>(kPieceBytes / unit, 1) * unit, '\0');
  for (std::uint64_t at = 0; at < size_;) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), size_ - at));
    for (std::size_t got = 0; got < wanted;) {
      const ssize_t count = ::pread(descriptor_, piece.data() + got, wanted - got, static_cast<off_t>(at + got));
      if (count < 0 && errno == EINTR) continue;
      if (count == 0) errno = EIO;  // cut short by somebody else
      if (count <= 0) fail("read");
      got += static_cast<std::size_t>(count);
    }
    take(std::string_view(piece).substr(0, wanted));
    at += wanted;
  }
}

}  // namespace axlstm
