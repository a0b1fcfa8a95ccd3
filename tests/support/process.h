// Runs the executables as a user does.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace axlstm::test {

struct ProcessResult {
  int exit_code = -1;  ///< 128 + signal if it was killed
  std::string out, err;
};

/// Descriptors that take the place of /dev/null and of the file, where they are not negative.
struct Pipes {
  int input = -1;   ///< its standard input
  int output = -1;  ///< its standard output
};

/// A program under build/…/bin with its standard output and error in files. Ends with the object.
class Process {
 public:
  /// `arguments` begin with the program's name, such as "pretrain". `limit_file_kb` > 0 caps the size of any file it
  /// writes, as a full disk would. `outputs` ≥ 0: a descriptor that takes its standard output and error instead.
  explicit Process(const std::vector<std::string>& arguments, long limit_file_kb = 0, int outputs = -1,
                   const Pipes& pipes = {});
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  bool running();
  std::string out() const;  ///< what it has written to standard output so far, if no descriptor takes it
  std::string err() const;  ///< what it has written to standard error so far
  ProcessResult wait();

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool reaped_ = false;
  std::string out_file_, err_file_;
};

ProcessResult run(const std::vector<std::string>& arguments);

}  // namespace axlstm::test
