#include "axlstm/embed/chunk_encoder.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/torch.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"

namespace axlstm::embed {
namespace {

/// Passes before the recording, in which libraries choose their kernels and take what memory they need.
constexpr int kRunsBefore = 2;

/// `x` [n, …] into the first of `all`, zeros into the others.
void fill(torch::Tensor& all, const torch::Tensor& x) {
  all.narrow(0, 0, x.size(0)).copy_(x, /*non_blocking=*/true);
  if (x.size(0) < all.size(0)) all.narrow(0, x.size(0), all.size(0) - x.size(0)).zero_();
}

/// Room for `count` of what `x` has some of.
torch::Tensor room_for(std::int64_t count, const torch::Tensor& x) {
  auto sizes = x.sizes().vec();
  sizes.front() = count;
  return torch::empty(sizes, x.options());
}

}  // namespace

torch::Tensor arrange_tokens(const torch::Tensor& tokens, const model::EncoderOptions& encoder,
                             EmbeddingLayout layout) {
  const auto rows = encoder.grid_rows(), columns = encoder.grid_columns();
  if (layout == EmbeddingLayout::kTimeFrequency) return tokens.unflatten(1, {rows, columns}).flatten(2);
  return tokens.unflatten(1, {columns, rows}).transpose(1, 2).flatten(2);
}

ChunkEncoder::ChunkEncoder(model::Encoder encoder, EmbeddingLayout layout, runtime::Arithmetic arithmetic,
                           std::int64_t size)
    : encoder_(std::move(encoder)), layout_(layout), arithmetic_(arithmetic), size_(size) {}

torch::Tensor ChunkEncoder::forward(const torch::Tensor& chunks, const torch::Tensor& weights) {
  const auto& options = encoder_->options();
  const auto autocast = arithmetic_.autocast();
  const auto tokens = encoder_->forward(chunks).narrow(1, options.class_tokens(), options.patches());
  const auto steps = arrange_tokens(tokens, options, layout_).to(torch::kFloat32);
  return weights.defined() ? (steps * weights).sum(1) : steps;
}

void ChunkEncoder::record(Pass& pass) {
  try {
    torch::Tensor output;
    pass.graph = std::make_unique<runtime::DeviceGraph>(arithmetic_.device,
                                                        [&] { output = forward(pass.chunks, pass.weights); });
    pass.output = output;
  } catch (const c10::Error& failure) {
    log::warn(str("the encoder could not be recorded as a CUDA graph: ", failure.what_without_backtrace(),
                  "; it goes on without one"));
    pass.runs = std::numeric_limits<int>::min();  // never again
  }
}

/// Always as many chunks, the last ones with zeros behind them. The result may be written over by the next run.
torch::Tensor ChunkEncoder::run(Pass& pass, const torch::Tensor& chunks, const torch::Tensor& weights) {
  if (!pass.chunks.defined()) {
    pass.chunks = room_for(size_, chunks);
    if (weights.defined()) pass.weights = room_for(size_, weights);
  }
  fill(pass.chunks, chunks);
  if (weights.defined()) fill(pass.weights, weights);
  if (pass.runs++ == kRunsBefore && runtime::DeviceGraph::has_room(arithmetic_.device)) record(pass);
  if (!pass.graph) return forward(pass.chunks, pass.weights);
  pass.graph->replay();
  return pass.output;
}

torch::Tensor ChunkEncoder::encode(const torch::Tensor& chunks, const torch::Tensor& weights) {
  const torch::InferenceMode inference;
  const bool gpu = !arithmetic_.device.is_cpu();
  torch::Tensor all;
  c10::Event done(arithmetic_.device.type());
  {
    const std::lock_guard lock(mutex_);
    Pass& pass = passes_.at(weights.defined() ? 1 : 0);
    for (std::int64_t first = 0; first < chunks.size(0);) {
      const auto count = std::min(size_.load(), chunks.size(0) - first);
      const auto part_of = [&](const torch::Tensor& x) { return x.defined() ? x.narrow(0, first, count) : x; };
      torch::Tensor part;
      try {
        part = gpu ? run(pass, part_of(chunks), part_of(weights)) : forward(part_of(chunks), part_of(weights));
      } catch (const c10::OutOfMemoryError&) {
        if (size_ == 1) throw;
      }
      if (!part.defined()) {  // outside the handler: the exception keeps tensors alive
        passes_ = {};
        size_ = size_ / 2;
        log::warn(
            str("out of memory on ", arithmetic_.device.str(), ": ", size_.load(), " chunks at once from now on"));
        continue;
      }
      if (!all.defined()) {
        auto sizes = part.sizes().vec();
        sizes.front() = chunks.size(0);
        all = torch::empty(sizes, torch::dtype(torch::kFloat32).pinned_memory(gpu));
      }
      all.narrow(0, first, count).copy_(part.narrow(0, 0, count), /*non_blocking=*/gpu);
      first += count;
    }
    if (gpu) done.record(c10::impl::VirtualGuardImpl(arithmetic_.device.type()).getStream(arithmetic_.device));
  }
  if (gpu) done.synchronize();  // the next call's passes may be launched meanwhile
  return all;
}

}  // namespace axlstm::embed
