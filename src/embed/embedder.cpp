#include "axlstm/embed/embedder.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/torch.h>

#include <cmath>

#include "axlstm/audio/clip_reader.h"
#include "axlstm/core/cores.h"
#include "axlstm/core/error.h"
#include "axlstm/embed/chunks.h"
#include "axlstm/embed/stream.h"

namespace axlstm::embed {
namespace {

constexpr std::int64_t kChunksOnCpu = 64, kChunksOnGpu = 256;

}  // namespace

Embedder::Embedder(model::Encoder encoder, const features::LogMelOptions& log_mel, const EmbeddingOptions& embedding,
                   runtime::Arithmetic arithmetic, std::string description, std::int64_t batch_chunks)
    : encoder_(std::move(encoder)),
      log_mel_(log_mel),
      embedding_(embedding),
      arithmetic_(arithmetic),
      chunk_encoder_(encoder_, embedding.layout, arithmetic,
                     batch_chunks > 0             ? batch_chunks
                     : arithmetic.device.is_cpu() ? kChunksOnCpu
                                                  : kChunksOnGpu),
      description_(std::move(description)) {
  encoder_->to(arithmetic_.device);
  encoder_->eval();
  log_mel_.to(arithmetic_.device);
  if (!arithmetic_.device.is_cpu()) {
    const c10::impl::VirtualGuardImpl gpu(arithmetic_.device.type());
    preparing_ = gpu.getStreamFromGlobalPool(arithmetic_.device, /*isHighPriority=*/true);
  }
}

/// A GPU leaves the cores to decoding; on the CPU the encoder needs them.
int Embedder::decoding_threads() const { return arithmetic_.device.is_cpu() ? 1 : allowed_cores(); }

int Embedder::calls_at_once() const { return arithmetic_.device.is_cpu() ? 1 : 2; }

double Embedder::passes(double seconds) const {
  if (arithmetic_.device.is_cpu()) return 0;
  const auto samples = static_cast<std::int64_t>(std::llround(seconds * sample_rate()));
  const auto frames = samples / log_mel_.options().hop + 1, L = encoder_->options().frames;
  const std::int64_t chunks = (frames + L - 1) / L;
  return static_cast<double>(chunks) / static_cast<double>(chunk_encoder_.size());
}

void Embedder::check_carries() const {
  if (encoder_->carries()) return;
  const auto& options = encoder_->options();
  const bool backwards = options.arch == "axlstm" && options.flip;
  throw UsageError(str("--state carry: ",
                       backwards ? "every second block of this model runs from the last token to the first "
                                   "(model.flip), so a chunk depends on what comes after it; pre-train one with "
                                   "model.flip=false"
                                 : "model.arch " + options.arch + " has no state that could be carried; axlstm has one",
                       ", or leave --state out"));
}

torch::Tensor Embedder::encode_next(const torch::Tensor& chunk, model::EncoderState& state) {
  const auto autocast = arithmetic_.autocast();
  return arrange_tokens(encoder_->forward_carried(chunk, state), encoder_->options(), embedding_.layout)
      .to(torch::kCPU, torch::kFloat32);
}

template <typename Make>
Chunks Embedder::prepare(const Make& make) const {
  const c10::OptionalStreamGuard guard(preparing_);
  Chunks chunks = make();
  if (preparing_) preparing_->synchronize();
  return chunks;
}

std::vector<ClipEmbedding> Embedder::embed(const std::vector<torch::Tensor>& waveforms, EmbeddingKind kind) {
  const torch::InferenceMode inference;
  std::vector<double> durations_ms;
  durations_ms.reserve(waveforms.size());
  for (const auto& waveform : waveforms)
    durations_ms.push_back(1000.0 * static_cast<double>(waveform.numel()) / static_cast<double>(sample_rate()));
  const auto chunks = prepare([&] {
    return chunks_of(waveforms, log_mel_, encoder_->options().frames, arithmetic_.device,
                     arithmetic_.device.is_cpu() ? Batching::kOneByOne : Batching::kTogether, embedding_.padding);
  });
  return embed(chunks, durations_ms, kind);
}

std::optional<FrontEnd> Embedder::front_end() const { return FrontEnd{log_mel_.options(), encoder_->options().frames}; }

std::vector<ClipEmbedding> Embedder::embed_log_mel(const std::vector<torch::Tensor>& log_mels, EmbeddingKind kind) {
  const torch::InferenceMode inference;
  std::vector<double> durations_ms;
  durations_ms.reserve(log_mels.size());
  for (const auto& log_mel : log_mels) durations_ms.push_back(1000.0 * front_end()->seconds(log_mel.size(0)));
  const auto chunks = prepare([&] {
    return chunks_of_log_mel(log_mels, log_mel_.options().mels, encoder_->options().frames, arithmetic_.device,
                             embedding_.padding);
  });
  return embed(chunks, durations_ms, kind);
}

/// `chunks` must live until this returns, for another stream made them.
std::vector<ClipEmbedding> Embedder::embed(const Chunks& chunks, const std::vector<double>& durations_ms,
                                           EmbeddingKind kind) {
  const auto& options = encoder_->options();
  std::vector<std::int64_t> steps;  // of each clip: those that audio stands behind
  for (std::size_t clip = 0; clip < durations_ms.size(); ++clip)
    steps.push_back(chunks.counts[clip] * options.grid_rows() -
                    options.grid_rows() * chunks.padded_frames[clip] / options.frames);
  if (kind == EmbeddingKind::kScene) return scenes(chunks, steps);
  const auto all = chunk_encoder_.encode(chunks.input);
  std::vector<ClipEmbedding> embeddings(steps.size());
  std::int64_t first = 0;
  for (std::size_t clip = 0; clip < steps.size(); ++clip) {
    const double step_ms = durations_ms[clip] / static_cast<double>(steps[clip]);
    embeddings[clip].timestamps = all.narrow(0, first, chunks.counts[clip]).flatten(0, 1).narrow(0, 0, steps[clip]);
    embeddings[clip].timestamps_ms.reserve(static_cast<std::size_t>(steps[clip]));
    for (std::int64_t step = 0; step < steps[clip]; ++step)
      embeddings[clip].timestamps_ms.push_back(static_cast<double>(step) * step_ms);
    first += chunks.counts[clip];
  }
  return embeddings;
}

/// Of a scene only the sums over each chunk leave a GPU: its time steps are a hundred times as much, and the mean of
/// each clip, by a chain of kernels of its own, would take as long to launch as the encoder.
std::vector<ClipEmbedding> Embedder::scenes(const Chunks& chunks, const std::vector<std::int64_t>& steps) {
  const auto rows = encoder_->options().grid_rows();
  const auto counted = torch::ones({chunks.input.size(0), rows, 1},
                                   torch::dtype(torch::kFloat32).pinned_memory(arithmetic_.device.is_cuda()));
  auto* end = counted.data_ptr<float>();  // of a clip's chunks
  for (std::size_t clip = 0; clip < steps.size(); ++clip) {
    end += chunks.counts[clip] * rows;
    std::fill(end - (chunks.counts[clip] * rows - steps[clip]), end, 0.0F);
  }
  const auto weights = counted.to(arithmetic_.device, /*non_blocking=*/true);
  const auto sums = chunk_encoder_.encode(chunks.input, weights).to(torch::kFloat64);
  std::vector<ClipEmbedding> embeddings(steps.size());
  std::int64_t first = 0;
  for (std::size_t clip = 0; clip < steps.size(); ++clip) {
    const auto sum = sums.narrow(0, first, chunks.counts[clip]).sum(0);
    embeddings[clip].scene = (sum / static_cast<double>(steps[clip])).to(torch::kFloat32);
    first += chunks.counts[clip];
  }
  return embeddings;
}

/// Once for the statistics, once for the chunks.
LongClip Embedder::embed_long(const audio::Recording& recording, const TakeStep& take) {
  const torch::InferenceMode inference;
  const auto survey = features::survey(recording, log_mel_, arithmetic_.device, log_mel_.options().clip_std);
  std::int64_t steps = 0;
  const auto give = [&](const StreamEmbedding& step) {
    const auto values = step.embedding.contiguous();
    take({values.const_data_ptr<float>(), static_cast<std::size_t>(values.numel())});
    ++steps;
  };
  EmbeddingStream stream(*this, EmbeddingKind::kTimestamp, survey.statistics, give, chunk_encoder_.size());
  audio::ClipReader clip(recording, sample_rate());
  for (auto samples = clip.read(); !samples.empty(); samples = clip.read()) stream.push(samples);
  stream.finish();
  AXLSTM_CHECK(stream.samples() == survey.samples, recording.path.string(), ": changed while it was read");
  const double duration_ms = 1000.0 * static_cast<double>(survey.samples) / static_cast<double>(sample_rate());
  return {duration_ms / static_cast<double>(steps), survey.note};
}

}  // namespace axlstm::embed
