#include "axlstm/model/options.h"

#include <array>

#include "axlstm/core/error.h"
#include "axlstm/model/architecture.h"

namespace axlstm::model {
namespace {

struct SizeRow {
  const char* name;
  std::int64_t dim, depth, attention_heads;
};

constexpr std::array<SizeRow, 6> kSizes{{{"tiny", 192, 12, 3},
                                         {"small", 384, 12, 6},
                                         {"medium", 512, 12, 8},
                                         {"base", 768, 12, 12},
                                         {"large", 1024, 24, 16},
                                         {"huge", 1280, 32, 16}}};

void take(const char* key, const char* size, std::int64_t preset, std::int64_t& value) {
  if (value != 0 && value != preset) {
    throw UsageError(
        str("model.", key, " is ", value, ", but model.size ", size, " means ", preset, "; set model.size=custom"));
  }
  value = preset;
}

void need(bool holds, const std::string& message) {
  if (!holds) throw UsageError(message);
}

}  // namespace

EncoderOptions resolve(EncoderOptions options) {
  if (options.size == Size::kCustom) {
    need(options.dim > 0 && options.depth > 0, "model.size custom needs model.dim and model.depth");
  } else {
    const SizeRow& row = kSizes.at(static_cast<std::size_t>(options.size));
    take("dim", row.name, row.dim, options.dim);
    take("depth", row.name, row.depth, options.depth);
    take("attention_heads", row.name, row.attention_heads, options.attention_heads);
  }
  need(options.dim % 4 == 0, str("model.dim is ", options.dim, ", it must be a multiple of 4"));
  architecture(options.arch).check(options);
  need(options.frames % options.patch_frames == 0,
       str("model.patch_frames is ", options.patch_frames, ", it must divide model.frames ", options.frames));
  need(options.mels % options.patch_mels == 0,
       str("model.patch_mels is ", options.patch_mels, ", it must divide audio.mels ", options.mels));
  return options;
}

std::string describe(const EncoderOptions& options) {
  const std::string size =
      options.size == Size::kCustom ? "custom" : kSizes.at(static_cast<std::size_t>(options.size)).name;
  return str(options.arch, " ", size, " (D ", options.dim, ", ", options.depth, " blocks, ",
             architecture(options.arch).describe(options), ", patches ", options.patch_frames, "×", options.patch_mels,
             ")");
}

}  // namespace axlstm::model
