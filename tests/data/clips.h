// A folder of generated clips, each different, and the dataset over it.
#pragma once

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "axlstm/core/error.h"
#include "axlstm/data/dataset.h"
#include "core/wav.h"
#include "support/tmpdir.h"

namespace axlstm::test {

class Clips {
 public:
  /// One clip of noise with a tone for each of `seconds`, named 00.wav, 01.wav, …
  explicit Clips(const std::vector<double>& seconds) {
    for (std::size_t clip = 0; clip < seconds.size(); ++clip) {
      auto samples = sine(seconds[clip], 200.0 + 50.0 * static_cast<double>(clip));
      std::mt19937 engine(static_cast<unsigned>(clip));
      for (auto& sample : samples)
        sample = static_cast<std::int16_t>(sample / 2 + static_cast<int>(engine() % 4096) - 2048);
      folder_.write(str(clip < 10 ? "0" : "", clip, ".wav"), wav_bytes(samples));
    }
  }

  const TemporaryFolder& folder() const { return folder_; }

  data::DataOptions options(data::DataOptions options = {}) const {
    options.root = folder_.path().string();
    return options;
  }

  data::Dataset dataset(const data::DataOptions& with = {}) const {
    return data::Dataset(data::load_manifest(options(with)), {}, options(with));
  }

  std::shared_ptr<data::Dataset> shared_dataset(const data::DataOptions& with = {}) const {
    return std::make_shared<data::Dataset>(data::load_manifest(options(with)), features::LogMelOptions{},
                                           options(with));
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace axlstm::test
