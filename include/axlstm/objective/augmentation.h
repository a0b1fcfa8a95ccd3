// What is done to the crops that a classifier is trained on. Every random number comes from outside.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace axlstm::objective {

/// Sets up to `most` neighbouring places of `axis` (2: frames, 3: mel bins) of spectrogram [B, 1, L, F] to 0, the mean
/// of a normalised clip: SpecAugment (Park et al., 2019). Of each clip ⌊u₀·(most + 1)⌋ of them, from the place
/// ⌊u₁·(size − width + 1)⌋ on; u [B, 2] in [0, 1).
torch::Tensor masked(const torch::Tensor& spectrogram, std::int64_t axis, std::int64_t most, const torch::Tensor& u);

/// Rolls each crop of spectrogram [B, 1, L, F] along time by ⌊u·(2·most + 1)⌋ − most frames; u [B] in [0, 1).
torch::Tensor rolled(const torch::Tensor& spectrogram, std::int64_t most, const torch::Tensor& u);

/// What the branches of an encoder's blocks are multiplied by: 0 with probability p, else 1 / (1 − p) (stochastic
/// depth, Huang et al., 2016). p rises linearly from 0 in the first branch to `rate` in the last block's; branches of a
/// block share it. u [B, branches] in [0, 1) → [branches, B]; `per_block` branches in each block.
torch::Tensor drop_path_factors(const torch::Tensor& u, double rate, std::int64_t per_block);

/// 0 with probability `rate`, else 1 / (1 − rate); as u in [0, 1).
torch::Tensor dropout_factors(const torch::Tensor& u, double rate);

}  // namespace axlstm::objective
