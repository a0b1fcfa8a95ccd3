#include "axlstm/suite/packing.h"

#include <chrono>
#include <iostream>

#include "axlstm/core/duration.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/data/shards/packed.h"

namespace axlstm::suite {
namespace {

constexpr double kProgressSeconds = 5;

}  // namespace

ExitCode verify_packed(const std::string& folder, std::int64_t workers) {
  const data::PackedSet set(expand_home(folder));
  const auto start = std::chrono::steady_clock::now();
  double shown = 0;
  const auto damaged = data::verify(set, static_cast<std::size_t>(workers), [&](std::int64_t done) {
    const double seconds = seconds_since(start);
    if (seconds < shown + kProgressSeconds) return;
    shown = seconds;
    log::progress(str("verified ", done, " of ", set.size(), " clips | ETA ",
                      format_duration(seconds * static_cast<double>(set.size() - done) / static_cast<double>(done))),
                  /*milestone=*/true);
  });
  for (const std::string& id : damaged) std::cout << id << "\n";
  AXLSTM_CHECK(damaged.empty(), folder, ": ", damaged.size(), " of ", set.size(),
               " clips do not match their checksums; pack again");
  log::info(str(folder, ": all ", set.size(), " clips match their checksums"));
  return kOk;
}

ExitCode pack(data::ClipStream& stream, const data::PackOptions& options, const std::atomic<bool>& stop) {
  log::info(
      str("packing ", stream.description(), " with ", options.workers, " threads into ", options.output.string()));
  const data::PackReport report = data::pack(stream, options, stop);
  if (!report.finished) {
    log::warn("interrupted; whole shards are kept, the same command goes on");
    return kInterrupted;
  }
  const audio::PassedOver passed_over = stream.passed_over();
  if (!passed_over.empty()) log::warn("passed over " + passed_over.description());
  const auto listed = [&](std::int64_t count, const char* file) {
    return count > 0 ? " (" + (options.output / file).string() + ")" : "";
  };
  log::info(str("packed ", report.clips, " clips, ", report.partial, " of them in part",
                listed(report.partial, "partial.jsonl"), "; ", report.broken, " could not be used",
                listed(report.broken, "broken.jsonl")));
  return report.broken > 0 ? kSomeFailed : kOk;
}

}  // namespace axlstm::suite
