// Constants of the layers; plain values.
#pragma once

#include <array>
#include <cstdint>

namespace axlstm::nn {

/// Of a transformer's MLP: GELU by the error function, or its approximation by tanh.
enum class Activation { kGelu, kGeluTanh };
constexpr auto enum_names(Activation) { return std::array{"gelu", "gelu_tanh"}; }

inline constexpr std::int64_t kHeads =
    4;  ///< NH of the mLSTM, for every size (the released code ignores its num_heads)
inline constexpr std::int64_t kQkvBlockSize = 4;
inline constexpr std::int64_t kConvKernel = 4;

/// R, the rank of the steps Δ of a Mamba block.
constexpr std::int64_t step_rank(std::int64_t dim) { return (dim + 15) / 16; }

}  // namespace axlstm::nn
