#include "axlstm/train/trainer.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>

#include "axlstm/core/cores.h"
#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/random.h"
#include "axlstm/data/class_weights.h"
#include "axlstm/data/lists/manifest.h"
#include "axlstm/runtime/device.h"
#include "axlstm/train/diagnose.h"
#include "axlstm/train/picture.h"
#include "axlstm/train/utilization.h"
#include "spin_guard.h"

namespace axlstm::train {
namespace {

torch::Generator generator_for(std::initializer_list<std::uint64_t> parts) {
  return at::make_generator<at::CPUGeneratorImpl>(derive_seed(parts));
}

/// Where the part of a batch begins that belongs to `rank`; parts differ by one clip at most.
std::int64_t first_row_of(std::int64_t rank, std::int64_t world_size, std::int64_t batch) {
  return rank * batch / world_size;
}

}  // namespace

Trainer::Trainer(config::RunConfig config, distributed::ProcessGroup* group)
    : config_(std::move(config)),
      group_(group),
      rows_(config_.optim.global_batch),
      arithmetic_(config_.train.precision, group_ ? group_->device() : runtime::choose_device(config_.train.device)),
      clips_(data::open_clips(config_.data, config_.audio)),
      data_fingerprint_(data::fingerprint(*clips_, config_.objective == objective::Kind::kClassification)),
      state_(config_, arithmetic_),
      step_flops_((state_.objective->forward_flops() + state_.objective->backward_flops()) *
                  static_cast<double>(config_.optim.global_batch)),
      peak_flops_(peak_flops(runtime::device_name(arithmetic_.device), arithmetic_.precision)) {
  runtime::set_deterministic(config_.train.deterministic);
  runtime::set_float32_arithmetic(arithmetic_.precision);
  torch::set_num_threads(runtime::cpu_threads(config_.train.threads, group_ ? group_->sharers_of_cores() : 1));
  if (group_) {
    const std::int64_t rank = group_->rank(), ranks = group_->world_size(), batch = config_.optim.global_batch;
    if (batch < ranks)
      throw UsageError(str("optim.global_batch is ", batch, ", ", ranks, " ranks need at least one clip each"));
    first_row_ = first_row_of(rank, ranks, batch);
    rows_ = first_row_of(rank + 1, ranks, batch) - first_row_;
    if (peak_flops_) *peak_flops_ *= static_cast<double>(ranks);
    reducer_.emplace(state_.module(), *group_, config_.distributed);
    ranks_.emplace(Ranks{*group_, *reducer_});
    AXLSTM_CHECK(group_->gather(data_fingerprint_).front() == data_fingerprint_,
                 "this rank sees other training clips than rank 0; is the data the same on all machines?");
  }
  if (config_.train.cuda_graph == CudaGraph::kOn && !runtime::DeviceGraph::can_record(arithmetic_.device)) {
    throw UsageError(str("train.cuda_graph is on, but the device is ", arithmetic_.device.str(),
                         "; set train.cuda_graph=auto, or train.device=cuda on a machine with a GPU"));
  }
  auto* classification = state_.objective->classification();
  if (!classification) graph_.emplace(config_.train.cuda_graph);
  need(graph_ || config_.train.cuda_graph != CudaGraph::kOn,
       "train.cuda_graph is on, but steps with labels are not recorded; set train.cuda_graph=auto");
  if (classification) {
    classes_ = std::make_shared<data::ClipClasses>(
        classes_of_clips(*clips_, classification->classes(), classification->options().targets));
    if (leads()) warn_of_missing_classes(*classes_, classification->classes(), "training");
    if (config_.classification.balanced)
      weights_ = data::balancing_weights(*classes_, classification->classes().size());
  }
  if (!leads() || !data::has_held_out(config_.data, data::Part::kValidation)) return;
  if (classification) {
    evaluation_.emplace(config_, data::Part::kValidation, *classification);
    const auto [count, name] = evaluation_->shared_with(*clips_);
    if (count > 0) {
      log::warn(str(count, " of the ", evaluation_->size(), " held-out clips are trained on as well, such as ", name,
                    "; their scores say little"));
    }
  } else {
    validation_.emplace(config_);
  }
}

StepSetup Trainer::setup() {
  return {*state_.objective,           state_.optimizer,           arithmetic_, config_, &state_.scaler,
          ranks_ ? &*ranks_ : nullptr, graph_ ? &*graph_ : nullptr};
}

void Trainer::resume() {
  const auto checkpoint = checkpoints::load_newest_checkpoint(config_.train.run_dir);
  if (!checkpoint) return;
  state_.load(*checkpoint, str(config_.train.run_dir, ", step ", checkpoint->step));
  if (checkpoint->data_fingerprint != data_fingerprint_) {
    log::warn(
        "the list of training clips changed since the checkpoint: the run goes on, but not as an unbroken one would");
  }
  log::info(str("resuming ", config_.train.run_dir, " at step ", state_.step));
}

void Trainer::open_loader() {
  const auto workers = config_.data.workers > 0
                           ? config_.data.workers
                           : allowed_cores(static_cast<int>(group_ ? group_->sharers_of_cores() : 1));
  loader_ = std::make_unique<data::Loader>(
      clips_,
      data::LoaderOptions{.seed = static_cast<std::uint64_t>(config_.train.seed),
                          .batch_size = config_.optim.global_batch,
                          .first_row = first_row_,
                          .rows = rows_,
                          .frames = config_.head.crop_frames(config_.model),
                          .workers = workers,
                          .device = arithmetic_.device,
                          .classes = classes_,
                          .weights = weights_,
                          .mixing = {config_.classification.mixup, config_.classification.mixup_alpha}},
      state_.step);
  total_steps_ =
      static_cast<std::int64_t>(std::llround(config_.optim.epochs * static_cast<double>(loader_->steps_per_epoch())));
  if (group_) log::info(str(group_->description(), "; ", rows_, " clips of each batch on rank ", group_->rank()));
  log::info(str(model::describe(config_.model), ", ", model::parameter_count(state_.module()), " parameters"));
  log::info(str(clips_->size(), " clips, ", loader_->steps_per_epoch(), " steps an epoch, batch ",
                config_.optim.global_batch, ", steps ", state_.step, " → ", last_step(), " of ", total_steps_));
  if (validation_) log::info(str(validation_->size(), " held-out clips"));
  if (evaluation_) log::info(str(evaluation_->size(), " held-out clips"));
}

std::int64_t Trainer::last_step() const {
  return config_.train.max_steps > 0 ? std::min(config_.train.max_steps, total_steps_) : total_steps_;
}

TrainingOutcome Trainer::run(const std::atomic<bool>& stop, std::unique_ptr<RunFolder> folder) {
  std::optional<RunLog> run_log;
  if (leads()) {
    const std::string yaml = config::dump(config_);
    folder_ = folder ? std::move(folder) : std::make_unique<RunFolder>(config_.train.run_dir, yaml);
    data::report_unmatched(clips_->unmatched(), folder_->path());
    resume();
    if (state_.resumed_step < 0) state_.begin_with_encoder(config_);
  }
  if (group_) {
    group_->training_begins();
    state_.share(*group_);
  }
  open_loader();
  if (leads()) {
    if (state_.step < last_step()) checkpoints::rehearse_checkpoint(folder_->path(), checkpoint());
    writer_ = std::make_unique<checkpoints::CheckpointWriter>(
        folder_->path(), checkpoints::Retention{config_.train.keep_last, config_.train.keep_every_steps});
    run_log.emplace(folder_->path(), state_.step, config::dump(config_));
    if (state_.step == 0) draw_picture(*run_log);
  }

  Stopwatch watch{.first_step = state_.step};
  bool stopping = !group_ && stop;
  std::optional<SpinGuard> spin_guard;
  if (arithmetic_.device.is_cpu()) spin_guard.emplace();
  while (state_.step < last_step() && !stopping && !is_exhausted()) {
    const double lr = learning_rate(config_.optim, epoch());
    const StepResult result = train_one_step(lr, stop);
    stopping = group_ ? result.stop : stop.load();
    if (spin_guard) spin_guard->look();
    std::optional<StepRecord> of_step;
    if (leads()) of_step = record_of(result, lr, watch);
    if (evaluation_is_due()) evaluate(of_step ? &*of_step : nullptr, watch);
    if (!leads()) continue;
    const StepRecord& record = *of_step;
    const bool milestone = every(config_.train.log_every_steps);
    const double seconds_left =
        static_cast<double>(config_.optim.global_batch * (last_step() - state_.step)) / record.clips_per_second;
    run_log->write(record, milestone, last_step(), seconds_left);
    if (milestone) watch = {.first_step = state_.step, .waited = loader_->seconds_waited()};
    if (every(config_.train.picture_every_steps)) draw_picture(*run_log);
    // Weights with which steps are being skipped must not push out the checkpoints from before.
    const bool save = state_.step % config_.train.save_every_steps == 0 || state_.step == state_.best_step;
    if (save && state_.skipped_in_a_row == 0) writer_->start(checkpoint());
  }
  if (leads()) {
    run_log->finish();  // before the checkpoint with which their steps will not be made again
    writer_->wait();
    if (writer_->written_step().value_or(state_.resumed_step) != state_.step) writer_->start(checkpoint());
    writer_->finish();
  }
  if (is_exhausted() && leads()) {
    log::info(str("ended at step ", state_.step, ": ", config_.eval.patience,
                  " evaluations without a better score than that of step ", state_.best_step));
  }
  return state_.step < last_step() && !is_exhausted() ? TrainingOutcome::kInterrupted : TrainingOutcome::kFinished;
}

std::int64_t Trainer::evaluation_steps() const { return config_.eval.every_epochs * loader_->steps_per_epoch(); }

/// train.max_steps does not make a run be scored where an unbroken one would not be.
bool Trainer::evaluation_is_due() const {
  return state_.objective->classification() && data::has_held_out(config_.data, data::Part::kValidation) &&
         (state_.step % evaluation_steps() == 0 || state_.step == total_steps_);
}

/// A function of what a checkpoint holds, so that all ranks, and a run that is resumed, come to the same.
bool Trainer::is_exhausted() const {
  return config_.eval.patience > 0 && state_.best_step >= 0 &&
         state_.step - state_.best_step >= config_.eval.patience * evaluation_steps();
}

/// By rank 0, of the averaged weights if there are some; all ranks then know the best step.
void Trainer::evaluate(StepRecord* record, Stopwatch& watch) {
  const auto start = std::chrono::steady_clock::now();
  if (leads()) {
    auto& classification = *state_.objective->classification();
    state_.ema.swap();
    const auto result = evaluation_->score(classification, arithmetic_);
    state_.ema.swap();
    record->validation_loss = result.loss;
    record->scores = result.scores;
    state_.note_score(value_of(config_.eval.metric, config_.classification.targets, result));
  }
  if (group_) state_.share_best(*group_);
  watch.start += std::chrono::steady_clock::now() - start;
}

/// Of the step that was just made, with what is measured after it.
StepRecord Trainer::record_of(const StepResult& result, double lr, Stopwatch& watch) {
  watch.communicating += result.seconds_communicating;
  const double seconds = seconds_since(watch.start);
  const double seconds_a_step = seconds / static_cast<double>(state_.step - watch.first_step);
  StepRecord record{.step = state_.step,
                    .epoch = epoch(),
                    .loss = result.loss,
                    .lr = lr,
                    .grad_norm = result.grad_norm,
                    .clips_per_second = static_cast<double>(config_.optim.global_batch) / seconds_a_step,
                    .data_wait = std::min((loader_->seconds_waited() - watch.waited) / seconds, 1.0),
                    .skipped_steps = state_.skipped_steps};
  record.memory_gb = runtime::peak_memory_gb(arithmetic_.device);
  if (peak_flops_) record.mfu = step_flops_ / seconds_a_step / *peak_flops_;
  if (group_) record.communication = std::min(watch.communicating / seconds, 1.0);
  if (validation_ && every(config_.train.validate_every_steps))
    record.validation_loss = validation_->loss(*state_.objective, arithmetic_);
  if (probe_ && every(config_.eval.probe_every_epochs * loader_->steps_per_epoch())) record.probe = run_probe();
  return record;
}

double Trainer::epoch() const {
  return static_cast<double>(state_.step) / static_cast<double>(loader_->steps_per_epoch());
}

/// For this rank's part of a batch. The numbers are drawn for the whole batch, so that ranks do not change them.
torch::Tensor Trainer::draw(std::int64_t step) const {
  return state_.objective
      ->draw(config_.optim.global_batch, generator_for({static_cast<std::uint64_t>(config_.train.seed), kMaskStream,
                                                        static_cast<std::uint64_t>(step)}))
      .narrow(0, first_row_, rows_);
}

StepResult Trainer::train_one_step(double lr, bool stop) {
  const data::Batch batch = loader_->next();
  const auto drawn = drawn_ahead_.valid() ? drawn_ahead_.get() : draw(state_.step);
  // Drawing takes longer the more ranks there are, and the device would wait for it.
  drawn_ahead_ = std::async(std::launch::async, [this, step = state_.step + 1] { return draw(step); });
  const StepResult result = [&] {
    try {
      return training_step(setup(), batch, drawn, lr, stop);
    } catch (const c10::OutOfMemoryError&) {
    }
    // Outside the handler: the exception keeps tensors alive, and what is tried now needs their memory.
    throw Error(out_of_memory_message(setup(), batch, drawn, state_.step + 1));
  }();
  ++state_.step;
  if (result.skipped) {
    count_skipped(result, batch, drawn);
  } else {
    state_.skipped_in_a_row = 0;
    state_.ema.update();
  }
  return result;
}

/// Says what a skipped step ran into, and ends the run when there are too many in a row. Gradients that overflow while
/// float16's loss scale finds its size are nothing to look into.
void Trainer::count_skipped(const StepResult& result, const data::Batch& batch, const torch::Tensor& drawn) {
  ++state_.skipped_steps;
  ++state_.skipped_in_a_row;
  std::string message =
      str("step ", state_.step, " was skipped: the loss is ", result.loss, ", the gradient norm ", result.grad_norm);
  const bool last = state_.skipped_in_a_row >= config_.train.max_skipped_steps;
  const bool scaling = state_.scaler.enabled() && std::isfinite(result.loss);
  if (last || (state_.skipped_in_a_row == 1 && !scaling))
    message += "; not finite first: " + locate_non_finite(setup(), batch, drawn, *clips_);
  AXLSTM_CHECK(!last, message, "; ", state_.skipped_in_a_row,
               " in a row are as many as train.max_skipped_steps allows. ",
               "The newest checkpoint is from before; start a new train.run_dir with a lower optim.base_lr or with "
               "optim.clip_grad_norm");
  if (leads()) log::warn(str(message, " (", state_.skipped_steps, " skipped so far)"));
}

std::optional<double> Trainer::run_probe() {
  const auto autocast = arithmetic_.autocast();
  const auto score = probe_(state_.objective->encoder());
  state_.module().train();
  return score;
}

checkpoints::Checkpoint Trainer::checkpoint() const {
  return state_.checkpoint(config::dump(config_), data_fingerprint_);
}

void Trainer::draw_picture(RunLog& log) {
  const auto png = folder_->picture(state_.step);
  if (train::draw_picture(*state_.objective, *clips_, config_, arithmetic_, png)) log.picture(state_.step, png);
}

}  // namespace axlstm::train
