#include "axlstm/embed/embed_tasks.h"

#include <torch/torch.h>

#include <algorithm>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/core/parallel.h"
#include "axlstm/runtime/device.h"

namespace axlstm::embed {

namespace fs = std::filesystem;

std::vector<fs::path> embed_tasks(const ModelArguments& model, const std::vector<fs::path>& tasks,
                                  const ExtractionOptions& options) {
  auto devices = runtime::choose_devices(model.device);
  devices.resize(std::min(devices.size(), std::max<std::size_t>(1, tasks.size())), devices.front());
  // All are loaded before any computes: what is wrong with the model is said once, and ends everything.
  std::vector<std::unique_ptr<ClipEncoder>> encoders;
  encoders.reserve(devices.size());
  for (const torch::Device& device : devices) encoders.push_back(open(model, device, encoders.empty()));

  // The GPU does nearly all the work: one CPU thread avoids idle OpenMP threads that spin.
  const int threads = devices.front().is_cuda() ? 1 : torch::get_num_threads();
  ExtractionOptions shared = options;
  shared.side_by_side = static_cast<int>(encoders.size());
  std::vector<char> embedded(tasks.size(), 0);
  for_each_index(tasks.size(), encoders.size(), [&](std::size_t thread) {
    torch::set_num_threads(threads);  // OpenMP keeps the number for each thread
    return [&, &encoder = *encoders[thread]](std::size_t at) {
      try {
        if (!extract_task(encoder, tasks[at], shared)) {
          log::info(str(tasks[at].string(), ": embedded already in ", options.output_dir.string()));
        }
        embedded[at] = 1;
      } catch (const std::exception& failure) {
        log::error(str((options.output_dir.filename() / tasks[at].filename()).string(), ": ", message_of(failure)));
      }
    };
  });
  std::vector<fs::path> done;
  for (std::size_t at = 0; at < tasks.size(); ++at) {
    if (embedded[at] != 0) done.push_back(tasks[at]);
  }
  return done;
}

}  // namespace axlstm::embed
