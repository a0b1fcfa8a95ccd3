#include "axlstm/launch/launcher.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/core/exit_code.h"
#include "axlstm/core/log.h"
#include "axlstm/core/process.h"
#include "axlstm/launch/signals.h"

namespace axlstm::launch {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kMark = "AXLSTM_LAUNCHED";
// A failing rank tells the others why, and they end by themselves; those that hang in a sum are killed.
constexpr auto kTimeToEnd = std::chrono::seconds(5);
constexpr auto kPoll = std::chrono::milliseconds(50);

constexpr int kInterruptedTwice = 128 + SIGINT;  // as a shell sees a program that SIGINT ended

std::array<std::atomic<int>, kStopSignals.size()> pending_signals;  // how many of each wait to be passed on

void note_signal(int number) {
  for (std::size_t n = 0; n < kStopSignals.size(); ++n) {
    if (kStopSignals[n] == number) ++pending_signals[n];
  }
}

struct Process {
  pid_t pid = -1;
  bool running = false;
  int status = 0;
};

/// A port of this machine that nobody else can take: the socket listens already, and rank 0 inherits it.
struct MeetingPoint {
  MeetingPoint() : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    AXLSTM_CHECK(socket >= 0 && ::bind(socket, generic, size) == 0 && ::listen(socket, 1024) == 0 &&
                     ::getsockname(socket, generic, &size) == 0,
                 "no port to meet at: ", std::strerror(errno));
    port = ntohs(address.sin_port);
  }
  ~MeetingPoint() { ::close(socket); }
  MeetingPoint(const MeetingPoint&) = delete;
  MeetingPoint& operator=(const MeetingPoint&) = delete;

  int socket;
  int port = 0;
};

/// This program, by its own name where that is still the same file, so that ranks are called by it in ps.
std::string own_program() {
  const char* self = "/proc/self/exe";
  std::error_code failure;
  const std::filesystem::path named = std::filesystem::read_symlink(self, failure);
  const bool same = !failure && std::filesystem::equivalent(named, self, failure) && !failure;
  return same ? named.string() : self;
}

Process start(const std::string& program, char** argv, std::int64_t rank, std::int64_t count,
              const MeetingPoint& meeting) {
  const pid_t pid = start_process(program.c_str(), argv, [&] {
    // Held back until the rank is ready for them (stop_on_signal): none is lost while it loads its libraries.
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : kStopSignals) {
      if (is_heard(number)) std::signal(number, SIG_DFL);
      sigaddset(&signals, number);
    }
    ::sigprocmask(SIG_BLOCK, &signals, nullptr);
    ::setpgid(0, 0);  // Ctrl-C in the terminal reaches this process through its parent, once
    const auto set = [](const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); };
    set(kMark, "1");
    set("RANK", std::to_string(rank));
    set("WORLD_SIZE", std::to_string(count));
    set("LOCAL_RANK", std::to_string(rank));
    set("LOCAL_WORLD_SIZE", std::to_string(count));
    set("MASTER_ADDR", "127.0.0.1");
    set("MASTER_PORT", std::to_string(meeting.port));
    if (rank == 0) {
      ::fcntl(meeting.socket, F_SETFD, 0);  // to be inherited
      set("AXLSTM_LISTENING_SOCKET", std::to_string(meeting.socket));
    }
    ::unsetenv("SLURM_CPUS_PER_TASK");  // what the ranks have to share
  });
  AXLSTM_CHECK(pid >= 0, "rank ", rank, " cannot be started: ", std::strerror(errno));
  return {pid, true, 0};
}

std::string describe(const Process& process, std::size_t rank) {
  const std::string name = str("rank ", rank, " (process ", process.pid, ")");
  if (!WIFSIGNALED(process.status)) return str(name, " ended with exit code ", WEXITSTATUS(process.status));
  const int number = WTERMSIG(process.status);
  return str(name, " was killed by signal ", number, " (", strsignal(number), ")",
             number == SIGKILL ? ", by hand or for its memory" : "");
}

bool failed(const Process& process) {
  if (process.running) return false;
  const int code = WIFEXITED(process.status) ? WEXITSTATUS(process.status) : kFailed;
  return code != kOk && code != kInterrupted;
}

void signal_all(const std::vector<Process>& processes, int number) {
  for (const Process& process : processes) {
    if (process.running) ::kill(process.pid, number);
  }
}

/// Waits for all ranks to end.
class Watch {
 public:
  Watch(std::vector<Process>& processes, const LaunchOptions& options)
      : processes_(processes), options_(options), running_(processes.size()) {}

  /// The exit code of the whole.
  int run() {
    while (running_ > 0) {
      for (std::size_t rank = 0; rank < processes_.size(); ++rank) look_at(rank);
      if (!killed_ && Clock::now() > deadline_) kill_all();
      pass_signals_on();
      if (running_ > 0) std::this_thread::sleep_for(kPoll);
    }
    return interrupts_ > 1 ? kInterruptedTwice : worst_code();
  }

  bool stopping() const { return stopping_; }  ///< a signal asked for the end

 private:
  void look_at(std::size_t rank) {
    Process& process = processes_[rank];
    if (!process.running || ::waitpid(process.pid, &process.status, WNOHANG) != process.pid) return;
    process.running = false;
    --running_;
    if (!failed(process) || failure_ || killed_) return;
    failure_ = true;
    deadline_ = std::min(deadline_, Clock::now() + kTimeToEnd);
    log::error(describe(process, rank) + (running_ > 0 ? "; the other ranks end too" : ""));
  }

  void pass_signals_on() {
    for (std::size_t n = 0; n < kStopSignals.size(); ++n) {
      for (int count = pending_signals[n].exchange(0); count > 0; --count) {
        if (!std::exchange(stopping_, true))
          deadline_ = std::min(deadline_, Clock::now() + std::chrono::seconds(options_.stop_timeout_s));
        if (kStopSignals[n] == SIGINT && ++interrupts_ == 2) {
          log::warn(
              "interrupted again: the ranks are killed; what was saved before is whole, the same command resumes "
              "from there");
          kill_all();
        }
        if (!killed_) signal_all(processes_, kStopSignals[n]);
      }
    }
  }

  void kill_all() {
    if (!failure_ && interrupts_ < 2) {
      for (std::size_t rank = 0; rank < processes_.size(); ++rank) {
        if (processes_[rank].running)
          log::error(str("rank ", rank, " (process ", processes_[rank].pid, ") has not ended ", options_.stop_timeout_s,
                         " s after the signal (--stop-timeout) and is killed; the same command resumes from the newest "
                         "checkpoint"));
      }
    }
    killed_ = true;
    signal_all(processes_, SIGKILL);
  }

  int worst_code() const {
    int worst = kOk;
    for (const Process& process : processes_) {
      const int code = WIFEXITED(process.status) ? WEXITSTATUS(process.status) : kFailed;
      if (code == kUsage) return kUsage;
      if (failed(process)) worst = kFailed;
      if (code == kInterrupted && worst == kOk) worst = kInterrupted;
    }
    return worst;
  }

  std::vector<Process>& processes_;
  const LaunchOptions& options_;
  std::size_t running_;
  bool failure_ = false, stopping_ = false, killed_ = false;
  int interrupts_ = 0;
  Clock::time_point deadline_ = Clock::time_point::max();  ///< then those that still run are killed
};

}  // namespace

bool is_launched() { return std::getenv(kMark) != nullptr; }

int launch(char** argv, std::int64_t count, const LaunchOptions& options) {
  for (const int number : kStopSignals) {
    if (is_heard(number)) std::signal(number, note_signal);
  }
  const std::string program = own_program();
  for (std::int64_t restart = 0;; ++restart) {
    const MeetingPoint meeting;
    std::vector<Process> processes;
    for (std::int64_t rank = 0; rank < count; ++rank) processes.push_back(start(program, argv, rank, count, meeting));
    Watch watch(processes, options);
    const int code = watch.run();
    if (code != kFailed || watch.stopping() || restart == options.max_restarts) return code;
    log::warn(str("restart ", restart + 1, " of ", options.max_restarts));
  }
}

}  // namespace axlstm::launch
