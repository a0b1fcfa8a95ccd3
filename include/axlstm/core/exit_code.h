// Exit codes of all programs, as documented in docs/commands.md.
#pragma once

namespace axlstm {

enum ExitCode : int {
  kOk = 0,
  kFailed = 1,        ///< something went wrong; the message says what
  kUsage = 2,         ///< the command line or configuration is wrong
  kSomeFailed = 3,    ///< done, but some files could not be used
  kInterrupted = 75,  ///< stopped by a signal after saving; the same command resumes
};

}  // namespace axlstm
