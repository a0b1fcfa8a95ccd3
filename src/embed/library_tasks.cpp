// For Python: sound files as tensors, other sample rates, and HEAR tasks embedded by whatever Python has, file by file
// in the order and the layout of write_task_embeddings().
#include <torch/custom_class.h>
#include <torch/torch.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "axlstm/audio/resample.h"
#include "axlstm/core/error.h"
#include "axlstm/embed/task_embeddings.h"
#include "axlstm/features/log_mel.h"

namespace axlstm::embed {
namespace {

/// Mono samples [T] float32 of a sound file at `sample_rate` Hz, or at its own rate, and that rate.
std::tuple<torch::Tensor, std::int64_t> decode(const std::string& path, std::optional<std::int64_t> sample_rate) {
  auto wave = audio::decode_file(path);
  if (sample_rate) {
    AXLSTM_CHECK(*sample_rate > 0, "decode: the sample rate is ", *sample_rate, ", it must be above 0");
    wave = audio::resample(std::move(wave), static_cast<int>(*sample_rate));
  }
  const std::int64_t rate = wave.sample_rate;
  return {features::as_tensor(std::move(wave)), rate};
}

/// Mono samples [T] at another rate, as decode() gives them of a file.
torch::Tensor resample(const torch::Tensor& waveform, std::int64_t from_rate, std::int64_t to_rate) {
  AXLSTM_CHECK(waveform.dim() == 1 && waveform.numel() > 0, "resample: the waveform is ", waveform.sizes(),
               ", it must be [samples], mono");
  AXLSTM_CHECK(from_rate > 0 && to_rate > 0, "resample: the sample rates are ", from_rate, " and ", to_rate,
               ", both must be above 0");
  const auto samples = waveform.detach().to(torch::kCPU, torch::kFloat32).contiguous();
  const float* first = samples.const_data_ptr<float>();
  audio::Waveform wave{{first, first + samples.numel()}, static_cast<int>(from_rate)};
  return features::as_tensor(audio::resample(std::move(wave), static_cast<int>(to_rate)));
}

/// write_task_embeddings() turned inside out: a thread writes, and waits while Python embeds the files that next()
/// named.
class TaskWriter final : public torch::CustomClassHolder {
 public:
  TaskWriter(const std::string& task, const std::string& output, std::int64_t sample_rate, std::int64_t batch_files,
             std::string source) {
    TaskEmbeddingsOptions options;
    options.sample_rate = static_cast<int>(sample_rate);
    options.batch_files = static_cast<int>(batch_files);
    options.per_file = true;
    options.source = std::move(source);
    thread_ = std::thread([this, task, output, options] {
      std::exception_ptr failure;
      try {
        const EmbedFiles embed = [this](const auto& files) { return ask(files); };
        write_task_embeddings(task, output, embed, options);
      } catch (...) {
        failure = std::current_exception();
      }
      const std::lock_guard lock(mutex_);
      failure_ = failure;
      finished_ = true;
      changed_.notify_all();
    });
  }

  ~TaskWriter() override {
    {
      const std::lock_guard lock(mutex_);
      given_up_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }
  TaskWriter(const TaskWriter&) = delete;
  TaskWriter& operator=(const TaskWriter&) = delete;

  /// The files to embed next; none if the task is finished. Throws what went wrong.
  std::vector<std::string> next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_ || !asked_.empty(); });
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    std::vector<std::string> files;
    files.reserve(asked_.size());
    for (const auto& file : asked_) files.push_back(file.string());
    return files;
  }

  /// Their embeddings: of a scene [W]; of a clip with events [S, W] with times [S] in milliseconds, else empty ones.
  void give(const std::vector<torch::Tensor>& embeddings, const std::vector<torch::Tensor>& times_ms) {
    std::vector<FileEmbedding> given;
    AXLSTM_CHECK(embeddings.size() == times_ms.size(), "give: ", embeddings.size(), " embeddings, ", times_ms.size(),
                 " times");
    for (std::size_t n = 0; n < embeddings.size(); ++n) {
      const auto times = times_ms[n].detach().to(torch::kCPU, torch::kFloat64).contiguous();
      const auto* first = times.const_data_ptr<double>();
      given.push_back({embeddings[n].detach().to(torch::kCPU, torch::kFloat32).contiguous(),
                       std::vector<double>(first, first + times.numel())});
    }
    const std::lock_guard lock(mutex_);
    given_ = std::move(given);
    asked_.clear();
    changed_.notify_all();
  }

 private:
  std::vector<FileEmbedding> ask(const std::vector<std::filesystem::path>& files) {
    std::unique_lock lock(mutex_);
    asked_ = files;
    given_.reset();
    changed_.notify_all();
    changed_.wait(lock, [&] { return given_up_ || given_; });
    AXLSTM_CHECK(given_, "given up");
    return *std::exchange(given_, std::nullopt);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::filesystem::path> asked_;  ///< until they are given
  std::optional<std::vector<FileEmbedding>> given_;
  bool finished_ = false, given_up_ = false;
  std::exception_ptr failure_;
  std::thread thread_;  ///< last: it uses the rest
};

}  // namespace

TORCH_LIBRARY_FRAGMENT(axlstm, library) {
  library.def("decode(str path, int? sample_rate=None) -> (Tensor, int)", decode);
  library.def("resample(Tensor waveform, int from_rate, int to_rate) -> Tensor", resample);
  using Self = c10::intrusive_ptr<TaskWriter>;
  library.class_<TaskWriter>("TaskWriter")
      .def(torch::init<std::string, std::string, std::int64_t, std::int64_t, std::string>())
      .def("next", [](const Self& self) { return self->next(); })
      .def("give", [](const Self& self, const std::vector<torch::Tensor>& embeddings,
                      const std::vector<torch::Tensor>& times_ms) { self->give(embeddings, times_ms); });
}

}  // namespace axlstm::embed
