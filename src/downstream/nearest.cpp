#include "axlstm/downstream/nearest.h"

#include <torch/torch.h>

#include <algorithm>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/core/random.h"
#include "axlstm/downstream/split_embeddings.h"
#include "axlstm/features/log_mel.h"
#include "axlstm/metrics/classification.h"

namespace axlstm::downstream {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kNeighbours = 20;
constexpr double kTemperature = 0.07;
constexpr std::size_t kFilesAtOnce = 32;
constexpr std::uint64_t kChoiceSeed = 0;

}  // namespace

torch::Tensor nearest_neighbour_predictions(const torch::Tensor& queries, const torch::Tensor& embeddings,
                                            const torch::Tensor& targets, std::int64_t neighbours) {
  const torch::NoGradGuard no_grad;
  const auto mean = embeddings.mean(0);
  const auto deviation = embeddings.std(0, /*unbiased=*/false).clamp_min(1e-12);  // a constant column stays 0
  const auto unit = [&](const torch::Tensor& x) {
    const auto standard = (x - mean) / deviation;
    return standard / standard.norm(2, -1, /*keepdim=*/true).clamp_min(1e-12);
  };
  const auto similarity = unit(queries).mm(unit(embeddings).t());  // [M, N]
  const auto [nearest, index] = similarity.topk(std::min(neighbours, embeddings.size(0)), -1);
  const auto weight = (nearest / kTemperature).softmax(-1);  // [M, k]
  return torch::bmm(weight.unsqueeze(1), targets.index({index})).squeeze(1);
}

NearestNeighbourProbe::NearestNeighbourProbe(const fs::path& task_dir, int sample_rate, std::int64_t max_clips)
    : task_dir_(task_dir), sample_rate_(sample_rate), metadata_(hear::load_task_metadata(task_dir)) {
  if (metadata_.embedding_type != hear::EmbeddingType::kScene)
    throw UsageError(task_dir.string() + ": is a task of events; a task of whole clips is needed here");
  const auto plan = hear::plan_splits(metadata_).front();
  train_ = choose(plan.train, max_clips);
  valid_ = choose(plan.valid, max_clips);
}

NearestNeighbourProbe::Clips NearestNeighbourProbe::choose(const std::vector<std::string>& splits,
                                                           std::int64_t max_clips) const {
  Clips all;
  hear::LabelLists labels;
  for (const std::string& split : splits) {
    for (auto& clip : hear::load_scene_split(task_dir_, split, metadata_.prediction_type)) {
      all.files.push_back(task_dir_ / std::to_string(sample_rate_) / split / clip.file);
      labels.push_back(std::move(clip.labels));
    }
  }
  AXLSTM_CHECK(!all.files.empty(), task_dir_.string(), ": its training or validation split has no clips");
  auto order = permutation(static_cast<std::int64_t>(all.files.size()), kChoiceSeed);
  order.resize(std::min(order.size(), static_cast<std::size_t>(max_clips)));
  Clips chosen;
  hear::LabelLists chosen_labels;
  for (const std::int64_t n : order) {
    const auto& file = all.files[static_cast<std::size_t>(n)];
    AXLSTM_CHECK(fs::exists(file), file.string(), ": no such file, but the task lists it");
    chosen.files.push_back(file);
    chosen_labels.push_back(labels[static_cast<std::size_t>(n)]);
  }
  chosen.targets = label_matrix(chosen_labels, hear::load_label_vocabulary(task_dir_), metadata_.prediction_type,
                                task_dir_.string());
  return chosen;
}

torch::Tensor NearestNeighbourProbe::embed(embed::ClipEncoder& encoder, const Clips& clips) const {
  std::vector<torch::Tensor> embeddings;
  for (std::size_t first = 0; first < clips.files.size(); first += kFilesAtOnce) {
    std::vector<torch::Tensor> waveforms(std::min(kFilesAtOnce, clips.files.size() - first));
    at::parallel_for(0, static_cast<std::int64_t>(waveforms.size()), 1, [&](std::int64_t begin, std::int64_t end) {
      for (auto n = static_cast<std::size_t>(begin); n < static_cast<std::size_t>(end); ++n) {
        const auto& file = clips.files[first + n];
        auto wave = audio::decode_file(file);
        if (!wave.note.empty()) log::warn(str("taken in part: ", file.string(), ": ", wave.note));
        AXLSTM_CHECK(wave.sample_rate == sample_rate_, file.string(), ": is at ", wave.sample_rate, " Hz instead of ",
                     sample_rate_);
        waveforms[n] = features::as_tensor(std::move(wave));
      }
    });
    for (const auto& embedding : encoder.embed(waveforms, embed::EmbeddingKind::kScene))
      embeddings.push_back(embedding.scene);
  }
  return torch::stack(embeddings);
}

double NearestNeighbourProbe::score(embed::ClipEncoder& encoder) const {
  const torch::InferenceMode inference;  // as the embeddings
  const auto embeddings = embed(encoder, train_);
  const auto predictions =
      nearest_neighbour_predictions(embed(encoder, valid_), embeddings, train_.targets, kNeighbours).contiguous();
  const auto view = [](const torch::Tensor& x) {
    return std::span(x.const_data_ptr<float>(), static_cast<std::size_t>(x.numel()));
  };
  return metrics::score(metadata_.evaluation.front(),
                        {view(predictions), view(valid_.targets), valid_.targets.size(1)});
}

std::string NearestNeighbourProbe::description() const {
  return str(metadata_.task_name, ": ", metadata_.evaluation.front(), " of ", valid_.files.size(),
             " clips by the nearest of ", train_.files.size());
}

}  // namespace axlstm::downstream
