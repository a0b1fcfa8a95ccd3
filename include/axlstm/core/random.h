// Counter-style randomness: every draw is a pure function of a seed and a name, so that results do not depend
// on the number of workers, on ranks or on where a run was interrupted.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace axlstm {

/// SplitMix64's finaliser: a bijection of 64-bit numbers without visible structure (Steele et al., 2014).
std::uint64_t mix64(std::uint64_t x);

/// One seed for the named draw, e.g. derive_seed({run_seed, kCrop, epoch, clip}).
std::uint64_t derive_seed(std::initializer_list<std::uint64_t> parts);

/// Uniform integer in [0, bound) from a derived seed, by 128-bit multiplication (bias below 2^-40 for bound < 2^24).
std::uint64_t uniform_below(std::uint64_t seed, std::uint64_t bound);

/// A permutation of 0 … n-1 determined by `seed` (Fisher–Yates).
std::vector<std::int64_t> permutation(std::int64_t n, std::uint64_t seed);

/// Names of the independent streams of one run.
enum RandomStream : std::uint64_t {
  kInitStream = 1,
  kOrderStream,
  kCropStream,
  kMaskStream,
  kReplacementStream,
  kPictureStream,
  kValidationStream,
  kMixStream,
  kPartnerStream,
  kBootstrapStream
};

}  // namespace axlstm
