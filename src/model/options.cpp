#include "axlstm/model/options.h"

#include <array>

#include "axlstm/core/error.h"

namespace axlstm::model {
namespace {

struct SizeRow {
  std::int64_t dim, depth, attention_heads;
};

/// Of every Size but custom.
constexpr std::array<SizeRow, 6> kSizes{
    {{192, 12, 3}, {384, 12, 6}, {512, 12, 8}, {768, 12, 12}, {1024, 24, 16}, {1280, 32, 16}}};
static_assert(kSizes.size() == static_cast<std::size_t>(Size::kCustom));

/// What `print` makes of each size, with commas between.
template <typename Print>
std::string of_sizes(const Print& print) {
  std::string list;
  for (const SizeRow& row : kSizes) list += (list.empty() ? "" : ", ") + print(row);
  return list;
}

void take(const char* key, const char* size, std::int64_t preset, std::int64_t& value) {
  if (value != 0 && value != preset) {
    throw UsageError(
        str("model.", key, " is ", value, ", but model.size ", size, " means ", preset, "; set model.size=custom"));
  }
  value = preset;
}

}  // namespace

void visit(EncoderOptions& model, Visitor& v) {
  v.begin_section("model", "The encoder.");
  v.choice("arch", model.arch, "mLSTM blocks, or the transformer baseline");
  const std::string sizes = of_sizes([](const SizeRow& row) { return str(row.dim, "×", row.depth); });
  v.choice("size", model.size, str("width × blocks: ", sizes, "; custom takes dim and depth").c_str());
  v.integer("dim", model.dim, {0, 65536}, "width D; 0: by size");
  v.integer("depth", model.depth, {0, 1024}, "blocks; 0: by size");
  const std::string heads = of_sizes([](const SizeRow& row) { return str(row.attention_heads); });
  v.integer("attention_heads", model.attention_heads, {0, 1024}, str("ssast only; 0: by size (", heads, ")").c_str());
  v.integer("expansion", model.expansion, {1, 64},
            "axlstm only: inner width / D. The paper's best models: 3; released configs: 2");
  v.boolean(
      "flip", model.flip,
      "axlstm only: every second block runs backwards in time. The paper's best models: false; released configs: true");
  v.choice("input_gate", model.input_gate, "axlstm only: sigmoid is the Table 5 ablation");
  v.integer("frames", model.frames, kPositive, "length of a crop in frames: 200 is two seconds");
  v.integer("patch_frames", model.patch_frames, kPositive, "frames of a patch");
  v.integer("patch_mels", model.patch_mels, kPositive, "mel bins of a patch");
  v.end_section();
  v.begin_section("kernel", "What computes the model; results agree to rounding. docs/kernel.md, docs/performance.md.");
  v.choice("backend", model.backend,
           "of blocks: LibTorch operators (reference; SSAST too), step by step (recurrent), CUDA kernels for the cell "
           "(cell) or for the whole block (fused: bf16, fp16); auto: the fastest that can run",
           Effect::kNone);
  v.choice("isa", model.isa,
           "instructions of the cell's kernels: of compute capability 8.0 and higher, or of 9.0 (H100, H200); auto: "
           "the faster that can run",
           Effect::kNone);
  v.boolean(
      "recompute", model.recompute,
      "fused only: keep less for the backward pass and compute it again; about half the memory, a tenth more time",
      Effect::kNone);
  v.end_section();
}

void visit(MaskOptions& mask, Visitor& v) {
  v.begin_section("mask", "Which patches are hidden in pre-training.");
  v.number("ratio", mask.ratio, {0, 0.999}, "share of the patches");
  v.choice("mode", mask.mode, "single patches, or whole time steps");
  v.end_section();
}

void visit(LossOptions& loss, Visitor& v) {
  v.begin_section("loss", "Mean squared error of the predicted pixels.");
  v.choice("region", loss.region, "hidden patches only (paper), or every patch (released code)");
  v.boolean("normalize_targets", loss.normalize_targets,
            "predict each patch's pixels normalised to mean 0, variance 1");
  v.end_section();
}

EncoderOptions resolve(EncoderOptions options) {
  if (options.size == Size::kCustom) {
    need(options.dim > 0 && options.depth > 0, "model.size custom needs model.dim and model.depth");
    need(options.arch != Arch::kSsast || options.attention_heads > 0,
         "model.size custom of arch ssast needs model.attention_heads");
  } else {
    const SizeRow& row = kSizes.at(static_cast<std::size_t>(options.size));
    const char* name = enum_name(options.size);
    take("dim", name, row.dim, options.dim);
    take("depth", name, row.depth, options.depth);
    take("attention_heads", name, row.attention_heads, options.attention_heads);
  }
  need(options.dim % 4 == 0, str("model.dim is ", options.dim, ", it must be a multiple of 4"));
  need(options.arch != Arch::kSsast || options.dim % options.attention_heads == 0,
       str("model.dim is ", options.dim, ", it must be a multiple of model.attention_heads ", options.attention_heads));
  need(options.frames % options.patch_frames == 0,
       str("model.patch_frames is ", options.patch_frames, ", it must divide model.frames ", options.frames));
  need(options.mels % options.patch_mels == 0,
       str("model.patch_mels is ", options.patch_mels, ", it must divide audio.mels ", options.mels));
  return options;
}

std::string describe(const EncoderOptions& options) {
  const bool axlstm = options.arch == Arch::kAxlstm;
  const std::string detail = axlstm ? str("E ", options.expansion, options.flip ? ", flip" : "",
                                          options.input_gate == ops::InputGate::kSigmoid ? ", sigmoid gate" : "")
                                    : str(options.attention_heads, " heads");
  return str(enum_name(options.arch), " ", enum_name(options.size), " (D ", options.dim, ", ", options.depth,
             " blocks, ", detail, ", patches ", options.patch_frames, "×", options.patch_mels, ")");
}

}  // namespace axlstm::model
