// For which vector instructions the row kernels are compiled: on x86-64 SSSE3 (what src/CMakeLists.txt compiles them
// for: Highway's one-lane form of GCC 12 has no shuffles), AVX2 and AVX-512. The
// program takes the widest that its processor has. Comes before all of Highway's headers.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
