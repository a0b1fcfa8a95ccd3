#include <torch/torch.h>

#include <cmath>
#include <iomanip>

#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"
#include "axlstm/runtime/device.h"
#include "axlstm/train/trainer.h"
#include "axlstm/train/utilization.h"

namespace axlstm::train {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kWarmUpSteps = 2, kTimedSteps = 5;
constexpr double kMaxSeconds = 60;

}  // namespace

std::string Trainer::dry_run() {
  if (leads()) state_.begin_with_encoder(config_);
  open_loader();
  std::int64_t steps = 0;
  double waited = 0;
  auto start = Clock::now();
  const auto begin = start;
  // The first steps allocate memory and fill the loader; where a step takes long they have to do.
  while (steps < kWarmUpSteps + kTimedSteps && (steps == 0 || seconds_since(begin) < kMaxSeconds)) {
    if (steps == kWarmUpSteps) {
      start = Clock::now();
      waited = loader_->seconds_waited();
    }
    train_one_step(learning_rate(config_.optim, epoch()));
    ++steps;
  }
  const std::int64_t timed = steps > kWarmUpSteps ? steps - kWarmUpSteps : steps;
  const double seconds = seconds_since(start), a_step = seconds / static_cast<double>(timed);
  std::ostringstream report;
  report << std::fixed << std::setprecision(0) << "step         " << 1000 * a_step << " ms, "
         << static_cast<double>(config_.optim.global_batch) / a_step << " clips/s"
         << (peak_flops_ ? str(", MFU ", std::llround(100 * step_flops_ / a_step / *peak_flops_), " %") : "") << "; "
         << 100 * (loader_->seconds_waited() - waited) / seconds << " % of it waiting for data\n";
  if (!leads()) return "";
  if (const auto memory = runtime::peak_memory_gb(arithmetic_.device))
    report << "memory       " << std::setprecision(1) << *memory << " GB at most" << std::setprecision(0) << "\n";
  if (validation_) {
    const auto validation_start = Clock::now();
    const double loss = validation_->loss(*state_.objective, arithmetic_);
    report << "validation   " << validation_->size() << " clips in " << format_duration(seconds_since(validation_start))
           << ", loss " << std::setprecision(4) << loss << " before training\n";
  }
  if (evaluation_) {
    const auto evaluation_start = Clock::now();
    const auto result = evaluation_->score(*state_.objective->classification(), arithmetic_);
    report << "evaluation   " << result.clips() << " clips in " << format_duration(seconds_since(evaluation_start))
           << "\n";
  }
  const double weights = 4.0 * static_cast<double>(model::parameter_count(state_.module()));
  const double checkpoint = weights * (state_.ema.enabled() ? 4 : 3) / (1 << 20);  // with both moments
  report << std::setprecision(0) << "checkpoint   " << checkpoint << " MiB, " << config_.train.keep_last
         << " kept: " << checkpoint * static_cast<double>(config_.train.keep_last + 1) << " MiB while one is written\n"
         << "whole run    " << last_step() << " steps, about "
         << format_duration(a_step * static_cast<double>(last_step())) << "\n";
  return report.str();
}

}  // namespace axlstm::train
