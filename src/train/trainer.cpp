#include "axlstm/train/trainer.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/random.h"
#include "axlstm/data/manifest.h"
#include "axlstm/model/masking.h"
#include "axlstm/nn/mlstm_block.h"
#include "axlstm/ops/mlstm_block.h"

namespace axlstm::train {
namespace {

using Clock = std::chrono::steady_clock;

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
    ops::resolve_backend(spec.model.backend, device, dtype, spec.model.dim, spec.model.expansion * spec.model.dim,
                         nn::kHeads);  // throws if it cannot run
  }
  torch::manual_seed(derive_seed({static_cast<std::uint64_t>(spec.train.seed), kInitStream}));
  model::MaskedModel model(spec.model);
  model->to(device);
  return model;
}

std::string fingerprint(const data::ClipSource& clips) {
  std::string ids;
  for (std::int64_t index = 0; index < clips.size(); ++index) ids += clips.id(index) + '\n';
  return fnv1a64_hex(ids);
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
  return choice == DeviceChoice::kCpu || !available ? torch::kCPU : torch::kCUDA;
}

Trainer::Trainer(RunSpec spec)
    : spec_(std::move(spec)),
      device_(choose_device(spec_.train.device)),
      clips_(data::open_clips(spec_.data, spec_.audio)),
      data_fingerprint_(fingerprint(*clips_)),
      model_(build_model(spec_, device_)),
      optimizer_(*model_, spec_.optim),
      scaler_(device_, resolve_precision(spec_.train.precision, device_) == Precision::kFp16),
      ema_(*model_, spec_.train.ema_decay) {
  set_deterministic(spec_.train.deterministic);
  set_float32_arithmetic(resolve_precision(spec_.train.precision, device_));
  if (spec_.train.threads > 0) torch::set_num_threads(static_cast<int>(spec_.train.threads));
  if (!spec_.data.validation.empty()) validation_.emplace(spec_);
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

void Trainer::open_loader() {
  const auto workers = spec_.data.workers > 0
                           ? spec_.data.workers
                           : static_cast<std::int64_t>(std::max(std::thread::hardware_concurrency(), 1U));
  loader_ = std::make_unique<data::Loader>(clips_,
                                           data::LoaderOptions{.seed = static_cast<std::uint64_t>(spec_.train.seed),
                                                               .batch_size = spec_.optim.global_batch,
                                                               .frames = spec_.model.frames,
                                                               .workers = workers,
                                                               .device = device_},
                                           step_);
  total_steps_ =
      static_cast<std::int64_t>(std::llround(spec_.optim.epochs * static_cast<double>(loader_->steps_per_epoch())));
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
  std::error_code failure;
  std::filesystem::create_directories(run_dir / "pictures", failure);
  AXLSTM_CHECK(!failure, run_dir.string(), ": cannot be created (", failure.message(), ")");
  data::report_unmatched(clips_->unmatched(), run_dir);
  resume();
  open_loader();
  writer_ = std::make_unique<CheckpointWriter>(run_dir, Retention{spec_.train.keep_last, spec_.train.keep_every_steps});
  MetricsFile metrics(run_dir, step_);
  TensorBoard tensorboard(run_dir, step_, spec_.config_yaml);
  const auto draw = [&] {
    if (const auto picture = draw_picture()) tensorboard.picture(step_, *picture);
  };
  if (step_ == 0) draw();

  auto window_start = Clock::now();
  std::int64_t window_first = step_;
  double window_waited = 0;
  const auto every = [&](std::int64_t steps) { return step_ % steps == 0 || step_ == last_step(); };
  while (step_ < last_step() && !stop) {
    const double lr = learning_rate(spec_.optim, epoch());
    const StepResult result = train_one_step(lr);
    const double seconds = seconds_since(window_start);
    const double seconds_a_step = seconds / static_cast<double>(step_ - window_first);
    StepRecord record{step_,
                      epoch(),
                      result.loss,
                      lr,
                      result.grad_norm,
                      static_cast<double>(spec_.optim.global_batch) / seconds_a_step,
                      std::min((loader_->seconds_waited() - window_waited) / seconds, 1.0),
                      skipped_steps_};
    if (validation_ && every(spec_.train.validate_every_steps)) record.validation_loss = validation_->loss(model_);
    const bool milestone = every(spec_.train.log_every_steps);
    metrics.write(record);
    if (milestone || record.validation_loss) tensorboard.write(record);
    const double left = seconds_a_step * static_cast<double>(last_step() - step_);
    log::progress(str(progress_line(record, last_step()), " | ETA ", format_duration(left)), milestone);
    if (milestone) {
      window_start = Clock::now();
      window_first = step_;
      window_waited = loader_->seconds_waited();
    }
    if (every(spec_.train.picture_every_steps)) draw();
    // Weights with which steps are being skipped must not push out the checkpoints from before.
    if (step_ % spec_.train.save_every_steps == 0 && skipped_in_a_row_ == 0) save();
  }
  writer_->wait();
  if (writer_->written_step().value_or(resumed_step_) != step_) save();
  writer_->finish();
  return step_ < last_step() ? RunStatus::kInterrupted : RunStatus::kFinished;
}

double Trainer::epoch() const { return static_cast<double>(step_) / static_cast<double>(loader_->steps_per_epoch()); }

StepResult Trainer::train_one_step(double lr) {
  const data::Batch batch = loader_->next();
  const auto noise = model::draw_mask_noise(
      batch.spectrogram.size(0), spec_.model, spec_.mask,
      generator_for({static_cast<std::uint64_t>(spec_.train.seed), kMaskStream, static_cast<std::uint64_t>(step_)}));
  const StepResult result = training_step(model_, optimizer_, batch.spectrogram, noise, lr, spec_, &scaler_);
  ++step_;
  if (result.skipped) {
    count_skipped(result, batch, noise);
  } else {
    skipped_in_a_row_ = 0;
    ema_.update();
  }
  return result;
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
  if (last || (skipped_in_a_row_ == 1 && !scaling)) {
    const NonFinite found = find_non_finite(model_, batch.spectrogram, noise, spec_);
    message += "; not finite first: " + found.place;
    if (found.row >= 0) message += ", clip " + clips_->id(batch.clips[static_cast<std::size_t>(found.row)]);
  }
  AXLSTM_CHECK(!last, message, "; ", skipped_in_a_row_, " in a row are as many as train.max_skipped_steps allows. ",
               "The newest checkpoint is from before; start a new train.run_dir with a lower optim.base_lr or with "
               "optim.clip_grad_norm");
  log::warn(str(message, " (", skipped_steps_, " skipped so far)"));
}

void Trainer::save() {
  auto optimizer_state = optimizer_.state();
  for (auto& tensor : scaler_.state()) optimizer_state.push_back(std::move(tensor));
  writer_->start({step_, as_map(io::state_dict(*model_)), as_map(optimizer_state), spec_.config_yaml, data_fingerprint_,
                  skipped_steps_, skipped_in_a_row_, as_map(ema_.state())});
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
    const auto prediction = model_->reconstruct(crop, mask);
    std::ostringstream name;
    name << "step-" << std::setw(8) << std::setfill('0') << step_ << ".png";
    const std::filesystem::path path = std::filesystem::path(spec_.train.run_dir) / "pictures" / name.str();
    try {
      write_reconstruction(path, crop, mask, prediction, spec_.model, spec_.loss);
      return path;
    } catch (const Error& failure) {  // a full disk costs this picture, not the run
      log::warn(failure.what());
      return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace axlstm::train
