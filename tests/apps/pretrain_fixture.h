// What the tests of pretrain share: runs that are killed, and what they wrote.
#pragma once

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "fixture.h"

namespace axlstm::test {

/// "step loss" of every record, as written: equal text is equal to the last bit.
inline std::vector<std::string> loss_curve(const std::filesystem::path& run_dir) {
  std::vector<std::string> curve;
  std::istringstream lines(read_file(run_dir / "metrics.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const auto record = nlohmann::json::parse(line);
    curve.push_back(record["step"].dump() + " " + record["loss"].dump());
  }
  return curve;
}

/// Waits for what another process does. ctest's limit ends it if that never comes.
inline void wait_until(Process& process, const std::function<bool()>& is_so) {
  while (!is_so() && process.running()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

class Pretrain : public AppTest {
 protected:
  /// The recipe of a run that ends by what is done to it only, or after `train.max_steps`: no machine is too fast to
  /// kill it in the middle.
  std::vector<std::string> endless(const std::string& name, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), "optim.epochs=20000");
    return pretrain(name, more);
  }

  /// Over the steps from `first` on.
  double mean_loss_of_six(const std::string& name, std::size_t first) const {
    const auto curve = loss_curve(path(name));
    double sum = 0;
    for (std::size_t n = first; n < first + 6; ++n) sum += std::stod(curve.at(n).substr(curve.at(n).find(' ')));
    return sum / 6;
  }

  /// Whole lines of a metrics file that may be written to meanwhile.
  std::int64_t steps_of(const std::string& name) const {
    const auto file = folder_.path() / name / "metrics.jsonl";
    if (!std::filesystem::exists(file)) return 0;
    const std::string lines = read_file(file);
    return std::count(lines.begin(), lines.end(), '\n');
  }

  /// Runs that are killed once they have come to `kills` steps and a checkpoint go on as one that never was.
  void expect_kills_change_nothing(const std::vector<std::int64_t>& kills, const std::vector<std::string>& more) const {
    const auto name_of = [](std::int64_t steps) { return "killed" + std::to_string(steps); };
    std::int64_t most = 0;
    for (const std::int64_t steps : kills) {
      const std::string name = name_of(steps);
      Process process(endless(name, more));
      wait_until(process, [&] {
        return steps_of(name) >= steps && std::filesystem::exists(path(name) + "/checkpoints/step-00000005");
      });
      process.signal(SIGKILL);
      EXPECT_EQ(process.wait().exit_code, 128 + SIGKILL);
      most = std::max(most, steps_of(name));
    }
    auto limited = more;
    limited.push_back("train.max_steps=" + std::to_string(most + 6));  // behind the next checkpoint of all
    ASSERT_EQ(run(endless("unbroken", limited)).exit_code, 0);
    for (const std::int64_t steps : kills) {
      const auto resumed = run(endless(name_of(steps), limited));
      ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
      EXPECT_EQ(loss_curve(path(name_of(steps))), loss_curve(path("unbroken"))) << resumed.err;
      EXPECT_TRUE(last_checkpoint(name_of(steps), most + 6, "model.safetensors") ==
                  last_checkpoint("unbroken", most + 6, "model.safetensors"))
          << "weights differ after a kill behind step " << steps;
    }
  }

  std::string last_checkpoint(const std::string& name, std::int64_t steps, const std::string& file) const {
    char folder[32];
    std::snprintf(folder, sizeof(folder), "step-%08d", static_cast<int>(steps));
    return read_file(folder_.path() / name / "checkpoints" / folder / file);
  }
};

}  // namespace axlstm::test
