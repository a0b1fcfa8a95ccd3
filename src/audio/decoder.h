// One sound being decoded, by whichever library can: libsndfile, libmpg123 or FFmpeg's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "axlstm/audio/decode.h"
#include "byte_source.h"

namespace axlstm::audio {

inline constexpr int kMaxChannels = 256;
inline constexpr int kMinSampleRate = 100;  ///< Hz; a damaged header's 1 Hz would grow without bound when resampled

/// Used by one thread. Sources must outlive it.
class Decoder {
 public:
  virtual ~Decoder() = default;

  virtual int sample_rate() const = 0;

  /// Decodes up to `count` frames, channels averaged; fewer only at the end. Throws Error without the file's name.
  virtual std::int64_t read(float* target, std::int64_t count) = 0;

  /// Passes over `count` frames, to the sample; fewer only at the end. Returns how many.
  virtual std::int64_t skip(std::int64_t count);

  /// Frames that the file says it holds; negative where it does not say, or says what is known to be wrong.
  virtual std::int64_t promised() const { return -1; }

  /// Share of the promised blocks that are there, where the decoder counts those instead; at most 1.
  virtual double share() const { return 1; }

  /// By how many frames promised() may be wrong.
  virtual std::int64_t uncertainty() const { return 0; }

  /// Whether less than promised is to be taken, for what is there is whole (a header copied from a longer file).
  virtual bool is_whole_without_promise() { return false; }

  /// What of the file was not taken and why; empty if nothing is known to be. Complete after the last frame.
  virtual std::string note() const { return ""; }
};

/// For libraries that decode a block at a time.
class BlockDecoder : public Decoder {
 public:
  std::int64_t read(float* target, std::int64_t count) final;

 protected:
  /// Fills `mixed_` with what comes next and sets `next_` to 0; false at the end.
  virtual bool decode() = 0;

  std::vector<float> mixed_;  ///< decoded, channels averaged
  std::size_t next_ = 0;      ///< the first of them that was not given yet
};

/// Averages `frames` frames of interleaved channels.
void mix_down(const float* interleaved, std::int64_t frames, int channels, float* target);

/// Several sounds after each other as one: those of the first one's rate. What follows at another rate is left out and
/// noted.
class ChainedDecoder final : public Decoder {
 public:
  using Open = std::unique_ptr<Decoder> (*)(const ByteSource&);

  /// `parts` (at least one) are opened by `open` when their turn comes. `what` names them in the note, such as "joined
  /// files"; `share` is that of all together.
  ChainedDecoder(std::vector<std::unique_ptr<ByteSource>> parts, Open open, std::string what, double share);

  int sample_rate() const override { return current_->sample_rate(); }
  std::int64_t read(float* target, std::int64_t count) override;
  std::int64_t promised() const override { return parts_.size() == 1 ? current_->promised() : -1; }
  double share() const override { return share_; }
  std::int64_t uncertainty() const override { return current_->uncertainty(); }
  std::string note() const override;

 private:
  bool open_next();

  std::vector<std::unique_ptr<ByteSource>> parts_;
  Open open_;
  std::string what_;
  double share_;
  std::size_t index_ = 0;
  std::unique_ptr<Decoder> current_;
  std::size_t left_out_ = 0;  ///< parts of another rate
  std::string notes_;
};

/// libsndfile on a container that it knows. Throws Error if it does not.
std::unique_ptr<Decoder> open_sndfile(const ByteSource& bytes);

/// libsndfile on samples without a header.
struct RawFormat {
  int sample_rate, channels;
  int bits;
  bool is_float;
};
std::unique_ptr<Decoder> open_raw(const ByteSource& bytes, const RawFormat& format);

/// Samples whose place and scale are known; all of them must be there.
std::unique_ptr<Decoder> open_pcm16(const ByteSource& bytes, const Pcm16& pcm16);

/// libmpg123 on MPEG audio (MP1, MP2, MP3), joined files too. Null if there is none or, unless `certain`, if it does
/// not begin near the start and fill at least half of the rest: sound within another container is not for it.
std::unique_ptr<Decoder> open_mpeg(const ByteSource& bytes, bool certain);

/// Ogg: libsndfile on each link of a chain; null for streams that it does not read (FLAC, video beside the sound).
std::unique_ptr<Decoder> open_ogg(const ByteSource& bytes);

/// FFmpeg's libraries on anything else. Throws Error naming container or codec and the reason.
std::unique_ptr<Decoder> open_ffmpeg(const ByteSource& bytes);

/// True if the bytes end on a whole FLAC frame, by its checksum.
bool ends_on_flac_frame(const ByteSource& bytes);

std::string mpg123_version();
std::string ffmpeg_version();  ///< empty without FFmpeg's libraries

}  // namespace axlstm::audio
