#include "axlstm/train/picture.h"

#include <torch/torch.h>

#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "axlstm/core/random.h"

namespace axlstm::train {

bool draw_picture(objective::Objective& objective, data::ClipSource& clips, const config::RunConfig& config,
                  const runtime::Arithmetic& arithmetic, const std::filesystem::path& png) {
  const torch::NoGradGuard no_grad;
  const std::uint64_t seed = derive_seed({static_cast<std::uint64_t>(config.train.seed), kPictureStream});
  const auto size = clips.size();
  auto crops = clips.allocate(1, config.model.frames, /*pinned=*/false);
  const auto first = static_cast<std::int64_t>(uniform_below(seed, static_cast<std::uint64_t>(size)));
  for (std::int64_t attempt = 0; attempt < size; ++attempt) {
    const std::int64_t clip = (first + attempt) % size;
    try {
      clips.read_crop(clip, seed, crops, 0);
    } catch (const Error&) {
      continue;  // the loader reports it
    }
    data::Batch batch{clips.spectrogram(crops, arithmetic.device), {clip}};
    const auto drawn = objective.draw(1, at::make_generator<at::CPUGeneratorImpl>(seed)).to(arithmetic.device);
    try {
      return objective.draw_picture(png, batch, drawn);
    } catch (const Error& failure) {  // a full disk
      log::warn(failure.what());
    } catch (const c10::OutOfMemoryError&) {
      log::warn(str(png.string(), ": not drawn, out of memory"));
    }
    return false;
  }
  return false;
}

}  // namespace axlstm::train
