// How the CPU's operations share clips out among threads.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>

#include "rows.h"

namespace axlstm::ops::cpu {

/// Operators of this thread record no gradients and cast nothing while it lives.
struct PlainOperators {
  at::AutoDispatchBelowADInplaceOrView no_gradients;
  c10::impl::ExcludeDispatchKeyGuard no_autocast{c10::autocast_dispatch_keyset};
};

/// Parts that the clips are shared out in, one a thread; so that sums over them repeat to the last bit it is the same
/// for a number of threads. Of a few clips, 1: then threads share the steps of each.
inline std::int64_t part_count(std::int64_t clips) {
  constexpr std::int64_t kFew = 4;
  const std::int64_t threads = at::get_num_threads();
  return clips < std::min(kFew, threads) ? 1 : std::min(threads, clips);
}

/// Calls work(part, clip) for each clip, those of a part one after the other.
template <typename Work>
void each_clip(std::int64_t clips, const Work& work) {
  const std::int64_t parts = part_count(clips);
  const auto run = [&](std::int64_t part) {
    const PlainOperators plain;
    for (std::int64_t clip = clips * part / parts; clip < clips * (part + 1) / parts; ++clip) work(part, clip);
  };
  if (parts == 1) return run(0);
  at::parallel_for(0, parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part) run(part);
  });
}

/// Calls work(begin, end) for ranges of `channels`, a multiple of kRowMultiple, on the threads that are free.
template <typename Work>
void each_channels(std::int64_t channels, const Work& work) {
  at::parallel_for(0, channels / kRowMultiple, 1,
                   [&](std::int64_t begin, std::int64_t end) { work(begin * kRowMultiple, end * kRowMultiple); });
}

}  // namespace axlstm::ops::cpu
