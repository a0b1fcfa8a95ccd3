#include "axlstm/model/classifier.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/model/architecture.h"
#include "axlstm/nn/init.h"

namespace axlstm::model {
namespace {

constexpr double kLastVariance = 0.02 * 0.02;

}  // namespace

ClassifierImpl::ClassifierImpl(const EncoderOptions& options, const HeadOptions& head)
    : EncoderImpl(options), head_options_(head) {
  AXLSTM_CHECK(head.outputs() > 1, "a classifier needs two classes at least, head.classes has ", head.outputs());
  std::int64_t width = embedding_width();
  if (head.norm) head_->push_back(torch::nn::LayerNorm(torch::nn::LayerNormOptions({width}).eps(1e-6)));
  if (head.hidden > 0) {
    head_->push_back(torch::nn::Linear(width, head.hidden));
    head_->push_back(torch::nn::GELU());
    width = head.hidden;
  }
  torch::nn::Linear last(width, head.outputs());
  {
    const torch::NoGradGuard no_grad;
    last->weight.copy_(nn::truncated_normal(last->weight.sizes(), kLastVariance));
    last->bias.zero_();
  }
  head_->push_back(last);
  register_module("head", head_);
}

std::int64_t ClassifierImpl::embedding_width() const {
  switch (head_options_.pooling) {
    case Pooling::kTimeMean:
      return options().grid_columns() * options().dim;
    case Pooling::kBoth:
      return 2 * options().dim;
    case Pooling::kMean:
    case Pooling::kClassToken:
      break;
  }
  return options().dim;
}

std::int64_t ClassifierImpl::last_width() const {
  return head_options_.hidden > 0 ? head_options_.hidden : embedding_width();
}

/// [B, W], the mean over the windows of each crop.
torch::Tensor ClassifierImpl::embedding(const torch::Tensor& spectrogram, const torch::Tensor& factors) {
  const auto& encoder = options();
  const std::int64_t windows = head_options_.windows, crop = head_options_.crop_frames(encoder);
  AXLSTM_CHECK(spectrogram.dim() == 4 && spectrogram.size(2) == crop, "classifier: the spectrogram must be [batch, 1, ",
               crop, ", ", encoder.mels, "], got ", spectrogram.sizes());
  const auto parts = spectrogram.reshape({spectrogram.size(0) * windows, 1, encoder.frames, spectrogram.size(3)});
  const auto tokens = normed(by_time(hidden(patches(parts), factors)));
  const auto class_token = [&] { return tokens.select(1, 0); };
  const auto of_patches = tokens.narrow(1, encoder.class_tokens(), encoder.patches());
  const auto mean = [&] { return of_patches.mean(1); };
  torch::Tensor pooled;
  switch (head_options_.pooling) {
    case Pooling::kMean:
      pooled = mean();
      break;
    case Pooling::kTimeMean:
      pooled = of_patches.unflatten(1, {encoder.grid_rows(), encoder.grid_columns()}).mean(1).flatten(1);
      break;
    case Pooling::kClassToken:
      pooled = class_token();
      break;
    case Pooling::kBoth:
      pooled = torch::cat({class_token(), mean()}, 1);
      break;
  }
  return windows == 1 ? pooled : pooled.unflatten(0, {-1, windows}).mean(1);
}

torch::Tensor ClassifierImpl::classify(torch::Tensor embedding, const torch::Tensor& kept) {
  std::size_t left = head_->size();
  for (auto& layer : *head_) {
    if (--left == 0 && kept.defined()) embedding = embedding * kept.to(embedding.scalar_type());
    embedding = layer.forward(embedding);
  }
  return embedding;
}

torch::Tensor ClassifierImpl::logits(const torch::Tensor& spectrogram, const Random& random) {
  return classify(embedding(spectrogram, random.factors), random.kept);
}

torch::Tensor ClassifierImpl::logits_of_frozen(const torch::Tensor& spectrogram, const torch::Tensor& kept) {
  torch::Tensor frozen;
  {
    const torch::NoGradGuard no_grad;
    frozen = embedding(spectrogram, {});
  }
  return classify(frozen, kept);
}

double ClassifierImpl::forward_flops() const {
  const auto windows = static_cast<double>(head_options_.windows);
  const auto width = static_cast<double>(embedding_width()), last = static_cast<double>(last_width());
  const double hidden = head_options_.hidden > 0 ? 2 * width * last : 0;
  return windows * encoder_flops(options(), options().patches()) + hidden +
         2 * last * static_cast<double>(head_options_.outputs());
}

torch::Tensor probabilities(const torch::Tensor& logits, bool exclusive) {
  const auto exact = logits.to(torch::kFloat32);
  return exclusive ? exact.softmax(-1) : exact.sigmoid();
}

torch::Tensor interpolated_positions(const torch::Tensor& positions, std::int64_t from, const EncoderOptions& options) {
  const std::int64_t columns = options.grid_columns(), first = options.class_tokens(), D = positions.size(-1);
  AXLSTM_CHECK(positions.dim() == 3 && positions.size(1) == first + from * columns, "positions ", positions.sizes(),
               " are not those of ", from, "×", columns, " patches");
  const auto grid = positions.narrow(1, first, from * columns).view({1, from, columns * D}).transpose(1, 2);
  const auto stretched = torch::upsample_linear1d(grid, {options.grid_rows()}, /*align_corners=*/false);
  return torch::cat({positions.narrow(1, 0, first), stretched.transpose(1, 2).reshape({1, -1, D})}, 1);
}

}  // namespace axlstm::model
