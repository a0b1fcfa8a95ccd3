#include "axlstm/downstream/training_probe.h"

#include <memory>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/downstream/nearest.h"
#include "axlstm/embed/embedder.h"
#include "axlstm/hear/task.h"

namespace axlstm::downstream {

TrainingProbe open_probe(const config::RunConfig& config, const torch::Device& device) {
  const auto folder = expand_home(config.eval.probe);
  if (!hear::is_task_folder(folder)) {
    throw UsageError(str("eval.probe: ", folder.string(), " is no HEAR task (a folder with task_metadata.json)"));
  }
  const auto task = std::make_shared<NearestNeighbourProbe>(folder, static_cast<int>(config.audio.sample_rate),
                                                            config.eval.probe_clips);
  log::info("probe of " + task->description());
  return [task, config, device](model::Encoder encoder) -> std::optional<double> {
    embed::Embedder embedder(std::move(encoder), config.audio, config.embedding, {config.train.precision, device});
    try {
      return task->score(embedder);
    } catch (const std::exception& failure) {
      log::warn("no probe: " + message_of(failure));
      return std::nullopt;
    }
  };
}

}  // namespace axlstm::downstream
