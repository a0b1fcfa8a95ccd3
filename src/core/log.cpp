#include "axlstm/core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <mutex>

namespace axlstm::log {
namespace {

std::mutex progress_mutex;
bool live_line_open = false;
std::atomic<bool> has_source = false;

spdlog::logger& logger() {
  static const auto instance = [] {
    auto created = spdlog::stderr_color_mt("axlstm");
    created->set_pattern("%^%H:%M:%S %l%$ %v");
    return created;
  }();
  return *instance;
}

void close_live_line() {
  if (live_line_open) {
    std::fputc('\n', stderr);
    live_line_open = false;
  }
}

void write(spdlog::level::level_enum level, const std::string& message) {
  const std::lock_guard lock(progress_mutex);
  close_live_line();
  logger().log(level, "{}", message);
}

}  // namespace

void info(const std::string& message) { write(spdlog::level::info, message); }
void warn(const std::string& message) { write(spdlog::level::warn, message); }
void error(const std::string& message) { write(spdlog::level::err, message); }

void warn_for_run(const std::string& message) {
  if (!has_source) warn(message);
}

void set_source(const std::string& name) {
  has_source = true;
  logger().set_pattern("%^%H:%M:%S %l%$ " + name + ": %v");
}

void set_quiet(bool quiet) { logger().set_level(quiet ? spdlog::level::warn : spdlog::level::info); }

bool is_terminal() {
  static const bool terminal = ::isatty(STDERR_FILENO) == 1;
  return terminal;
}

void progress(const std::string& line, bool milestone) {
  if (!is_terminal()) {
    if (milestone) info(line);
    return;
  }
  const std::lock_guard lock(progress_mutex);
  if (!logger().should_log(spdlog::level::info)) return;
  std::fprintf(stderr, "\r\033[K%s", line.c_str());  // \033[K clears what a longer line left behind
  std::fflush(stderr);
  live_line_open = true;
}

}  // namespace axlstm::log
