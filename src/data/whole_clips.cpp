#include "axlstm/data/whole_clips.h"

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <algorithm>
#include <atomic>

#include "axlstm/core/error.h"
#include "axlstm/data/mixing.h"

namespace axlstm::data {
namespace {

struct Crop {
  std::size_t clip;  ///< place among those asked for
  std::int64_t start;
};

}  // namespace

std::vector<std::int64_t> crop_starts(std::int64_t frames, std::int64_t count) {
  if (frames <= count) return {0};
  const std::int64_t crops = (frames + count - 1) / count;
  std::vector<std::int64_t> starts;
  for (std::int64_t n = 0; n < crops; ++n) starts.push_back(n * (frames - count) / (crops - 1));
  return starts;
}

WholeClips over_whole_clips(ClipSource& source, const std::vector<std::int64_t>& clips,
                            const WholeClipsOptions& options,
                            const std::function<torch::Tensor(const torch::Tensor& crops)>& compute) {
  const torch::NoGradGuard no_grad;
  const auto count = clips.size(), chunk = static_cast<std::size_t>(options.batch);
  std::vector<std::atomic<bool>> bad(count);
  std::vector<std::int64_t> crops_of(count, 0);
  torch::Tensor sums;
  // Clips go in groups: their crops are counted, then read and computed in batches.
  for (std::size_t group = 0; group < count; group += chunk) {
    const std::size_t end = std::min(count, group + chunk);
    std::vector<std::vector<std::int64_t>> starts(end - group);
    const auto guarded = [&](std::size_t clip, const auto& work) {
      if (bad[clip]) return;
      try {
        work();
      } catch (const Error& failure) {
        bad[clip] = true;
        source.report_bad(clips[clip], failure.what());
      }
    };
    at::parallel_for(0, static_cast<std::int64_t>(end - group), 1, [&](std::int64_t first, std::int64_t last) {
      for (auto n = static_cast<std::size_t>(first); n < static_cast<std::size_t>(last); ++n)
        guarded(group + n, [&] { starts[n] = crop_starts(source.frames(clips[group + n]), options.crop_frames); });
    });
    std::vector<Crop> crops;
    for (std::size_t n = 0; n < starts.size(); ++n) {
      for (const std::int64_t start : starts[n]) crops.push_back({group + n, start});
      crops_of[group + n] = static_cast<std::int64_t>(starts[n].size());
    }
    for (std::size_t first = 0; first < crops.size(); first += chunk) {
      const auto rows = static_cast<std::int64_t>(std::min(chunk, crops.size() - first));
      auto batch = source.allocate(rows, options.crop_frames, /*pinned=*/false);
      std::vector<char> read(static_cast<std::size_t>(rows), 0);
      at::parallel_for(0, rows, 1, [&](std::int64_t begin, std::int64_t behind) {
        for (std::int64_t row = begin; row < behind; ++row) {
          const Crop& crop = crops[first + static_cast<std::size_t>(row)];
          guarded(crop.clip, [&] {
            source.read(
                clips[crop.clip], [&](std::int64_t, std::int64_t) { return crop.start; }, batch, row);
            read[static_cast<std::size_t>(row)] = 1;
          });
        }
      });
      for (std::int64_t row = 0; row < rows; ++row)
        if (!read[static_cast<std::size_t>(row)]) clear(batch, row, options.crop_frames);
      const auto values = compute(source.spectrogram(batch, options.device)).to(torch::kCPU, torch::kFloat32);
      if (!sums.defined()) sums = torch::zeros({static_cast<std::int64_t>(count), values.size(1)});
      std::vector<std::int64_t> places;
      for (std::int64_t row = 0; row < rows; ++row)
        places.push_back(static_cast<std::int64_t>(crops[first + static_cast<std::size_t>(row)].clip));
      sums.index_add_(0, torch::tensor(places), values);
    }
  }
  WholeClips result;
  std::vector<std::int64_t> rows;
  for (std::size_t n = 0; n < count; ++n) {
    if (bad[n]) continue;
    result.clips.push_back(clips[n]);
    rows.push_back(static_cast<std::int64_t>(n));
  }
  if (rows.empty()) return result;
  const auto index = torch::tensor(rows);
  const auto divisors = torch::tensor(crops_of).to(torch::kFloat32).index_select(0, index).unsqueeze(1);
  result.values = sums.index_select(0, index) / divisors;
  return result;
}

}  // namespace axlstm::data
