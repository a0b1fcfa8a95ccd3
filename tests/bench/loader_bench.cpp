// How many crops a second the loader delivers from a packed folder or a folder of audio files.
// Usage: loader_bench FOLDER [--batch 256] [--workers 16] [--seconds 10] [--device cpu|cuda]
//
// "delivered" leaves log-mel of samples (or the conversion of float16 log-mel) out: on a GPU it is done there.
#include <torch/torch.h>

#include <CLI/CLI.hpp>

#include <iomanip>
#include <iostream>

#include "axlstm/core/cores.h"
#include "axlstm/core/duration.h"
#include "axlstm/data/loader.h"

namespace {

using namespace axlstm;

/// Passes crops on as they are.
class RawSource final : public data::ClipSource {
 public:
  explicit RawSource(std::shared_ptr<data::ClipSource> inner)
      : ClipSource("the benchmark", 0), inner_(std::move(inner)) {}
  std::int64_t size() const override { return inner_->size(); }
  std::string id(std::int64_t clip) const override { return inner_->id(clip); }
  std::string labels(std::int64_t) const override { return {}; }
  data::CropBatch allocate(std::int64_t batch, std::int64_t frames, bool pinned) const override {
    return inner_->allocate(batch, frames, pinned);
  }
  std::int64_t frames(std::int64_t clip) override { return inner_->frames(clip); }
  void read(std::int64_t clip, const StartOf& start, data::CropBatch& batch, std::int64_t row) override {
    inner_->read(clip, start, batch, row);
  }
  torch::Tensor spectrogram(const data::CropBatch& batch, const torch::Device& device) override {
    return batch.data.to(device, /*non_blocking=*/true);
  }

 private:
  std::shared_ptr<data::ClipSource> inner_;
};

double crops_per_second(std::shared_ptr<data::ClipSource> source, const data::LoaderOptions& options, double seconds) {
  data::Loader loader(std::move(source), options, 0);
  for (int n = 0; n < 3; ++n) loader.next();
  torch::Tensor last;
  std::int64_t batches = 0;
  const auto start = std::chrono::steady_clock::now();
  while (seconds_since(start) < seconds) {
    last = loader.next().spectrogram;
    ++batches;
  }
  last.flatten()[0].item<float>();  // the GPU has done its work too
  return static_cast<double>(batches * options.batch_size) / seconds_since(start);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Crops a second from a packed folder or a folder of audio."};
  std::string folder, device = "cpu";
  data::LoaderOptions options{.seed = 1, .batch_size = 256, .frames = 200};
  options.workers = allowed_cores();
  double seconds = 10;
  app.add_option("folder", folder)->required();
  app.add_option("--batch", options.batch_size);
  app.add_option("--workers", options.workers);
  app.add_option("--seconds", seconds);
  app.add_option("--device", device);
  CLI11_PARSE(app, argc, argv);
  options.device = torch::Device(device);
  data::DataOptions data;
  (std::filesystem::exists(std::filesystem::path(folder) / "pack.json") ? data.packed : data.root) = folder;
  data.cache_mb = 0;
  const auto source = data::open_clips(data, {});
  options.batch_size = std::min(options.batch_size, source->size());
  std::cout << source->size() << " clips, batches of " << options.batch_size << ", " << options.workers << " workers\n"
            << std::fixed << std::setprecision(0) << "delivered    "
            << crops_per_second(std::make_shared<RawSource>(source), options, seconds) << " crops/s\n"
            << "spectrograms " << crops_per_second(source, options, seconds) << " crops/s on " << device << "\n";
}
