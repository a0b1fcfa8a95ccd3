#include "axlstm/train/run_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <utility>

#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "core/json.h"

namespace axlstm::train {
namespace {

template <typename Take>
void for_each_score(const StepRecord& record, const Take& take) {
  if (!record.scores) return;
  take("mAP", record.scores->mAP);
  take("AUC", record.scores->AUC);
  take("d_prime", record.scores->d_prime);
  take("accuracy", record.scores->accuracy);
}

}  // namespace

MetricsFile::MetricsFile(const std::filesystem::path& run_dir, std::int64_t resumed_step)
    : path_(run_dir / "metrics.jsonl") {
  if (std::filesystem::exists(path_)) {
    std::istringstream lines(read_file(path_));
    std::string kept, line;
    while (std::getline(lines, line)) {
      const auto record = try_parse_json(line);
      const bool whole =
          record && record->is_object() && record->contains("step") && record->at("step").is_number_integer();
      if (whole && record->at("step").get<std::int64_t>() <= resumed_step) kept += line + "\n";
    }
    write_file_atomic(path_, kept);
  }
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  AXLSTM_CHECK(descriptor_ >= 0, path_.string(), ": cannot be opened for writing (", std::strerror(errno), ")");
}

MetricsFile::~MetricsFile() { ::close(descriptor_); }

void MetricsFile::write(const StepRecord& record) {
  nlohmann::ordered_json json{{"step", record.step},           {"epoch", record.epoch},
                              {"loss", record.loss},           {"lr", record.lr},
                              {"grad_norm", record.grad_norm}, {"clips_per_second", record.clips_per_second},
                              {"data_wait", record.data_wait}, {"skipped_steps", record.skipped_steps}};
  if (record.mfu) json["mfu"] = *record.mfu;
  if (record.memory_gb) json["memory_gb"] = *record.memory_gb;
  if (record.communication) json["communication"] = *record.communication;
  if (record.validation_loss) json["validation_loss"] = *record.validation_loss;
  for_each_score(record, [&](const char* name, const metrics::Interval& score) {
    json[str("validation_", name)] = score.value;
    json[str("validation_", name, "_interval")] = {score.low, score.high};
  });
  if (record.probe) json["probe"] = *record.probe;
  pending_ += json.dump() + "\n";
  if (flush()) {
    warned_ = false;
  } else if (!std::exchange(warned_, true)) {
    log::warn(str(path_.string(), ": cannot be written (", std::strerror(errno),
                  "); records are kept until it can, training goes on"));
  }
}

void MetricsFile::finish() {
  AXLSTM_CHECK(flush(), path_.string(), ": cannot be written (", std::strerror(errno),
               "); make room and give the same command again, which repeats the steps since the newest checkpoint");
}

/// Part of a line may be written: the next try goes on where this one ended.
bool MetricsFile::flush() {
  while (!pending_.empty()) {
    const ssize_t written = ::write(descriptor_, pending_.data(), pending_.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    pending_.erase(0, static_cast<std::size_t>(written));
  }
  return true;
}

TensorBoard::TensorBoard(const std::filesystem::path& run_dir, std::int64_t resumed_step,
                         const std::string& config_yaml)
    : events_(run_dir / "tensorboard", resumed_step + 1) {
  std::istringstream lines(config_yaml);
  std::string code;  // Markdown: indented lines are shown as they are
  for (std::string line; std::getline(lines, line);) code += "    " + line + "\n";
  events_.text("config", resumed_step, code);
  flush();
}

void TensorBoard::write(const StepRecord& record) {
  events_.scalar("train/loss", record.step, record.loss);
  events_.scalar("train/lr", record.step, record.lr);
  events_.scalar("train/grad_norm", record.step, record.grad_norm);
  events_.scalar("train/skipped_steps", record.step, static_cast<double>(record.skipped_steps));
  events_.scalar("speed/clips_per_second", record.step, record.clips_per_second);
  events_.scalar("speed/data_wait", record.step, record.data_wait);
  if (record.mfu) events_.scalar("speed/mfu", record.step, *record.mfu);
  if (record.memory_gb) events_.scalar("speed/memory_gb", record.step, *record.memory_gb);
  if (record.communication) events_.scalar("speed/communication", record.step, *record.communication);
  if (record.validation_loss) events_.scalar("validation/loss", record.step, *record.validation_loss);
  for_each_score(record, [&](const char* name, const metrics::Interval& score) {
    events_.scalar(str("validation/", name), record.step, score.value);
  });
  if (record.probe) events_.scalar("validation/probe", record.step, *record.probe);
  flush();
}

void TensorBoard::picture(std::int64_t step, const std::filesystem::path& png) {
  events_.picture("reconstruction", step, read_file(png));
  flush();
}

void TensorBoard::flush() {
  if (events_.flush() || warned_) return;
  warned_ = true;
  log::warn(events_.path().string() + ": cannot be written (is the disk full?); TensorBoard lacks what follows");
}

std::string progress_line(const StepRecord& record, std::int64_t total_steps) {
  std::ostringstream line;
  line << std::fixed << std::setprecision(2) << "epoch " << record.epoch << " | step " << record.step << "/"
       << total_steps << std::setprecision(4) << " | loss " << record.loss << std::scientific << std::setprecision(1)
       << " | lr " << record.lr << std::fixed << std::setprecision(0) << " | " << record.clips_per_second << " clips/s";
  if (record.mfu) line << " | MFU " << 100 * *record.mfu << " %";
  line << " | data wait " << 100 * record.data_wait << " %";
  if (record.communication) line << " | communication " << 100 * *record.communication << " %";
  if (record.memory_gb) line << " | memory " << std::setprecision(1) << *record.memory_gb << " GB";
  if (record.validation_loss) line << std::setprecision(4) << " | held-out loss " << *record.validation_loss;
  for_each_score(record, [&](const char* name, const metrics::Interval& score) {
    line << std::setprecision(3) << " | " << name << " " << score.value;
  });
  if (record.probe) line << std::setprecision(3) << " | probe " << *record.probe;
  return line.str();
}

void RunLog::write(const StepRecord& record, bool milestone, std::int64_t total_steps, double seconds_left) {
  metrics_.write(record);
  if (milestone || record.validation_loss || record.probe) tensorboard_.write(record);
  log::progress(str(progress_line(record, total_steps), " | ETA ", format_duration(seconds_left)), milestone);
}

}  // namespace axlstm::train
