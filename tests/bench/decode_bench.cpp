// How fast sound files are decoded, beside libsndfile alone on the same bytes in the same run.
// Usage: decode_bench FILE... [--rounds 30]
//
// A row a file: seconds of sound decoded a second, in turns by decode_memory() and by libsndfile with a loop that
// averages channels; medians over the rounds, and the median of the rounds' ratios. libsndfile reads what it can: of an
// MP3 without a length it may read a part ("frames").
#include <sndfile.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iomanip>
#include <iostream>

#include "axlstm/audio/decode.h"
#include "axlstm/core/duration.h"
#include "axlstm/core/files.h"

namespace {

using namespace axlstm;

struct Memory {
  std::string_view bytes;
  sf_count_t position = 0;
};

/// All of a file by libsndfile, channels averaged.
std::vector<float> by_libsndfile(std::string_view bytes, int& rate) {
  SF_VIRTUAL_IO io{};
  io.get_filelen = [](void* user) { return static_cast<sf_count_t>(static_cast<Memory*>(user)->bytes.size()); };
  io.seek = [](sf_count_t offset, int whence, void* user) {
    auto& memory = *static_cast<Memory*>(user);
    const auto size = static_cast<sf_count_t>(memory.bytes.size());
    memory.position = std::clamp<sf_count_t>(offset + (whence == SEEK_SET   ? 0
                                                       : whence == SEEK_CUR ? memory.position
                                                                            : size),
                                             0, size);
    return memory.position;
  };
  io.read = [](void* target, sf_count_t count, void* user) {
    auto& memory = *static_cast<Memory*>(user);
    count = std::clamp<sf_count_t>(count, 0, static_cast<sf_count_t>(memory.bytes.size()) - memory.position);
    std::memcpy(target, memory.bytes.data() + memory.position, static_cast<std::size_t>(count));
    memory.position += count;
    return count;
  };
  io.write = [](const void*, sf_count_t, void*) { return sf_count_t{0}; };
  io.tell = [](void* user) { return static_cast<Memory*>(user)->position; };
  Memory memory{bytes};
  SF_INFO info{};
  SNDFILE* file = sf_open_virtual(&io, SFM_READ, &info, &memory);
  std::vector<float> samples;
  if (!file) return samples;
  rate = info.samplerate;
  std::vector<float> block(static_cast<std::size_t>(1 << 16) * static_cast<std::size_t>(info.channels));
  for (sf_count_t frames = 0; (frames = sf_readf_float(file, block.data(), 1 << 16)) > 0;) {
    for (sf_count_t frame = 0; frame < frames; ++frame) {
      float sum = 0;
      for (int channel = 0; channel < info.channels; ++channel) sum += block[frame * info.channels + channel];
      samples.push_back(sum / static_cast<float>(info.channels));
    }
  }
  sf_close(file);
  return samples;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <typename Function>
double seconds_of(const Function& function) {
  const auto start = std::chrono::steady_clock::now();
  function();
  return seconds_since(start);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Decoding, beside libsndfile alone."};
  std::vector<std::string> files;
  int rounds = 30;
  app.add_option("files", files)->required();
  app.add_option("--rounds", rounds)->check(CLI::Range(1, 100000));
  CLI11_PARSE(app, argc, argv);
  std::cout << audio::decoder_version() << "\nours and libsndfile: times real time\n";
  for (const std::string& file : files) {
    const std::string bytes = read_file(file);
    const audio::Waveform wave = audio::decode_memory(bytes, file);
    int rate = 0;
    const std::size_t peer_frames = by_libsndfile(bytes, rate).size();
    std::vector<double> ours, peer, ratios;
    for (int round = 0; round < rounds; ++round) {
      const double a = seconds_of([&] { audio::decode_memory(bytes, file); });
      const double b = seconds_of([&] { by_libsndfile(bytes, rate); });
      ours.push_back(wave.seconds() / a);
      if (peer_frames == 0) continue;
      peer.push_back(static_cast<double>(peer_frames) / rate / b);
      ratios.push_back(ours.back() / peer.back());
    }
    std::cout << std::fixed << std::setprecision(0) << "ours " << median(ours);
    if (!peer.empty())
      std::cout << ", libsndfile " << median(peer) << std::setprecision(3) << ", ratio " << median(ratios);
    std::cout << ", frames " << wave.samples.size() << " / " << peer_frames << "  " << file << "\n";
  }
}
