#include <sndfile.h>

#include <algorithm>
#include <exception>
#include <functional>

#include "axlstm/core/error.h"
#include "decoder.h"

namespace axlstm::audio {
namespace {

constexpr std::int64_t kBlockFrames = 1 << 14;

/// A ByteSource as libsndfile reads it. Exceptions must not pass through C: the first one is kept.
struct Stream {
  const ByteSource& bytes;
  sf_count_t position = 0;
  std::exception_ptr failure = nullptr;
};

SF_VIRTUAL_IO callbacks() {
  SF_VIRTUAL_IO io{};
  io.get_filelen = [](void* user) { return static_cast<sf_count_t>(static_cast<Stream*>(user)->bytes.size()); };
  io.seek = [](sf_count_t offset, int whence, void* user) {
    auto& stream = *static_cast<Stream*>(user);
    const auto size = static_cast<sf_count_t>(stream.bytes.size());
    const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? stream.position : size;
    return stream.position = std::clamp<sf_count_t>(base + offset, 0, size);
  };
  io.read = [](void* target, sf_count_t count, void* user) -> sf_count_t {
    auto& stream = *static_cast<Stream*>(user);
    if (count <= 0 || stream.failure) return 0;
    try {
      const auto got = static_cast<sf_count_t>(
          stream.bytes.read(static_cast<std::uint64_t>(stream.position), target, static_cast<std::size_t>(count)));
      stream.position += got;
      return got;
    } catch (...) {
      stream.failure = std::current_exception();
      return 0;
    }
  };
  io.write = [](const void*, sf_count_t, void*) { return sf_count_t{0}; };
  io.tell = [](void* user) { return static_cast<Stream*>(user)->position; };
  return io;
}

class SndfileDecoder final : public Decoder {
 public:
  SndfileDecoder(const ByteSource& bytes, const SF_INFO& info)
      : stream_{bytes}, info_(info), file_(nullptr, &sf_close) {
    SF_VIRTUAL_IO io = callbacks();
    file_.reset(sf_open_virtual(&io, SFM_READ, &info_, &stream_));
    rethrow();
    AXLSTM_CHECK(file_, "libsndfile: ", sf_strerror(nullptr));
    AXLSTM_CHECK(info_.samplerate >= kMinSampleRate && info_.channels > 0 && info_.channels <= kMaxChannels, "claims ",
                 info_.channels, " channels at ", info_.samplerate, " Hz");
    block_.resize(static_cast<std::size_t>(kBlockFrames) * static_cast<std::size_t>(info_.channels));
  }

  int sample_rate() const override { return info_.samplerate; }

  /// A FLAC written to a pipe does not tell its length: it lasts as long as it can be read.
  std::int64_t promised() const override { return info_.frames == SF_COUNT_MAX ? -1 : info_.frames; }

  bool is_whole_without_promise() override {
    return (info_.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC && ends_on_flac_frame(stream_.bytes);
  }

  std::int64_t read(float* target, std::int64_t count) override {
    std::int64_t got = 0;
    while (got < count) {
      const std::int64_t wanted = std::min(count - got, kBlockFrames);
      float* const direct = info_.channels == 1 ? target + got : block_.data();
      const sf_count_t frames = sf_readf_float(file_.get(), direct, wanted);
      rethrow();
      if (frames <= 0) break;
      if (info_.channels > 1) mix_down(block_.data(), frames, info_.channels, target + got);
      got += frames;
    }
    return got;
  }

  std::int64_t skip(std::int64_t count) override {
    const std::int64_t end = promised();
    if (end < 0 || count == 0) return Decoder::skip(count);
    const std::int64_t target = std::min(count, end);
    AXLSTM_CHECK(sf_seek(file_.get(), target, SEEK_SET) == target, "cannot seek to frame ", target);
    rethrow();
    return target;
  }

 private:
  void rethrow() const {
    if (stream_.failure) std::rethrow_exception(stream_.failure);
  }

  Stream stream_;
  SF_INFO info_;
  std::unique_ptr<SNDFILE, decltype(&sf_close)> file_;
  std::vector<float> block_;
};

}  // namespace

std::unique_ptr<Decoder> open_sndfile(const ByteSource& bytes) {
  return std::make_unique<SndfileDecoder>(bytes, SF_INFO{});
}

std::unique_ptr<Decoder> open_raw(const ByteSource& bytes, const RawFormat& format) {
  const int subtype = format.is_float     ? (format.bits == 64 ? SF_FORMAT_DOUBLE : SF_FORMAT_FLOAT)
                      : format.bits == 8  ? SF_FORMAT_PCM_U8
                      : format.bits == 16 ? SF_FORMAT_PCM_16
                      : format.bits == 24 ? SF_FORMAT_PCM_24
                                          : SF_FORMAT_PCM_32;
  SF_INFO info{};
  info.samplerate = format.sample_rate;
  info.channels = format.channels;
  info.format = SF_FORMAT_RAW | subtype | SF_ENDIAN_LITTLE;
  return std::make_unique<SndfileDecoder>(bytes, info);
}

}  // namespace axlstm::audio
