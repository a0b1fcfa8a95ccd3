#include "axlstm/core/process.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace axlstm {

pid_t start_process(const char* program, char* const* argv, const std::function<void()>& prepare) {
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process != 0) return process;
  prepare();  // first, so that SIGTERM finds its handlers and signal mask
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotStart);  // it ended before it could be watched
  ::execv(program, argv);
  ::_exit(kCannotStart);
}

int exit_code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace axlstm
