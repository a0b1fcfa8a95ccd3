#include "axlstm/train/trainer.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <mutex>

#include "axlstm/core/cores.h"
#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/random.h"
#include "axlstm/core/zero_padded.h"
#include "axlstm/data/manifest.h"
#include "axlstm/model/masking.h"
#include "axlstm/nn/mlstm_block.h"
#include "axlstm/ops/mlstm_block.h"
#include "axlstm/train/utilization.h"
#include "spin_guard.h"

namespace axlstm::train {
namespace {

using Clock = std::chrono::steady_clock;

/// What speed is measured over: the steps since the last progress line.
struct Window {
  Clock::time_point start;
  std::int64_t first_step = 0;
  double waited = 0;         ///< seconds that the loader had waited by then
  double communicating = 0;  ///< seconds since then
};

torch::Generator generator_for(std::initializer_list<std::uint64_t> parts) {
  return at::make_generator<at::CPUGeneratorImpl>(derive_seed(parts));
}

/// Must come before the first matrix product on a GPU: cuBLAS reads its setting once.
void set_deterministic(bool deterministic) {
  if (deterministic) ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  auto& context = at::globalContext();
  context.setDeterministicAlgorithms(deterministic, /*warn_only=*/true);
  context.setDeterministicFillUninitializedMemory(false);  // a check for reads of unwritten memory, at its cost
  context.setDeterministicCuDNN(deterministic);
}

model::MaskedModel build_model(const RunSpec& spec, const torch::Device& device) {
  if (spec.model.arch == model::Arch::kAxlstm) {
    const auto dtype = compute_dtype(resolve_precision(spec.train.precision, device));
    const std::int64_t dim = spec.model.dim, inner_dim = spec.model.expansion * dim;
    const auto backend = ops::resolve_backend(spec.model.backend, device, dtype, dim, inner_dim, nn::kHeads);
    ops::resolve_isa(spec.model.isa, device, dtype, spec.model.patches() + 1);
    if (spec.model.backend == ops::Backend::kAuto && backend == ops::Backend::kReference && device.is_cuda()) {
      log::warn_for_run(str("slow: LibTorch's operators compute the mLSTM, for the kernels cannot be used: ",
                            ops::fused_block_obstacle(device, dtype, dim, inner_dim, nn::kHeads)));
    }
  }
  torch::manual_seed(derive_seed({static_cast<std::uint64_t>(spec.train.seed), kInitStream}));
  model::MaskedModel model(spec.model);
  model->to(device);
  return model;
}

std::string fingerprint(const data::ClipSource& clips) {
  std::uint64_t state = kFnv1a64Start;
  for (std::int64_t index = 0; index < clips.size(); ++index) state = fnv1a64(clips.id(index) + '\n', state);
  return hex(state);
}

/// Where the part of a batch begins that belongs to `rank`; parts differ by one clip at most.
std::int64_t first_row_of(std::int64_t rank, std::int64_t world_size, std::int64_t batch) {
  return rank * batch / world_size;
}

std::map<std::string, torch::Tensor> as_map(const io::NamedTensors& tensors) {
  return {tensors.begin(), tensors.end()};
}

}  // namespace

torch::Device choose_device(DeviceChoice choice) {
  const bool available = torch::cuda::is_available();
  if (choice == DeviceChoice::kCuda && !available) {
    throw UsageError(
        "the device cuda was asked for, but LibTorch sees none; --doctor shows what it sees, cpu always works");
  }
  static std::once_flag told;
  if (choice == DeviceChoice::kAuto && !available) {
    std::call_once(told, [] {
      log::warn_for_run(
          "no usable GPU (LibTorch sees none, or no driver that is new enough): computing on the CPU; ask for the "
          "device "
          "cpu to silence this");
    });
  }
  return choice == DeviceChoice::kCpu || !available ? torch::kCPU : torch::kCUDA;
}

int cpu_threads(const TrainOptions& options, const ProcessGroup* group) {
  if (options.threads > 0) return static_cast<int>(options.threads);
  const int asked_for = threads_asked_for(process_environment());
  return asked_for > 0 ? asked_for : allowed_cores(static_cast<int>(group ? group->sharers_of_cores() : 1));
}

std::vector<torch::Device> choose_devices(DeviceChoice choice) {
  if (choose_device(choice).is_cpu()) return {torch::kCPU};
  std::vector<torch::Device> devices;
  const auto count = static_cast<torch::DeviceIndex>(torch::cuda::device_count());
  for (torch::DeviceIndex index = 0; index < count; ++index) devices.emplace_back(torch::kCUDA, index);
  return devices;
}

Trainer::Trainer(RunSpec spec, ProcessGroup* group)
    : spec_(std::move(spec)),
      group_(group),
      rows_(spec_.optim.global_batch),
      device_(group_ ? group_->device() : choose_device(spec_.train.device)),
      clips_(data::open_clips(spec_.data, spec_.audio)),
      data_fingerprint_(fingerprint(*clips_)),
      model_(build_model(spec_, device_)),
      optimizer_(*model_, spec_.optim),
      scaler_(device_, resolve_precision(spec_.train.precision, device_) == Precision::kFp16),
      ema_(*model_, spec_.train.ema_decay),
      step_flops_(training_flops(spec_.model) * static_cast<double>(spec_.optim.global_batch)),
      peak_flops_(peak_flops(device_name(device_), resolve_precision(spec_.train.precision, device_))) {
  set_deterministic(spec_.train.deterministic);
  set_float32_arithmetic(resolve_precision(spec_.train.precision, device_));
  torch::set_num_threads(cpu_threads(spec_.train, group_));
  if (group_) {
    const std::int64_t rank = group_->rank(), ranks = group_->world_size(), batch = spec_.optim.global_batch;
    if (batch < ranks)
      throw UsageError(str("optim.global_batch is ", batch, ", ", ranks, " ranks need at least one clip each"));
    first_row_ = first_row_of(rank, ranks, batch);
    rows_ = first_row_of(rank + 1, ranks, batch) - first_row_;
    if (peak_flops_) *peak_flops_ *= static_cast<double>(ranks);
    reducer_.emplace(*model_, *group_, spec_.distributed);
    AXLSTM_CHECK(group_->gather(data_fingerprint_).front() == data_fingerprint_,
                 "this rank sees other training clips than rank 0; is the data the same on all machines?");
  }
  if (leads() && !spec_.data.validation.empty()) validation_.emplace(spec_);
}

void Trainer::resume() {
  const auto checkpoint = load_newest_checkpoint(spec_.train.run_dir);
  if (!checkpoint) return;
  const std::string source = str(spec_.train.run_dir, ", step ", checkpoint->step);
  io::load_state_dict(*model_, checkpoint->model, source);
  optimizer_.load_state(checkpoint->optimizer, source);
  scaler_.load_state(checkpoint->optimizer, source);
  ema_.load_state(checkpoint->ema, source);
  step_ = resumed_step_ = checkpoint->step;
  skipped_steps_ = checkpoint->skipped_steps;
  skipped_in_a_row_ = checkpoint->skipped_in_a_row;
  if (checkpoint->data_fingerprint != data_fingerprint_) {
    log::warn(
        "the list of training clips changed since the checkpoint: the run goes on, but not as an unbroken one would");
  }
  log::info(str("resuming ", spec_.train.run_dir, " at step ", step_));
}

/// Rank 0's state becomes everybody's.
void Trainer::share_state() {
  const auto counters =
      torch::tensor({step_, resumed_step_, skipped_steps_, skipped_in_a_row_}, torch::kInt64).to(device_);
  std::vector<torch::Tensor> tensors{counters};
  for (const auto& state : {io::state_dict(*model_), optimizer_.state(), scaler_.state(), ema_.state()}) {
    for (const auto& [name, tensor] : state) tensors.push_back(tensor);
  }
  group_->broadcast(tensors);
  const auto on_cpu = counters.cpu();
  const auto* values = on_cpu.const_data_ptr<std::int64_t>();
  step_ = values[0];
  resumed_step_ = values[1];
  skipped_steps_ = values[2];
  skipped_in_a_row_ = values[3];
}

void Trainer::open_loader() {
  const auto workers = spec_.data.workers > 0
                           ? spec_.data.workers
                           : allowed_cores(static_cast<int>(group_ ? group_->sharers_of_cores() : 1));
  loader_ = std::make_unique<data::Loader>(clips_,
                                           data::LoaderOptions{.seed = static_cast<std::uint64_t>(spec_.train.seed),
                                                               .batch_size = spec_.optim.global_batch,
                                                               .first_row = first_row_,
                                                               .rows = rows_,
                                                               .frames = spec_.model.frames,
                                                               .workers = workers,
                                                               .device = device_},
                                           step_);
  total_steps_ =
      static_cast<std::int64_t>(std::llround(spec_.optim.epochs * static_cast<double>(loader_->steps_per_epoch())));
  if (group_) log::info(str(group_->description(), "; ", rows_, " clips of each batch on rank ", group_->rank()));
  log::info(str(model::describe(spec_.model), ", ", model::parameter_count(*model_), " parameters"));
  log::info(str(clips_->size(), " clips, ", loader_->steps_per_epoch(), " steps an epoch, batch ",
                spec_.optim.global_batch, ", steps ", step_, " → ", last_step(), " of ", total_steps_));
  if (validation_) log::info(str(validation_->size(), " held-out clips"));
}

std::int64_t Trainer::last_step() const {
  return spec_.train.max_steps > 0 ? std::min(spec_.train.max_steps, total_steps_) : total_steps_;
}

RunStatus Trainer::run(const std::atomic<bool>& stop) {
  const std::filesystem::path run_dir = spec_.train.run_dir;
  if (leads()) {
    std::error_code failure;
    std::filesystem::create_directories(run_dir / "pictures", failure);
    AXLSTM_CHECK(!failure, run_dir.string(), ": cannot be created (", failure.message(), ")");
    data::report_unmatched(clips_->unmatched(), run_dir);
    resume();
  }
  if (group_) {
    group_->training_begins();
    share_state();
  }
  open_loader();
  std::optional<MetricsFile> metrics;
  std::optional<TensorBoard> tensorboard;
  if (leads()) {
    if (step_ < last_step()) rehearse_checkpoint(run_dir, checkpoint());
    writer_ =
        std::make_unique<CheckpointWriter>(run_dir, Retention{spec_.train.keep_last, spec_.train.keep_every_steps});
    metrics.emplace(run_dir, step_);
    tensorboard.emplace(run_dir, step_, spec_.config_yaml);
  }
  const auto draw = [&] {
    if (const auto picture = draw_picture()) tensorboard->picture(step_, *picture);
  };
  if (leads() && step_ == 0) draw();

  Window window{Clock::now(), step_};
  const auto every = [&](std::int64_t steps) { return step_ % steps == 0 || step_ == last_step(); };
  bool stopping = !group_ && stop;
  std::optional<SpinGuard> spin_guard;
  if (device_.is_cpu()) spin_guard.emplace();
  while (step_ < last_step() && !stopping) {
    const double lr = learning_rate(spec_.optim, epoch());
    const StepResult result = train_one_step(lr, stop);
    stopping = group_ ? result.stop : stop.load();
    if (spin_guard) spin_guard->look();
    if (!leads()) continue;
    window.communicating += result.seconds_communicating;
    const double seconds = seconds_since(window.start);
    const double seconds_a_step = seconds / static_cast<double>(step_ - window.first_step);
    StepRecord record{step_,
                      epoch(),
                      result.loss,
                      lr,
                      result.grad_norm,
                      static_cast<double>(spec_.optim.global_batch) / seconds_a_step,
                      std::min((loader_->seconds_waited() - window.waited) / seconds, 1.0),
                      skipped_steps_};
    record.memory_gb = peak_memory_gb(device_);
    if (peak_flops_) record.mfu = step_flops_ / seconds_a_step / *peak_flops_;
    if (group_) record.communication = std::min(window.communicating / seconds, 1.0);
    if (validation_ && every(spec_.train.validate_every_steps)) record.validation_loss = validation_->loss(model_);
    if (probe_ && every(spec_.eval.probe_every_epochs * loader_->steps_per_epoch())) record.probe = run_probe();
    const bool milestone = every(spec_.train.log_every_steps);
    metrics->write(record);
    if (milestone || record.validation_loss || record.probe) tensorboard->write(record);
    const double left = seconds_a_step * static_cast<double>(last_step() - step_);
    log::progress(str(progress_line(record, last_step()), " | ETA ", format_duration(left)), milestone);
    if (milestone) window = {Clock::now(), step_, loader_->seconds_waited()};
    if (every(spec_.train.picture_every_steps)) draw();
    // Weights with which steps are being skipped must not push out the checkpoints from before.
    if (step_ % spec_.train.save_every_steps == 0 && skipped_in_a_row_ == 0) writer_->start(checkpoint());
  }
  if (leads()) {
    metrics->finish();  // before the checkpoint with which their steps will not be made again
    writer_->wait();
    if (writer_->written_step().value_or(resumed_step_) != step_) writer_->start(checkpoint());
    writer_->finish();
  }
  return step_ < last_step() ? RunStatus::kInterrupted : RunStatus::kFinished;
}

double Trainer::epoch() const { return static_cast<double>(step_) / static_cast<double>(loader_->steps_per_epoch()); }

/// Of this rank's part of a batch. The numbers are drawn for the whole batch, so that ranks do not change them.
torch::Tensor Trainer::draw_noise(std::int64_t step) const {
  return model::draw_mask_noise(spec_.optim.global_batch, spec_.model, spec_.mask,
                                generator_for({static_cast<std::uint64_t>(spec_.train.seed), kMaskStream,
                                               static_cast<std::uint64_t>(step)}))
      .narrow(0, first_row_, rows_);
}

StepResult Trainer::train_one_step(double lr, bool stop) {
  const data::Batch batch = loader_->next();
  const auto noise = noise_ahead_.valid() ? noise_ahead_.get() : draw_noise(step_);
  // Its time grows with the number of ranks, and the device would wait for it.
  noise_ahead_ = std::async(std::launch::async, [this, step = step_ + 1] { return draw_noise(step); });
  std::optional<SharedStep> shared;
  if (group_) shared.emplace(SharedStep{*group_, *reducer_, stop});
  const StepResult result = [&] {
    try {
      return training_step(model_, optimizer_, batch.spectrogram, noise, lr, spec_, &scaler_,
                           shared ? &*shared : nullptr);
    } catch (const c10::OutOfMemoryError&) {
    }
    // Only here: what the exception keeps alive would be missing.
    throw Error(out_of_memory_message(batch, noise));
  }();
  ++step_;
  if (result.skipped) {
    count_skipped(result, batch, noise);
  } else {
    skipped_in_a_row_ = 0;
    ema_.update();
  }
  return result;
}

/// What to set so that a step for which the device's memory was too small can be made.
std::string Trainer::out_of_memory_message(const data::Batch& batch, const torch::Tensor& noise) {
  const std::int64_t fitting = largest_fitting_batch(model_, batch.spectrogram, noise, spec_);
  const std::string problem = str("step ", step_ + 1, ": out of memory on ", device_.str(), " with ",
                                  device_batch(spec_, batch.spectrogram.size(0)), " clips at once; ");
  if (fitting == 0)
    return problem + "not even one fits beside the model: choose a smaller model.size or another device";
  return str(problem, fitting, " fit: set train.device_batch=", fitting,
             ", gradients are accumulated over the same optim.global_batch. The newest checkpoint is whole");
}

/// Where a skipped step stops being finite, in the first clip of the whole batch that leads to it.
std::string Trainer::locate_non_finite(const data::Batch& batch, const torch::Tensor& noise) {
  const NonFinite found = find_non_finite(model_, batch.spectrogram, noise, spec_);
  std::string place = found.place;
  if (found.row >= 0) place += ", clip " + clips_->id(batch.clips[static_cast<std::size_t>(found.row)]);
  if (!group_) return place;
  // Parts of the batch are in the order of the ranks.
  for (const std::string& other : group_->gather((found.row >= 0 ? "+" : "-") + place)) {
    if (other.front() == '+') return other.substr(1);
  }
  return place;
}

/// Says what a skipped step ran into, and ends the run when there are too many in a row. Gradients that overflow while
/// float16's loss scale finds its size are nothing to look into.
void Trainer::count_skipped(const StepResult& result, const data::Batch& batch, const torch::Tensor& noise) {
  ++skipped_steps_;
  ++skipped_in_a_row_;
  std::string message =
      str("step ", step_, " was skipped: the loss is ", result.loss, ", the gradient norm ", result.grad_norm);
  const bool last = skipped_in_a_row_ >= spec_.train.max_skipped_steps;
  const bool scaling = scaler_.enabled() && std::isfinite(result.loss);
  if (last || (skipped_in_a_row_ == 1 && !scaling)) message += "; not finite first: " + locate_non_finite(batch, noise);
  AXLSTM_CHECK(!last, message, "; ", skipped_in_a_row_, " in a row are as many as train.max_skipped_steps allows. ",
               "The newest checkpoint is from before; start a new train.run_dir with a lower optim.base_lr or with "
               "optim.clip_grad_norm");
  if (leads()) log::warn(str(message, " (", skipped_steps_, " skipped so far)"));
}

std::optional<double> Trainer::run_probe() {
  const auto dtype = compute_dtype(resolve_precision(spec_.train.precision, device_));
  const Autocast autocast(device_.type(), dtype, dtype != at::kFloat);
  const auto score = probe_(model_);
  model_->train();
  return score;
}

Checkpoint Trainer::checkpoint() {
  auto optimizer_state = optimizer_.state();
  for (auto& tensor : scaler_.state()) optimizer_state.push_back(std::move(tensor));
  return {step_,
          as_map(io::state_dict(*model_)),
          as_map(optimizer_state),
          spec_.config_yaml,
          data_fingerprint_,
          skipped_steps_,
          skipped_in_a_row_,
          as_map(ema_.state())};
}

std::optional<std::filesystem::path> Trainer::draw_picture() {
  const torch::NoGradGuard no_grad;
  const auto seed = static_cast<std::uint64_t>(spec_.train.seed);
  const auto size = clips_->size();
  auto crops = clips_->allocate(1, spec_.model.frames, /*pinned=*/false);
  const auto first =
      static_cast<std::int64_t>(uniform_below(derive_seed({seed, kPictureStream}), static_cast<std::uint64_t>(size)));
  for (std::int64_t attempt = 0; attempt < size; ++attempt) {
    try {
      clips_->read_crop((first + attempt) % size, derive_seed({seed, kPictureStream}), crops, 0);
    } catch (const Error&) {
      continue;  // the loader reports it
    }
    const auto crop = clips_->spectrogram(crops, device_);
    const auto noise = model::draw_mask_noise(1, spec_.model, spec_.mask, generator_for({seed, kPictureStream}));
    const auto mask = model::mask_from_noise(noise.to(device_), spec_.model, spec_.mask);
    const std::string name = str("step-", zero_padded(static_cast<std::uint64_t>(step_), 8), ".png");
    const std::filesystem::path path = std::filesystem::path(spec_.train.run_dir) / "pictures" / name;
    try {
      const auto prediction = model_->reconstruct(crop, mask);
      write_reconstruction(path, crop, mask, prediction, spec_.model, spec_.loss);
      return path;
    } catch (const Error& failure) {  // a full disk costs this picture, not the run
      log::warn(failure.what());
    } catch (const c10::OutOfMemoryError&) {
      log::warn(str(path.string(), ": not drawn, out of memory"));
    }
    return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace axlstm::train
