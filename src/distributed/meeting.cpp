#include "meeting.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"

namespace axlstm::distributed {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPoll{50}, kUntilTold{5000}, kOneConnection{1000}, kUnknownFor{3000};
constexpr int kBacklog = 4096;
constexpr const char* kLoopback = "127.0.0.1";

struct Socket {
  explicit Socket(int descriptor) : fd(descriptor) {}
  ~Socket() {
    if (fd >= 0) ::close(fd);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd;
};

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

std::string place_of(const launch::Rank& rank) { return str(rank.address, ":", rank.port); }

Addresses resolve(const launch::Rank& rank) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int code = 0;
  for (const auto start = Clock::now();; std::this_thread::sleep_for(10 * kPoll)) {
    code = ::getaddrinfo(rank.address.c_str(), std::to_string(rank.port).c_str(), &hints, &found);
    if (code != EAI_AGAIN || Clock::now() - start > kUnknownFor) break;
  }
  if (code == 0) return Addresses(found, &::freeaddrinfo);
  throw Error(str("this machine does not know the host '", rank.address, "', where ", rank.launcher,
                  " says that ranks meet (", ::gai_strerror(code),
                  "); set MASTER_ADDR to the name or address of rank 0's machine"));
}

/// Whether somebody listens at one of the addresses.
bool is_open(const addrinfo* addresses) {
  for (const addrinfo* one = addresses; one; one = one->ai_next) {
    const Socket socket(::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, one->ai_protocol));
    if (socket.fd < 0) continue;
    if (::connect(socket.fd, one->ai_addr, one->ai_addrlen) == 0) return true;
    if (errno != EINPROGRESS) continue;
    pollfd waiting{socket.fd, POLLOUT, 0};
    int failure = 0;
    socklen_t size = sizeof failure;
    if (::poll(&waiting, 1, static_cast<int>(kOneConnection.count())) == 1 &&
        ::getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0 && failure == 0)
      return true;
  }
  return false;
}

/// A socket that listens on all of this machine's addresses.
int listen_at(const launch::Rank& rank) {
  int failure = 0;
  for (const int family : {AF_INET6, AF_INET}) {
    Socket socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int yes = 1, no = 0;
    sockaddr_storage address{};
    socklen_t size = sizeof(sockaddr_in);
    if (family == AF_INET6) {
      auto* six = reinterpret_cast<sockaddr_in6*>(&address);
      six->sin6_family = AF_INET6;
      six->sin6_port = htons(static_cast<std::uint16_t>(rank.port));
      size = sizeof *six;
    } else {
      auto* four = reinterpret_cast<sockaddr_in*>(&address);
      four->sin_family = AF_INET;
      four->sin_port = htons(static_cast<std::uint16_t>(rank.port));
    }
    if (socket.fd >= 0 && ::setsockopt(socket.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        (family == AF_INET || ::setsockopt(socket.fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) == 0) &&
        ::bind(socket.fd, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(socket.fd, kBacklog) == 0)
      return std::exchange(socket.fd, -1);
    failure = errno;
  }
  throw Error(str("rank 0 cannot listen at port ", rank.port, " (", std::strerror(failure), "), where ", rank.launcher,
                  " says that ranks meet; MASTER_PORT sets another"));
}

/// Text that no other process ever makes.
std::string token() {
  std::random_device random;
  return str(::getpid(), "-", Clock::now().time_since_epoch().count(), "-", random(), random());
}

std::string hello_key(std::int64_t rank) { return str("axlstm/hello/", rank); }
std::string known_key(const std::string& challenge) { return "axlstm/known/" + challenge; }
std::string stopped_key(const std::string& challenge) { return "axlstm/stopped/" + challenge; }
std::string seen_key(const std::string& challenge, std::int64_t rank) {
  return str("axlstm/seen/", challenge, "/", rank);
}

std::string value_of(c10d::Store& store, const std::string& key) {
  return store.check({key}) ? store.get_to_str(key) : "";
}

void leave_if_others_stopped(c10d::Store& store, const std::string& challenge) {
  if (store.check({stopped_key(challenge)}))
    throw StoppedEarly("another rank was told to stop before training began; the same command starts it");
}

/// Who has not come, of ranks 1 …
std::string missing_among(const std::vector<std::string>& values) {
  std::string missing;
  std::int64_t count = 0;
  for (std::size_t rank = 1; rank < values.size(); ++rank) {
    if (values[rank].empty() && ++count <= 8) missing += (count == 1 ? "" : ", ") + std::to_string(rank);
  }
  if (count > 8) missing += str(" and ", count - 8, " more");
  return str(count == 1 ? "rank " : "ranks ", missing, " of ", values.size());
}

/// Rank 0 asks with a text that is new; whoever repeats it is there now.
std::string gather_ranks(c10d::Store& store, const launch::Rank& rank, const Patience& patience) {
  const std::string challenge = token();
  std::vector<std::string> hellos(static_cast<std::size_t>(rank.world_size)), published;
  store.set("axlstm/challenge", challenge);
  const auto everybody_is_here = [&] {
    leave_if_others_stopped(store, challenge);
    bool all = true;
    for (std::int64_t other = 1; other < rank.world_size; ++other) {
      auto& hello = hellos[static_cast<std::size_t>(other)];
      const std::string said = value_of(store, hello_key(other));
      if (said.starts_with(challenge)) hello = said;
      all = all && !hello.empty();
    }
    if (!all) return false;
    if (hellos != published) {
      std::string known;
      for (const std::string& hello : hellos) known += hello + "\n";
      store.set(known_key(challenge), known);
      published = hellos;
    }
    // One that was killed after its hello does not answer; another may come in its place.
    for (std::int64_t other = 1; other < rank.world_size; ++other) {
      if (value_of(store, seen_key(challenge, other)) != hellos[static_cast<std::size_t>(other)]) return false;
    }
    return true;
  };
  try {
    patience.until(everybody_is_here, [&] { return missing_among(hellos); });
  } catch (const StoppedEarly&) {
    store.set(stopped_key(challenge), "");
    const bool alone = std::all_of(hellos.begin(), hellos.end(), [](const auto& hello) { return hello.empty(); });
    if (!alone) std::this_thread::sleep_for(kTimeToRead);
    throw;
  }
  return challenge;
}

std::string answer_rank_0(c10d::Store& store, const launch::Rank& rank, const Patience& patience) {
  const std::string own = token();
  std::string challenge, hello;
  const auto is_known = [&] {
    const std::string asked = value_of(store, "axlstm/challenge");
    if (asked.empty()) return false;
    if (asked != challenge) {  // the first may be one of an earlier attempt
      challenge = asked;
      hello = challenge + "/" + own;
      store.set(hello_key(rank.rank), hello);
    }
    leave_if_others_stopped(store, challenge);
    if (value_of(store, known_key(challenge)).find(hello + "\n") == std::string::npos) return false;
    store.set(seen_key(challenge, rank.rank), hello);
    return true;
  };
  try {
    patience.until(is_known, [&] { return challenge.empty() ? "rank 0" : "the other ranks"; });
  } catch (const StoppedEarly&) {
    if (!challenge.empty()) store.set(stopped_key(challenge), "");
    throw;
  }
  return challenge;
}

}  // namespace

Patience::Patience(const launch::Rank& rank, milliseconds limit, const std::atomic<bool>* stop)
    : place_(str(" (at ", place_of(rank), ", as ", rank.launcher, " says)")),
      remedy_(str("to train alone, start it without ", rank.variable, " in its environment: env -u ", rank.variable,
                  " pretrain …")),
      limit_(limit),
      stop_(stop) {}

void Patience::until(const std::function<bool()>& done, const std::function<std::string()>& waiting_for) const {
  const auto start = Clock::now();
  for (bool told = false; !done(); std::this_thread::sleep_for(kPoll)) {
    if (stop_ && *stop_) {
      throw StoppedEarly(str("stopped by a signal while waiting for ", waiting_for(),
                             ", before training began; the same command starts it"));
    }
    const auto waited = Clock::now() - start;
    AXLSTM_CHECK(waited < limit_, waiting_for(), " did not come within ", std::chrono::duration<double>(limit_).count(),
                 " s (distributed.timeout_s)", place_, "; ", remedy_);
    if (!told && waited > kUntilTold) {
      log::warn(str("waiting for ", waiting_for(), place_, "; ", remedy_));
      told = true;
    }
  }
}

c10::intrusive_ptr<c10d::Store> connect(const launch::Rank& rank, bool serve, milliseconds timeout,
                                        const Patience& patience) {
  c10d::TCPStoreOptions options;
  options.port = static_cast<std::uint16_t>(rank.port);
  options.isServer = serve && rank.rank == 0 && !rank.store_is_kept;
  options.waitWorkers = false;
  options.timeout = timeout;
  const bool own = rank.rank == 0 && !rank.store_is_kept;  // reached whatever others call this machine
  const Addresses addresses = resolve(rank);
  if (options.isServer) {
    options.masterListenFd = rank.listening_socket ? static_cast<int>(*rank.listening_socket) : listen_at(rank);
  } else if (!own) {
    const std::string keeper = rank.store_is_kept ? "torchrun's store" : "rank 0";
    patience.until([&] { return is_open(addresses.get()); }, [&] { return keeper; });
  }
  try {
    return c10::make_intrusive<c10d::TCPStore>(own ? kLoopback : rank.address, options);
  } catch (const std::exception& failure) {
    throw Error(str("the ranks' store at ", place_of(rank), " cannot be reached (from ", rank.launcher,
                    "; MASTER_ADDR and MASTER_PORT set another place): ", message_of(failure)));
  }
}

std::string agree_on_prefix(c10d::Store& store, const launch::Rank& rank, const Patience& patience) {
  return "axlstm/" + (rank.rank == 0 ? gather_ranks(store, rank, patience) : answer_rank_0(store, rank, patience));
}

}  // namespace axlstm::distributed
