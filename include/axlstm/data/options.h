// Where training audio comes from; plain values.
#pragma once

#include <cstdint>
#include <string>

namespace axlstm::data {

/// What packed clips are kept as: samples, or float16 log-mel normalised by the clip's mean and standard deviation.
enum class Encoding { kPcm16, kLogMel16 };

struct DataOptions {
  std::string root;               ///< folder of audio
  std::string manifest;           ///< list of clips (docs/data.md); empty: every audio file under root
  std::string packed;             ///< folder that pack wrote, instead of root and manifest
  std::int64_t synthetic = 0;     ///< so many clips of noise, instead of any of these, to measure speed; 0: none
  std::string validation;         ///< held-out clips: a packed folder, a folder of audio, or a manifest
  std::int64_t workers = 0;       ///< threads that decode; 0: one per core
  std::int64_t cache_mb = 1024;   ///< decoded features kept in memory
  double max_bad_fraction = 0.1;  ///< of the clips; more unreadable ones than this stop the run
};

}  // namespace axlstm::data
