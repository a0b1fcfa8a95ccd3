// Constants of the layers; plain values.
#pragma once

#include <cstdint>

namespace axlstm::nn {

inline constexpr std::int64_t kHeads =
    4;  ///< NH of the mLSTM, for every size (the released code ignores its num_heads)
inline constexpr std::int64_t kQkvBlockSize = 4;
inline constexpr std::int64_t kConvKernel = 4;

}  // namespace axlstm::nn
