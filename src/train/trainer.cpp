#include "axlstm/train/trainer.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/random.h"
#include "axlstm/model/masking.h"
#include "axlstm/nn/mlstm_block.h"
#include "axlstm/ops/mlstm.h"

namespace axlstm::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

torch::Generator generator_for(std::initializer_list<std::uint64_t> parts) {
  return at::make_generator<at::CPUGeneratorImpl>(derive_seed(parts));
}

model::MaskedModel build_model(const RunSpec& spec, const torch::Device& device) {
  if (spec.model.arch == model::Arch::kAxlstm && spec.model.backend == ops::Backend::kCell) {
    const auto head_dim = spec.model.expansion * spec.model.dim / nn::kHeads;
    const std::string obstacle = ops::cell_kernel_obstacle(device, torch::kFloat32, head_dim);
    if (!obstacle.empty())
      throw UsageError("model.backend cell cannot be used: " + obstacle + "; set model.backend=auto");
  }
  torch::manual_seed(derive_seed({static_cast<std::uint64_t>(spec.train.seed), kInitStream}));
  model::MaskedModel model(spec.model);
  model->to(device);
  return model;
}

std::string fingerprint(const data::Dataset& dataset) {
  std::string ids;
  for (std::int64_t index = 0; index < dataset.size(); ++index) ids += dataset.clip(index).id + '\n';
  return fnv1a64_hex(ids);
}

/// Counts the AudioSet rows whose audio was not found and lists their ids in the run folder.
void report_unmatched(const std::vector<std::string>& ids, const std::filesystem::path& run_dir) {
  if (ids.empty()) return;
  std::string list;
  for (const std::string& id : ids) list += id + "\n";
  write_file_atomic(run_dir / "unmatched.txt", list);
  log::warn(str(ids.size(), " rows of the manifest have no audio file; their ids are in ",
                (run_dir / "unmatched.txt").string()));
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

StepResult training_step(model::MaskedModel& model, AdamW& optimizer, const torch::Tensor& spectrogram,
                         const torch::Tensor& noise, double lr, const RunSpec& spec) {
  const auto device = model->parameters().front().device();
  const std::int64_t batch = spectrogram.size(0);
  const std::int64_t micro = spec.train.device_batch > 0 ? std::min(spec.train.device_batch, batch) : batch;
  model->zero_grad();
  auto total = torch::zeros({}, torch::dtype(torch::kFloat64).device(device));
  for (std::int64_t first = 0; first < batch; first += micro) {
    const std::int64_t count = std::min(micro, batch - first);
    const auto input = spectrogram.narrow(0, first, count).to(device);
    const auto mask = model::mask_from_noise(noise.narrow(0, first, count).to(device), spec.model, spec.mask);
    const auto target = model::reconstruction_target(input, spec.model, spec.loss);
    const auto loss = model::reconstruction_loss(model->reconstruct(input, mask), target, mask, spec.loss.region);
    // Every clip has the same number of masked patches, so the share of clips is the share of the mean.
    const double share = static_cast<double>(count) / static_cast<double>(batch);
    (loss * share).backward();
    total += loss.detach() * share;
  }
  const auto norm = gradient_norm(*model);
  const StepResult result{total.item<double>(), norm.item<double>()};
  AXLSTM_CHECK(std::isfinite(result.loss) && std::isfinite(result.grad_norm), "the loss is ", result.loss,
               ", the gradient norm ", result.grad_norm,
               "; start a new train.run_dir with a lower optim.base_lr or with optim.clip_grad_norm");
  if (spec.optim.clip_grad_norm > 0 && result.grad_norm > spec.optim.clip_grad_norm) {
    for (auto& parameter : model->parameters()) {
      if (parameter.grad().defined()) parameter.mutable_grad().mul_(spec.optim.clip_grad_norm / result.grad_norm);
    }
  }
  optimizer.step(lr);
  return result;
}

Trainer::Trainer(RunSpec spec)
    : spec_(std::move(spec)),
      device_(choose_device(spec_.train.device)),
      dataset_(std::make_shared<data::Dataset>(data::load_manifest(spec_.data), spec_.audio, spec_.data)),
      data_fingerprint_(fingerprint(*dataset_)),
      model_(build_model(spec_, device_)),
      optimizer_(*model_, spec_.optim) {
  if (spec_.train.threads > 0) torch::set_num_threads(static_cast<int>(spec_.train.threads));
}

void Trainer::resume() {
  const auto checkpoint = load_newest_checkpoint(spec_.train.run_dir);
  if (!checkpoint) return;
  const std::string source = str(spec_.train.run_dir, ", step ", checkpoint->step);
  io::load_state_dict(*model_, checkpoint->model, source);
  optimizer_.load_state(checkpoint->optimizer, source);
  step_ = saved_step_ = checkpoint->step;
  if (checkpoint->data_fingerprint != data_fingerprint_) {
    log::warn(
        "the list of training clips changed since the checkpoint: the run goes on, but not as an unbroken one would");
  }
  log::info(str("resuming ", spec_.train.run_dir, " at step ", step_));
}

RunStatus Trainer::run(const std::atomic<bool>& stop) {
  std::error_code failure;
  std::filesystem::create_directories(spec_.train.run_dir, failure);
  AXLSTM_CHECK(!failure, spec_.train.run_dir, ": cannot be created (", failure.message(), ")");
  report_unmatched(dataset_->unmatched(), spec_.train.run_dir);
  resume();
  const auto workers = spec_.data.workers > 0
                           ? spec_.data.workers
                           : static_cast<std::int64_t>(std::max(std::thread::hardware_concurrency(), 1U));
  loader_ = std::make_unique<data::Loader>(dataset_,
                                           data::LoaderOptions{.seed = static_cast<std::uint64_t>(spec_.train.seed),
                                                               .batch_size = spec_.optim.global_batch,
                                                               .frames = spec_.model.frames,
                                                               .workers = workers},
                                           step_);
  total_steps_ =
      static_cast<std::int64_t>(std::llround(spec_.optim.epochs * static_cast<double>(loader_->steps_per_epoch())));
  const std::int64_t last_step =
      spec_.train.max_steps > 0 ? std::min(spec_.train.max_steps, total_steps_) : total_steps_;
  log::info(str(model::describe(spec_.model), ", ", model::parameter_count(*model_), " parameters"));
  log::info(str(dataset_->size(), " clips, ", loader_->steps_per_epoch(), " steps an epoch, batch ",
                spec_.optim.global_batch, ", steps ", step_, " → ", last_step, " of ", total_steps_));
  MetricsFile metrics(spec_.train.run_dir, step_);
  const std::filesystem::path pictures = std::filesystem::path(spec_.train.run_dir) / "pictures";
  std::filesystem::create_directories(pictures);
  if (step_ == 0) draw_picture();

  auto window_start = Clock::now();
  std::int64_t window_first = step_;
  double seconds_a_step = 0;
  while (step_ < last_step && !stop) {
    const double lr = learning_rate(spec_.optim, epoch());
    const StepResult result = train_one_step(lr);
    const bool milestone = step_ % spec_.train.log_every_steps == 0 || step_ == last_step;
    seconds_a_step = seconds_since(window_start) / static_cast<double>(step_ - window_first);
    const StepRecord record{step_, epoch(),          result.loss,
                            lr,    result.grad_norm, static_cast<double>(spec_.optim.global_batch) / seconds_a_step};
    metrics.write(record);
    const double left = seconds_a_step * static_cast<double>(last_step - step_);
    log::progress(str(progress_line(record, last_step), " | ETA ", format_duration(left)), milestone);
    if (milestone) {
      window_start = Clock::now();
      window_first = step_;
    }
    if (step_ % spec_.train.picture_every_steps == 0 || step_ == last_step) draw_picture();
    if (step_ % spec_.train.save_every_steps == 0 && step_ < last_step) {
      try {
        save();
      } catch (const Error& failure) {  // a full disk costs this checkpoint, not the run
        log::error(str("checkpoint of step ", step_, " was not written: ", failure.what()));
      }
    }
  }
  if (saved_step_ != step_) save();
  return step_ < last_step ? RunStatus::kInterrupted : RunStatus::kFinished;
}

double Trainer::epoch() const { return static_cast<double>(step_) / static_cast<double>(loader_->steps_per_epoch()); }

StepResult Trainer::train_one_step(double lr) {
  const data::Batch batch = loader_->next();
  const auto noise = model::draw_mask_noise(
      batch.spectrogram.size(0), spec_.model, spec_.mask,
      generator_for({static_cast<std::uint64_t>(spec_.train.seed), kMaskStream, static_cast<std::uint64_t>(step_)}));
  try {
    const StepResult result = training_step(model_, optimizer_, batch.spectrogram, noise, lr, spec_);
    ++step_;
    return result;
  } catch (const Error& failure) {
    throw Error(
        str("step ", step_ + 1, " (first clip ", dataset_->clip(batch.clips.front()).id, "): ", failure.what()));
  }
}

void Trainer::save() {
  save_checkpoint(
      spec_.train.run_dir,
      {step_, as_map(io::state_dict(*model_)), as_map(optimizer_.state()), spec_.config_yaml, data_fingerprint_},
      spec_.train.keep_last);
  saved_step_ = step_;
}

/// One fixed crop under one fixed mask, so that the pictures of a run show the model getting better.
void Trainer::draw_picture() {
  const torch::NoGradGuard no_grad;
  const auto seed = static_cast<std::uint64_t>(spec_.train.seed);
  const auto size = dataset_->size();
  const auto first =
      static_cast<std::int64_t>(uniform_below(derive_seed({seed, kPictureStream}), static_cast<std::uint64_t>(size)));
  for (std::int64_t attempt = 0; attempt < size; ++attempt) {
    torch::Tensor features;
    try {
      features = dataset_->features((first + attempt) % size);
    } catch (const Error&) {
      continue;  // the loader reports it
    }
    const auto crop = data::random_crop(features, spec_.model.frames, derive_seed({seed, kPictureStream}))
                          .view({1, 1, spec_.model.frames, -1})
                          .to(device_);
    const auto noise = model::draw_mask_noise(1, spec_.model, spec_.mask, generator_for({seed, kPictureStream}));
    const auto mask = model::mask_from_noise(noise.to(device_), spec_.model, spec_.mask);
    const auto prediction = model_->reconstruct(crop, mask);
    std::ostringstream name;
    name << "step-" << std::setw(8) << std::setfill('0') << step_ << ".png";
    try {
      write_reconstruction(std::filesystem::path(spec_.train.run_dir) / "pictures" / name.str(), crop, mask, prediction,
                           spec_.model, spec_.loss);
    } catch (const Error& failure) {  // a full disk costs this picture, not the run
      log::warn(failure.what());
    }
    return;
  }
}

}  // namespace axlstm::train
