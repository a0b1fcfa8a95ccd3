#include "process.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include "axlstm/core/files.h"
#include "axlstm/core/process.h"

namespace axlstm::test {
namespace {

std::string temporary_file() {
  std::string name = "/tmp/axlstm-process-XXXXXX";
  const int descriptor = ::mkstemp(name.data());
  if (descriptor < 0) throw std::runtime_error("no temporary file");
  ::close(descriptor);
  return name;
}

}  // namespace

Process::Process(const std::vector<std::string>& arguments, long limit_file_kb, int outputs, const Pipes& pipes)
    : out_file_(temporary_file()), err_file_(temporary_file()) {
  const std::string program = std::string(AXLSTM_BIN) + "/" + arguments.front();
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (std::size_t n = 1; n < arguments.size(); ++n) argv.push_back(const_cast<char*>(arguments[n].c_str()));
  argv.push_back(nullptr);
  pid_ = start_process(program.c_str(), argv.data(), [&] {
    ::dup2(pipes.input >= 0 ? pipes.input : ::open("/dev/null", O_RDONLY), STDIN_FILENO);
    const int output = pipes.output >= 0 ? pipes.output : outputs;
    ::dup2(output >= 0 ? output : ::open(out_file_.c_str(), O_WRONLY), STDOUT_FILENO);
    ::dup2(outputs >= 0 ? outputs : ::open(err_file_.c_str(), O_WRONLY), STDERR_FILENO);
    if (limit_file_kb > 0) {
      const rlimit limit{static_cast<rlim_t>(limit_file_kb) * 1024, static_cast<rlim_t>(limit_file_kb) * 1024};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      std::signal(SIGXFSZ, SIG_IGN);  // write() then fails with EFBIG
    }
  });
  if (pid_ < 0) throw std::runtime_error(program + " cannot be started");
}

Process::~Process() {
  if (!reaped_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
  }
  ::unlink(out_file_.c_str());
  ::unlink(err_file_.c_str());
}

void Process::signal(int number) const { ::kill(pid_, number); }

bool Process::running() {
  if (!reaped_) reaped_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return !reaped_;
}

std::string Process::out() const { return read_file(out_file_); }

std::string Process::err() const { return read_file(err_file_); }

ProcessResult Process::wait() {
  if (!reaped_) ::waitpid(pid_, &status_, 0);
  reaped_ = true;
  return {exit_code_of(status_), read_file(out_file_), read_file(err_file_)};
}

ProcessResult run(const std::vector<std::string>& arguments) { return Process(arguments).wait(); }

}  // namespace axlstm::test
