#include <algorithm>
#include <bit>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "decoder.h"

namespace axlstm::audio {
namespace {

static_assert(std::endian::native == std::endian::little, "samples are used as they are read");

constexpr std::int64_t kBlockSamples = 1 << 16;

class Pcm16Decoder final : public Decoder {
 public:
  Pcm16Decoder(const ByteSource& bytes, const Pcm16& pcm16) : bytes_(bytes), pcm16_(pcm16) {
    AXLSTM_CHECK(pcm16_.sample_rate >= kMinSampleRate, "claims ", pcm16_.sample_rate, " Hz");
  }

  int sample_rate() const override { return pcm16_.sample_rate; }
  std::int64_t promised() const override { return static_cast<std::int64_t>(pcm16_.samples); }

  std::int64_t read(float* target, std::int64_t count) override {
    const std::int64_t wanted = std::min(count, promised() - got_);
    const auto scale = static_cast<float>(pcm16_.scale);
    for (std::int64_t done = 0; done < wanted;) {
      block_.resize(static_cast<std::size_t>(std::min(wanted - done, kBlockSamples)));
      const std::size_t size = block_.size() * sizeof(std::int16_t);
      AXLSTM_CHECK(bytes_.read(pcm16_.offset + sizeof(std::int16_t) * static_cast<std::uint64_t>(got_), block_.data(),
                               size) == size,
                   "lies beyond the end of the file; pack again");
      checksum_ = fnv1a64({reinterpret_cast<const char*>(block_.data()), size}, checksum_);
      std::transform(block_.begin(), block_.end(), target + done,
                     [&](std::int16_t sample) { return static_cast<float>(sample) * scale; });
      done += static_cast<std::int64_t>(block_.size());
      got_ += static_cast<std::int64_t>(block_.size());
    }
    AXLSTM_CHECK(got_ < promised() || checksum_ == pcm16_.checksum,
                 "does not match its checksum, the shard is damaged; pack again");
    return wanted;
  }

 private:
  const ByteSource& bytes_;
  Pcm16 pcm16_;
  std::int64_t got_ = 0;
  std::uint64_t checksum_ = kFnv1a64Start;
  std::vector<std::int16_t> block_;
};

}  // namespace

std::unique_ptr<Decoder> open_pcm16(const ByteSource& bytes, const Pcm16& pcm16) {
  return std::make_unique<Pcm16Decoder>(bytes, pcm16);
}

}  // namespace axlstm::audio
