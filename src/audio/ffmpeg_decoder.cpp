// Whatever libsndfile and libmpg123 do not read, through FFmpeg's libraries: MP4, Matroska, WebM, AAC, FLAC in Ogg ….
extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/log.h>
#include <libavutil/opt.h>
#include <libavutil/samplefmt.h>
#include <libswresample/swresample.h>
}

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>

#include "axlstm/core/error.h"
#include "decoder.h"

namespace axlstm::audio {
namespace {

constexpr int kBufferBytes = 1 << 15;
constexpr std::int64_t kUncertainFrames = 2048;
// Sound in files; none of the kinds that name other files or addresses, which are then read too (playlists, HLS,
// concat).
constexpr const char* kFormats =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,ogg,asf,wav,w64,caf,flac,flv,avi,mpegts,mpeg,amr,amrnb,amrwb,ac3,eac3,"
    "ape,wv,tta,mp3,aiff,au,voc,nistsphere,dsf,mpc,mpc8,shorten,loas,dts,iff";

std::string reason(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE];
  av_strerror(code, text, sizeof text);
  return text;
}

/// A ByteSource as FFmpeg reads it. Exceptions must not pass through C: the first one is kept.
struct Stream {
  const ByteSource& bytes;
  std::uint64_t position = 0;
  std::exception_ptr failure = nullptr;

  void rethrow() const {
    if (failure) std::rethrow_exception(failure);
  }
};

int read_stream(void* user, std::uint8_t* target, int count) {
  auto& stream = *static_cast<Stream*>(user);
  if (stream.failure || count <= 0) return AVERROR(EIO);
  try {
    const std::size_t got = stream.bytes.read(stream.position, target, static_cast<std::size_t>(count));
    stream.position += got;
    return got == 0 ? AVERROR_EOF : static_cast<int>(got);
  } catch (...) {
    stream.failure = std::current_exception();
    return AVERROR(EIO);
  }
}

std::int64_t seek_stream(void* user, std::int64_t offset, int whence) {
  auto& stream = *static_cast<Stream*>(user);
  const auto size = static_cast<std::int64_t>(stream.bytes.size());
  if ((whence & AVSEEK_SIZE) != 0) return size;
  const int from = whence & ~AVSEEK_FORCE;
  const std::int64_t base = from == SEEK_SET ? 0 : from == SEEK_CUR ? static_cast<std::int64_t>(stream.position) : size;
  const std::int64_t target = base + offset;
  if (target < 0 || target > size) return AVERROR(EINVAL);
  stream.position = static_cast<std::uint64_t>(target);
  return target;
}

/// An object of FFmpeg's that is freed through a pointer to its pointer.
template <typename T, void (*kFree)(T**)>
struct Free {
  void operator()(T* object) const { kFree(&object); }
};
void close_input(AVFormatContext** format) { avformat_close_input(format); }
void free_io(AVIOContext** io) {
  if (*io) av_freep(&(*io)->buffer);
  avio_context_free(io);
}
using Io = std::unique_ptr<AVIOContext, Free<AVIOContext, &free_io>>;
using Format = std::unique_ptr<AVFormatContext, Free<AVFormatContext, &close_input>>;
using Codec = std::unique_ptr<AVCodecContext, Free<AVCodecContext, &avcodec_free_context>>;
using Packet = std::unique_ptr<AVPacket, Free<AVPacket, &av_packet_free>>;
using Frame = std::unique_ptr<AVFrame, Free<AVFrame, &av_frame_free>>;
using Converter = std::unique_ptr<SwrContext, Free<SwrContext, &swr_free>>;

class FfmpegDecoder final : public BlockDecoder {
 public:
  explicit FfmpegDecoder(const ByteSource& bytes) : stream_{bytes} {
    open_container();
    open_codec();
    // The codec may only know after the first frame what comes out.
    AXLSTM_CHECK(decode(), container_, ": no sound could be decoded from its ", codec_name_, " stream");
  }

  int sample_rate() const override { return rate_; }

  std::int64_t promised() const override {
    const AVStream& sound = *format_->streams[index_];
    if (sound.duration > 0 && sound.duration != AV_NOPTS_VALUE)
      return av_rescale_q(sound.duration, sound.time_base, AVRational{1, rate_});
    // A container's own length is that of the longest of its streams.
    const bool alone = format_->nb_streams == 1 && format_->duration_estimation_method != AVFMT_DURATION_FROM_BITRATE;
    if (!alone || format_->duration <= 0 || format_->duration == AV_NOPTS_VALUE) return -1;
    return av_rescale(format_->duration, rate_, AV_TIME_BASE);
  }

  /// Containers count in milliseconds or in whole blocks of the codec.
  std::int64_t uncertainty() const override { return kUncertainFrames; }

  std::string note() const override {
    std::string text;
    const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
    if (bad_packets_ > 0) add(str(bad_packets_, " of ", packets_, " ", codec_name_, " packets could not be decoded"));
    if (cut_packets_ > 0) add(str("ends early, ", cut_packets_, " ", codec_name_, " packets are cut off"));
    if (other_rate_ > 0) add(str(other_rate_, " frames are left out, for they are not at ", rate_, " Hz"));
    if (sounds_ > 1) add(str("one of its ", sounds_, " sound tracks is taken"));
    return text;
  }

 private:
  void open_container() {
    static std::once_flag quiet;
    std::call_once(quiet, [] { av_log_set_level(AV_LOG_QUIET); });
    auto* buffer = static_cast<unsigned char*>(av_malloc(kBufferBytes));
    io_.reset(avio_alloc_context(buffer, kBufferBytes, 0, &stream_, &read_stream, nullptr, &seek_stream));
    AVFormatContext* format = avformat_alloc_context();
    AXLSTM_CHECK(io_ && format, "FFmpeg: no memory");
    format->pb = io_.get();
    format->flags |= AVFMT_FLAG_CUSTOM_IO;
    av_opt_set(format, "format_whitelist", kFormats, 0);
    av_opt_set(format, "protocol_whitelist", "none", 0);
    const int code = avformat_open_input(&format, nullptr, nullptr, nullptr);  // frees the context if it fails
    stream_.rethrow();
    AXLSTM_CHECK(code >= 0, "FFmpeg: ", reason(code));
    format_.reset(format);
    container_ = format_->iformat->long_name ? format_->iformat->long_name : format_->iformat->name;
    const int found = avformat_find_stream_info(format_.get(), nullptr);
    stream_.rethrow();
    AXLSTM_CHECK(found >= 0, container_, ": ", reason(found));
    const int best = av_find_best_stream(format_.get(), AVMEDIA_TYPE_AUDIO, -1, -1, nullptr, 0);
    AXLSTM_CHECK(best >= 0, container_, ": holds no sound");
    index_ = static_cast<unsigned>(best);
    for (unsigned n = 0; n < format_->nb_streams; ++n) {
      if (n != index_) format_->streams[n]->discard = AVDISCARD_ALL;
      if (format_->streams[n]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO) ++sounds_;
    }
  }

  void open_codec() {
    const AVStream& sound = *format_->streams[index_];
    codec_name_ = avcodec_get_name(sound.codecpar->codec_id);
    const AVCodec* codec = avcodec_find_decoder(sound.codecpar->codec_id);
    AXLSTM_CHECK(codec, container_, ": its codec ", codec_name_, " is not known to this FFmpeg");
    codec_.reset(avcodec_alloc_context3(codec));
    AXLSTM_CHECK(codec_ && avcodec_parameters_to_context(codec_.get(), sound.codecpar) >= 0, container_, ": ",
                 codec_name_, " is described wrongly");
    codec_->pkt_timebase = sound.time_base;  // by which encoder's delay and padding are cut off
    codec_->thread_count = 1;
    const int code = avcodec_open2(codec_.get(), codec, nullptr);
    AXLSTM_CHECK(code >= 0, container_, ": ", codec_name_, ": ", reason(code));
    packet_.reset(av_packet_alloc());
    frame_.reset(av_frame_alloc());
    AXLSTM_CHECK(packet_ && frame_, "FFmpeg: no memory");
  }

  /// Fills `mixed_` with the next frame; false at the end.
  bool decode() override {
    mixed_.clear();
    next_ = 0;
    while (mixed_.empty()) {
      const int code = avcodec_receive_frame(codec_.get(), frame_.get());
      if (code == 0) {
        take_frame();
        av_frame_unref(frame_.get());
      } else if (code == AVERROR(EAGAIN)) {
        feed();
      } else if (code == AVERROR_EOF) {
        return false;
      } else {
        ++bad_packets_;
      }
    }
    return true;
  }

  /// Gives the codec its next packet, at the end of the file the word that there is none.
  void feed() {
    while (true) {
      const int code = av_read_frame(format_.get(), packet_.get());
      stream_.rethrow();
      if (code < 0) {
        avcodec_send_packet(codec_.get(), nullptr);
        return;
      }
      const bool ours = packet_->stream_index == static_cast<int>(index_);
      // Of plain samples the last packet is what is left of the file, said to be cut where the size is unknown.
      const bool plain = av_get_exact_bits_per_sample(codec_->codec_id) > 0;
      if (ours && !plain && (packet_->flags & AV_PKT_FLAG_CORRUPT) != 0) ++cut_packets_;
      const int sent = ours ? avcodec_send_packet(codec_.get(), packet_.get()) : 0;
      av_packet_unref(packet_.get());
      if (!ours) continue;
      ++packets_;
      if (sent >= 0) return;
      ++bad_packets_;
    }
  }

  void take_frame() {
    const AVFrame& frame = *frame_;
    if (frame.nb_samples <= 0) return;
    if (rate_ == 0) rate_ = frame.sample_rate;
    if (frame.sample_rate != rate_) {
      other_rate_ += frame.nb_samples;
      return;
    }
    const int channels = frame.ch_layout.nb_channels;
    AXLSTM_CHECK(rate_ >= kMinSampleRate && channels > 0 && channels <= kMaxChannels, "claims ", channels,
                 " channels at ", rate_, " Hz");
    if (channels != channels_ || frame.format != sample_format_) open_converter(frame);
    interleaved_.resize(static_cast<std::size_t>(frame.nb_samples) * static_cast<std::size_t>(channels));
    auto* target = reinterpret_cast<std::uint8_t*>(interleaved_.data());
    const int frames = swr_convert(converter_.get(), &target, frame.nb_samples,
                                   const_cast<const std::uint8_t**>(frame.extended_data), frame.nb_samples);
    AXLSTM_CHECK(frames >= 0, "FFmpeg: ", reason(frames));
    mixed_.resize(static_cast<std::size_t>(frames));
    mix_down(interleaved_.data(), frames, channels, mixed_.data());
  }

  /// To interleaved float32; neither rate nor channels are changed.
  void open_converter(const AVFrame& frame) {
    SwrContext* converter = nullptr;
    AVChannelLayout layout{};
    av_channel_layout_default(&layout, frame.ch_layout.nb_channels);
    const int code = swr_alloc_set_opts2(&converter, &layout, AV_SAMPLE_FMT_FLT, frame.sample_rate, &layout,
                                         static_cast<AVSampleFormat>(frame.format), frame.sample_rate, 0, nullptr);
    av_channel_layout_uninit(&layout);
    converter_.reset(converter);
    AXLSTM_CHECK(code >= 0 && swr_init(converter_.get()) >= 0, "FFmpeg: no conversion of ",
                 av_get_sample_fmt_name(static_cast<AVSampleFormat>(frame.format)), " samples");
    channels_ = frame.ch_layout.nb_channels;
    sample_format_ = frame.format;
  }

  Stream stream_;
  Io io_;
  Format format_;
  Codec codec_;
  Packet packet_;
  Frame frame_;
  Converter converter_;
  std::string container_, codec_name_;
  unsigned index_ = 0;
  int rate_ = 0, channels_ = 0, sample_format_ = -1;
  std::int64_t packets_ = 0, bad_packets_ = 0, cut_packets_ = 0, other_rate_ = 0, sounds_ = 0;
  std::vector<float> interleaved_;
};

}  // namespace

std::unique_ptr<Decoder> open_ffmpeg(const ByteSource& bytes) { return std::make_unique<FfmpegDecoder>(bytes); }

std::string ffmpeg_version() { return str("FFmpeg ", av_version_info()); }

}  // namespace axlstm::audio
