// What the tests of the executables share: a few seconds of made-up audio and a model that trains in seconds.
#pragma once

#include <gtest/gtest.h>
#include <sndfile.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/core/files.h"
#include "support/process.h"
#include "support/tmpdir.h"

namespace axlstm::test {

/// Writes interleaved float samples as 16-bit WAV (or as what `format` says).
inline void write_audio(const std::filesystem::path& path, const std::vector<float>& samples, int channels = 1,
                        int rate = 16000, int format = SF_FORMAT_WAV | SF_FORMAT_PCM_16) {
  std::filesystem::create_directories(path.parent_path());
  SF_INFO info{};
  info.samplerate = rate;
  info.channels = channels;
  info.format = format;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  ASSERT_NE(file, nullptr) << path;
  const auto frames = static_cast<sf_count_t>(samples.size()) / channels;
  ASSERT_EQ(sf_writef_float(file, samples.data(), frames), frames);
  sf_close(file);
}

/// A tone that fades and comes back, so that the spectrogram is not constant.
inline std::vector<float> tone(double hz, double seconds, int rate = 16000) {
  std::vector<float> samples(static_cast<std::size_t>(seconds * rate));
  for (std::size_t n = 0; n < samples.size(); ++n) {
    const double time = static_cast<double>(n) / rate;
    samples[n] = static_cast<float>(0.4 * std::sin(6.2831853 * hz * time) * (1.0 + std::sin(5.0 * time)) / 2.0);
  }
  return samples;
}

/// A temporary folder with audio/: twelve tones of 0.5 to 3 seconds.
class AppTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int n = 0; n < 12; ++n) {
      write_audio(folder_.path() / "audio" / ("tone" + std::to_string(n) + ".wav"),
                  tone(200 + 150 * n, 0.5 + 0.25 * n));
    }
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  /// A pretrain command line: 36 steps of a nano model with a checkpoint every five.
  std::vector<std::string> pretrain(const std::string& run, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"pretrain",
                                       "model.size=custom",
                                       "model.dim=16",
                                       "model.depth=2",
                                       "model.expansion=2",
                                       "model.patch_frames=8",
                                       "optim.epochs=12",
                                       "optim.warmup_epochs=2",
                                       "optim.global_batch=4",
                                       "optim.base_lr=1",
                                       "train.device=cpu",
                                       "train.threads=1",
                                       "train.save_every_steps=5",
                                       "train.log_every_steps=5",
                                       "train.picture_every_steps=18",
                                       "data.workers=2",
                                       "data.root=" + path("audio"),
                                       "train.run_dir=" + path(run)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  std::string final_weights(const std::string& run) const {
    return read_file(folder_.path() / run / "checkpoints/step-00000036/model.safetensors");
  }

  TemporaryFolder folder_;
};

}  // namespace axlstm::test
