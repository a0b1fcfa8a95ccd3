#include "axlstm/core/cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <vector>

namespace axlstm {
namespace {

namespace fs = std::filesystem;

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

/// The cores that this thread's process may run on.
class Affinity {
 public:
  Affinity() {
    for (cores_ = 1024; cores_ <= 1 << 20; cores_ *= 2) {  // the kernel refuses a set that is smaller than its own
      set_.assign(CPU_ALLOC_SIZE(cores_) / sizeof(cpu_set_t), cpu_set_t{});
      if (::sched_getaffinity(0, size(), set_.data()) == 0) return;
    }
    set_.clear();
  }

  int count() const {
    if (set_.empty()) return static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
    return CPU_COUNT_S(size(), set_.data());
  }

  std::string text() const {
    std::ostringstream numbers;
    for (std::size_t core = 0; !set_.empty() && core < cores_; ++core) {
      if (CPU_ISSET_S(core, size(), set_.data())) numbers << core << ",";
    }
    return numbers.str();
  }

 private:
  std::size_t size() const { return set_.size() * sizeof(cpu_set_t); }

  std::size_t cores_ = 0;
  std::vector<cpu_set_t> set_;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream rest(text);
  for (std::string part; std::getline(rest, part, at);) parts.push_back(part);
  return parts;
}

bool contains(const std::vector<std::string>& list, const char* word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

/// A positive whole number at the beginning of a text; nothing otherwise.
std::optional<long long> number_in(const std::string& text) {
  long long value = 0;
  const auto start = text.find_first_not_of(" \t");
  if (start == std::string::npos) return std::nullopt;
  const auto [end, status] = std::from_chars(text.data() + start, text.data() + text.size(), value);
  return status == std::errc() && value > 0 ? std::optional(value) : std::nullopt;
}

std::optional<long long> number_in_file(const fs::path& path) {
  std::string line;
  std::ifstream file(path);
  return std::getline(file, line) ? number_in(line) : std::nullopt;
}

/// Cores that the quota of one folder of cgroup v2 amounts to: cpu.max holds "quota period" or "max period".
double quota_v2(const fs::path& folder) {
  std::string line;
  std::ifstream file(folder / "cpu.max");
  if (!std::getline(file, line)) return kNoLimit;
  const auto quota = number_in(line), period = number_in(line.substr(std::min(line.find(' '), line.size())));
  return quota && period ? static_cast<double>(*quota) / static_cast<double>(*period) : kNoLimit;
}

double quota_v1(const fs::path& folder) {
  const auto quota = number_in_file(folder / "cpu.cfs_quota_us"), period = number_in_file(folder / "cpu.cfs_period_us");
  return quota && period ? static_cast<double>(*quota) / static_cast<double>(*period) : kNoLimit;  // −1: no limit
}

/// A hierarchy of control groups as this process sees it.
struct Hierarchy {
  bool v2 = false;
  std::string group;  ///< of this process, from the hierarchy's root
  fs::path mounted_from, mount_point;
};

/// Spaces and the like are written as \040 there.
std::string unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size() &&
                         text.find_first_not_of("01234567", i + 1) >= std::min(i + 4, text.size());
    plain += escaped ? static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)) : text[i];
    if (escaped) i += 3;
  }
  return plain;
}

/// The groups of this process that limit CPU time, with the places where they can be looked at.
std::vector<Hierarchy> hierarchies(const fs::path& root) {
  std::optional<std::string> group_v1, group_v2;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:group, for v2 0::group
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (controllers.empty()) group_v2 = line.substr(second + 1);
    if (contains(split(controllers, ','), "cpu")) group_v1 = line.substr(second + 1);
  }
  std::vector<Hierarchy> found;
  std::ifstream mounts(root / "proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const auto dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const auto before = split(line.substr(0, dash), ' '), after = split(line.substr(dash + 3), ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    const bool v2 = after[0] == "cgroup2", v1 = after[0] == "cgroup" && contains(split(after[2], ','), "cpu");
    const auto& group = v2 ? group_v2 : group_v1;
    if ((v1 || v2) && group) found.push_back({v2, *group, unescape(before[3]), unescape(before[4])});
  }
  return found;
}

/// The least quota from the process's group up to where the hierarchy is mounted.
double quota_of(const Hierarchy& hierarchy, const fs::path& root) {
  const auto quota = hierarchy.v2 ? quota_v2 : quota_v1;
  const fs::path top = root / hierarchy.mount_point.relative_path();
  // A container often sees its own group mounted as the top, under a name from outside of it.
  const fs::path below = fs::path(hierarchy.group).lexically_relative(hierarchy.mounted_from);
  double least = quota(top);
  fs::path folder = top;
  if (below.empty() || *below.begin() == "..") return least;
  for (const fs::path& part : below) least = std::min(least, quota(folder /= part));
  return least;
}

}  // namespace

CoreLimits process_core_limits() { return {Affinity().count(), "/", process_environment()}; }

int allowed_cores(const CoreLimits& limits, int sharers) {
  const auto slurm = [&](const char* name) {
    const auto value = limits.environment ? number_in(limits.environment(name).value_or("")) : std::nullopt;
    return value ? static_cast<double>(*value) : kNoLimit;
  };
  double cores = std::min(static_cast<double>(limits.affinity), slurm("SLURM_CPUS_ON_NODE"));
  for (const Hierarchy& hierarchy : hierarchies(limits.root)) cores = std::min(cores, quota_of(hierarchy, limits.root));
  cores = std::min(std::floor(std::ceil(cores) / std::max(sharers, 1)), slurm("SLURM_CPUS_PER_TASK"));
  return std::max(static_cast<int>(cores), 1);
}

int allowed_cores(int sharers) { return allowed_cores(process_core_limits(), sharers); }

std::string affinity_mask() { return Affinity().text(); }

int threads_asked_for(const Environment& environment) {
  for (const char* name : {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}) {
    if (const auto value = number_in(environment(name).value_or("")))
      return static_cast<int>(std::min(*value, 1LL << 16));
  }
  return 0;
}

}  // namespace axlstm
