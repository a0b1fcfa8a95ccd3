#include "axlstm/embed/embed_tasks.h"

#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/runtime/device.h"

namespace axlstm::embed {

namespace fs = std::filesystem;

std::vector<fs::path> embed_tasks(const ModelArguments& model, const std::vector<fs::path>& tasks,
                                  const ExtractionOptions& options) {
  auto devices = runtime::choose_devices(model.device);
  devices.resize(std::min(devices.size(), std::max<std::size_t>(1, tasks.size())), devices.front());
  // All are loaded before any computes: what is wrong with the model is said once, and ends everything.
  std::vector<std::unique_ptr<ClipEncoder>> encoders;
  for (const torch::Device& device : devices) encoders.push_back(open(model, device, encoders.empty()));

  std::atomic<std::size_t> next = 0;
  std::vector<char> embedded(tasks.size(), 0);
  const auto work = [&](ClipEncoder& encoder) {
    // What is left for the CPU beside a GPU is small; many waiting threads would only stand in the way of other work.
    if (devices.front().is_cuda()) torch::set_num_threads(1);
    for (std::size_t at = next++; at < tasks.size(); at = next++) {
      try {
        if (!extract_task(encoder, tasks[at], options)) {
          log::info(str(tasks[at].string(), ": embedded already in ", options.output_dir.string()));
        }
        embedded[at] = 1;
      } catch (const std::exception& failure) {
        log::error(str((options.output_dir.filename() / tasks[at].filename()).string(), ": ", message_of(failure)));
      }
    }
  };
  std::vector<std::thread> others;
  for (std::size_t index = 1; index < encoders.size(); ++index) {
    others.emplace_back(work, std::ref(*encoders[index]));
  }
  work(*encoders.front());
  for (std::thread& thread : others) thread.join();

  std::vector<fs::path> done;
  for (std::size_t at = 0; at < tasks.size(); ++at) {
    if (embedded[at] != 0) done.push_back(tasks[at]);
  }
  return done;
}

}  // namespace axlstm::embed
