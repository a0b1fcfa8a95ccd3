// `hear-eval --config`: tasks and models → embeddings → scores → report, in one command.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/config/hear_schema.h"
#include "axlstm/core/exit_code.h"

namespace axlstm::suite {

class Suite {
 public:
  /// Throws UsageError or Error naming a model without a usable name or a task that is not there.
  explicit Suite(const config::HearConfig& config);

  /// Writes <output>/embeddings/<model>/<task>; what is there is left. A task that fails is reported and passed over.
  void embed();

  /// Scores of what was embedded → <output>/scores/<model>_<seed>/<task> and <output>/report; what is there is not
  /// computed again. Ends when `stop` turns true.
  ExitCode evaluate(const std::atomic<bool>& stop) const;

 private:
  struct NamedModel {
    std::string name, checkpoint;
  };
  static NamedModel parse_model(const std::string& text);
  static std::vector<NamedModel> parse_models(const std::vector<std::string>& texts);

  config::HearConfig config_;
  std::vector<NamedModel> models_;
  std::vector<std::filesystem::path> tasks_;
  std::filesystem::path output_;
  std::vector<std::filesystem::path> embedded_;  ///< folders of embeddings that are there
};

}  // namespace axlstm::suite
