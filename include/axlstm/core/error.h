// The one exception type of the library and the check that raises it.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace axlstm {

/// Raised for everything a user can cause: a missing file, a bad key, a tensor of the wrong shape.
/// The text names the file, key or tensor, the value found and what to do about it.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An error in what was asked for (command line, configuration) rather than in the data: exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// What went wrong, without the C++ stack trace that LibTorch appends.
inline std::string message_of(const std::exception& failure) {
  const std::string text = failure.what();
  return text.substr(0, text.find("\nException raised from"));
}

/// Concatenates its arguments as operator<< prints them.
template <typename... Args>
std::string str(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

/// Throws UsageError with `message` unless what it asks for holds.
inline void need(bool holds, const std::string& message) {
  if (!holds) throw UsageError(message);
}

}  // namespace axlstm

/// Throws axlstm::Error with the concatenated message unless `condition` holds.
#define AXLSTM_CHECK(condition, ...)                     \
  do {                                                   \
    if (!(condition)) {                                  \
      throw ::axlstm::Error(::axlstm::str(__VA_ARGS__)); \
    }                                                    \
  } while (false)
