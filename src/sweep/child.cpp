#include "axlstm/sweep/child.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "axlstm/core/error.h"
#include "axlstm/core/process.h"

extern char** environ;

namespace axlstm::sweep {
namespace {

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& changes) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!changes.contains(text.substr(0, text.find('=')))) merged.push_back(text);
  }
  for (const auto& [name, value] : changes) merged.push_back(name + "=" + value);
  return merged;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

int run_child(const std::vector<std::string>& command, const ChildOptions& options) {
  std::vector<std::string> arguments = command, environment = merged_environment(options.environment);
  std::vector<char*> argv = pointers_to(arguments), envp = pointers_to(environment);
  const int log = ::open(options.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  AXLSTM_CHECK(log >= 0, options.log.string(), ": ", std::strerror(errno));
  const pid_t child = start_process(argv[0], argv.data(), [&] {
    ::dup2(log, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
    environ = envp.data();
  });
  const int failure = errno;
  ::close(log);
  AXLSTM_CHECK(child > 0, command.front(), ": cannot be started (", std::strerror(failure), ")");
  constexpr auto kPoll = std::chrono::milliseconds(50);
  bool told = false;
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (options.stop != nullptr && *options.stop && !told) {
      ::kill(child, SIGTERM);
      told = true;
    }
    std::this_thread::sleep_for(kPoll);
  }
  const int code = exit_code_of(status);
  AXLSTM_CHECK(code != kCannotStart, command.front(), ": cannot be started");
  return code;
}

}  // namespace axlstm::sweep
