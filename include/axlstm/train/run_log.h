// What a run leaves to look at: metrics.jsonl, TensorBoard's event files, the live line.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "axlstm/io/tfevents.h"
#include "axlstm/metrics/clip_scores.h"

namespace axlstm::train {

struct StepRecord {
  std::int64_t step = 0;  ///< 1 after the first update
  double epoch = 0;
  double loss = 0;
  double lr = 0;
  double grad_norm = 0;
  double clips_per_second = 0;
  double data_wait = 0;            ///< share of the time that the model waited for data
  std::int64_t skipped_steps = 0;  ///< of the run so far, for a loss or gradient that was not finite
  std::optional<double> validation_loss = std::nullopt;
  std::optional<metrics::ClipScores> scores = std::nullopt;  ///< of a classifier on data.validation
  std::optional<double> probe = std::nullopt;                ///< score of eval.probe
  std::optional<double> communication = std::nullopt;  ///< share of the time that rank 0 waited for sums over the ranks
  std::optional<double> mfu = std::nullopt;            ///< model FLOPs utilization: share of the devices' peak
  std::optional<double> memory_gb = std::nullopt;      ///< most that rank 0 has held so far
};

/// Appends one JSON object a record to `<run>/metrics.jsonl`. On opening, records later than `resumed_step` are
/// dropped, so that an interrupted and resumed run leaves one unbroken curve. What cannot be written, on a full disk,
/// is kept and tried again with the next record.
class MetricsFile {
 public:
  MetricsFile(const std::filesystem::path& run_dir, std::int64_t resumed_step);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

  void write(const StepRecord& record);
  void finish();  ///< throws Error naming the file if records are left that cannot be written

 private:
  bool flush();

  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string pending_;
  bool warned_ = false;
};

/// Event files in `<run>/tensorboard/`. What cannot be written is lost with one warning; training goes on.
class TensorBoard {
 public:
  /// Steps later than `resumed_step` in older files no longer count.
  TensorBoard(const std::filesystem::path& run_dir, std::int64_t resumed_step, const std::string& config_yaml);

  void write(const StepRecord& record);
  void picture(std::int64_t step, const std::filesystem::path& png);

 private:
  void flush();

  io::EventWriter events_;
  bool warned_ = false;
};

/// What speed is measured over: the steps since the last progress line.
struct Stopwatch {
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  std::int64_t first_step = 0;
  double waited = 0;         ///< seconds that the loader had waited by then
  double communicating = 0;  ///< seconds since then
};

/// All that is written of steps.
class RunLog {
 public:
  /// Records later than `resumed_step` no longer count.
  RunLog(const std::filesystem::path& run_dir, std::int64_t resumed_step, const std::string& config_yaml)
      : metrics_(run_dir, resumed_step), tensorboard_(run_dir, resumed_step, config_yaml) {}

  /// `milestone`: a step that TensorBoard gets and whose line stays on the terminal. `seconds_left` of the run of
  /// `total_steps`.
  void write(const StepRecord& record, bool milestone, std::int64_t total_steps, double seconds_left);
  void picture(std::int64_t step, const std::filesystem::path& png) { tensorboard_.picture(step, png); }
  void finish() { metrics_.finish(); }  ///< throws Error naming the file if records are left that cannot be written

 private:
  MetricsFile metrics_;
  TensorBoard tensorboard_;
};

/// "epoch 3.20 | step 640/20000 | loss 0.4312 | lr 1.2e-04 | 153 clips/s | MFU 31 % | data wait 2 % | memory 32.1 GB"
std::string progress_line(const StepRecord& record, std::int64_t total_steps);

}  // namespace axlstm::train
