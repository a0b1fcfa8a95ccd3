// Environment variables that last as long as an object, to be inherited by programs that a test starts.
#pragma once

#include <cstdlib>
#include <map>
#include <optional>
#include <string>

namespace axlstm::test {

using Values = std::map<std::string, std::string>;

class Variables {
 public:
  explicit Variables(const Values& values) {
    for (const auto& [name, value] : values) {
      const char* before = std::getenv(name.c_str());
      before_[name] = before ? std::optional<std::string>(before) : std::nullopt;
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  ~Variables() {
    for (const auto& [name, value] : before_) {
      if (value) {
        ::setenv(name.c_str(), value->c_str(), 1);
      } else {
        ::unsetenv(name.c_str());
      }
    }
  }
  Variables(const Variables&) = delete;
  Variables& operator=(const Variables&) = delete;

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

}  // namespace axlstm::test
