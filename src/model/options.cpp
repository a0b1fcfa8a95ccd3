#include "axlstm/model/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>
#include <variant>

#include "axlstm/core/error.h"
#include "axlstm/model/architecture.h"

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

/// Takes the values of a configuration's keys down, or puts some of them back.
class Values final : public Visitor {
 public:
  using Value = std::variant<std::int64_t, double, bool, std::string, int>;

  std::map<std::string, Value> all;
  std::map<std::string, std::string> written;
  std::set<std::string> to_restore;  ///< keys that get their value of `all` instead of giving theirs

  void begin_section(const char*, const char*) override {}
  void end_section() override {}
  void integer(const char* key, std::int64_t& value, Range, const char*, Effect) override {
    take(key, value, str(value));
  }
  void number(const char* key, double& value, Range, const char*, Effect) override { take(key, value, str(value)); }
  void boolean(const char* key, bool& value, const char*, Effect) override {
    take(key, value, value ? "true" : "false");
  }
  void text(const char* key, std::string& value, const char*, Effect) override { take(key, value, value); }
  void texts(const char*, std::vector<std::string>&, const char*, Effect) override {}  // there are none
  void choice_index(const char* key, const std::vector<std::string>& names, int& index, const char*, Effect) override {
    take(key, index, names.at(static_cast<std::size_t>(index)));
  }

 private:
  template <typename T>
  void take(const char* key, T& value, const std::string& text) {
    if (to_restore.contains(key)) {
      value = std::get<T>(all.at(key));
    } else if (to_restore.empty()) {
      all[key] = value;
      written[key] = text;
    }
  }
};

Values values_of(EncoderOptions options) {
  Values values;
  visit(options, values);
  return values;
}

/// Keys of other architectures than the one that is chosen, with those that they belong to.
std::map<std::string, std::string> foreign_keys(const EncoderOptions& options) {
  const auto& own = architecture(options.arch).keys;
  std::map<std::string, std::string> foreign;
  for (const Architecture& each : architectures()) {
    for (const std::string& key : each.keys) {
      if (std::find(own.begin(), own.end(), key) != own.end()) continue;
      std::string& owners = foreign[key];
      owners += (owners.empty() ? "" : ", ") + each.name;
    }
  }
  return foreign;
}

/// Keys that this architecture would ignore are an error, unless they say what they say by themselves: that of a model
/// which was resolved (dumped, stored) before.
void refuse_foreign_keys(const EncoderOptions& options) {
  EncoderOptions defaults;
  const Values given = values_of(options), unset = values_of(defaults);
  if (options.size != Size::kCustom)
    defaults.attention_heads = kSizes.at(static_cast<std::size_t>(options.size)).attention_heads;
  const Values by_size = values_of(defaults);
  for (const auto& [key, owners] : foreign_keys(options)) {
    const std::string& value = given.written.at(key);
    if (value == unset.written.at(key) || value == by_size.written.at(key)) continue;
    throw UsageError(str("model.", key, " is ", value, ", a key of ", owners, ", but model.arch is ", options.arch,
                         "; remove it, or set model.", key, "=", unset.written.at(key)));
  }
}

}  // namespace

EncoderOptions without_foreign_keys(EncoderOptions options) {
  Values defaults = values_of({});
  for (const auto& [key, owners] : foreign_keys(options)) defaults.to_restore.insert(key);
  visit(options, defaults);
  return options;
}

void visit(EncoderOptions& model, Visitor& v) {
  v.begin_section("model", "The encoder.");
  std::vector<std::string> names;
  std::string summaries;
  for (const Architecture& each : architectures()) {
    names.push_back(each.name);
    summaries += (summaries.empty() ? "" : ", or ") + each.summary;
  }
  auto arch = static_cast<int>(std::find(names.begin(), names.end(), model.arch) - names.begin());
  v.choice_index("arch", names, arch, summaries.c_str());
  model.arch = names.at(static_cast<std::size_t>(arch));
  const std::string sizes = of_sizes([](const SizeRow& row) { return str(row.dim, "×", row.depth); });
  v.choice("size", model.size, str("width × blocks: ", sizes, "; custom takes dim and depth").c_str());
  v.integer("dim", model.dim, {0, 65536}, "width D; 0: by size");
  v.integer("depth", model.depth, {0, 1024}, "blocks; 0: by size");
  const std::string heads = of_sizes([](const SizeRow& row) { return str(row.attention_heads); });
  v.integer("attention_heads", model.attention_heads, {0, 1024}, str("ssast, mae: 0: by size (", heads, ")").c_str());
  v.integer("expansion", model.expansion, {1, 64},
            "axlstm, ssam: inner width / D. The paper's best models: 3; released configs: AxLSTM 2, SSAM 3");
  v.integer("state", model.state, {1, 4096}, "ssam only: numbers that each channel remembers");
  v.boolean(
      "flip", model.flip,
      "axlstm only: every second block runs backwards in time. The paper's best models: false; released configs: true");
  v.choice("input_gate", model.input_gate, "axlstm only: sigmoid is the Table 5 ablation");
  v.boolean("class_token", model.class_token, "mae only: a token in front of the patches");
  v.choice("activation", model.activation, "mae only: of the MLP; gelu_tanh is the default of JAX");
  v.boolean(
      "train_positions", model.train_positions,
      "mae only: positions start as sines and are trained; with objective.name masked_autoencoder the decoder's too");
  v.integer("frames", model.frames, kPositive, "length of a crop in frames: 200 is two seconds");
  v.integer("patch_frames", model.patch_frames, kPositive, "frames of a patch");
  v.integer("patch_mels", model.patch_mels, kPositive, "mel bins of a patch");
  v.choice("patch_order", model.patch_order,
           "in which blocks see the patches: frame by frame, or frequency by frequency; without windows, attention "
           "alone sees no difference. AxLSTM, SSAM and MW-MAE as released: time");
  v.end_section();
  v.begin_section("kernel", "What computes the model; results agree to rounding. docs/kernel.md, docs/performance.md.");
  v.choice(
      "backend", model.backend,
      "of blocks: LibTorch operators (reference; SSAST too), step by step (recurrent; SSAM both times), own code for "
      "AxLSTM's cell or SSAM's scan (cell) or for the whole block (fused): on the CPU in fp32, on a GPU CUDA kernels "
      "(AxLSTM's block: bf16, fp16); auto: the fastest that can run",
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
  v.number("ratio", mask.ratio, {0, 0.999}, "share of the patches that are masked");
  v.choice("mode", mask.mode, "single patches, or whole time steps");
  v.end_section();
}

void visit(DecoderOptions& decoder, Visitor& v) {
  v.begin_section("decoder", "What a masked autoencoder predicts the hidden patches by (objective.name).");
  v.integer("dim", decoder.dim, {4, 65536}, "width");
  v.integer("depth", decoder.depth, {1, 1024}, "transformer blocks");
  v.integer("heads", decoder.heads, {1, 1024}, "attention heads");
  v.texts(
      "windows", decoder.windows,
      "of MW-MAE: for each head the tokens that it attends among, or global, such as [2, 5, 10, 25, 50, 125, global, "
      "global]; empty: plain attention");
  v.end_section();
}

void visit(LossOptions& loss, Visitor& v) {
  v.begin_section("loss", "Mean squared error of the predicted pixels.");
  v.choice("region", loss.region, "masked patches only (paper), or all patches (released code)");
  v.boolean("normalize_targets", loss.normalize_targets,
            "predict each patch's pixels normalised to mean 0, variance 1");
  v.end_section();
}

void visit(HeadOptions& head, Visitor& v) {
  v.begin_section("head", "What a classifier puts behind the encoder (objective.name classification).");
  v.texts(
      "classes", head.classes,
      "names of the classes, in the order of the outputs; empty: those of classification.labels, or of all training "
      "clips in alphabetical order. Stored with the run");
  v.choice(
      "pooling", head.pooling,
      "what the head sees: the mean of the patches' tokens; time_mean: their mean over time, with the tokens of all "
      "frequencies side by side, as in embeddings; the class token; or both, this and the mean");
  v.integer("hidden", head.hidden, {0, 65536}, "units of a hidden layer with GELU; 0: a linear head");
  v.boolean("norm", head.norm, "a layer norm in front of the head");
  v.number("dropout", head.dropout, {0, 0.999}, "of what the last layer sees");
  v.integer("windows", head.windows, {1, 10000},
            "windows of model.frames that make a crop: the encoder sees each by itself, the head the mean of their "
            "embeddings");
  v.end_section();
}

void check_head(const HeadOptions& head, const EncoderOptions& encoder) {
  const bool wants_class_token = head.pooling == Pooling::kClassToken || head.pooling == Pooling::kBoth;
  need(!wants_class_token || encoder.class_token,
       str("head.pooling is ", enum_name(head.pooling),
           ", but the encoder has no class token (model.class_token is false); set head.pooling=mean"));
  std::set<std::string> known;
  for (const std::string& name : head.classes)
    need(known.insert(name).second, str("head.classes has '", name, "' twice; a class is named once"));
  need(head.classes.empty() || head.classes.size() > 1,
       str("head.classes has only '", head.classes.empty() ? "" : head.classes.front(), "'; two are needed at least"));
}

EncoderOptions resolve(EncoderOptions options) {
  refuse_foreign_keys(options);
  if (options.size == Size::kCustom) {
    need(options.dim > 0 && options.depth > 0, "model.size custom needs model.dim and model.depth");
  } else {
    const SizeRow& row = kSizes.at(static_cast<std::size_t>(options.size));
    const char* name = enum_name(options.size);
    take("dim", name, row.dim, options.dim);
    take("depth", name, row.depth, options.depth);
    take("attention_heads", name, row.attention_heads, options.attention_heads);
  }
  need(options.dim % 4 == 0, str("model.dim is ", options.dim, ", it must be a multiple of 4"));
  architecture(options.arch).check(options);
  need(options.frames % options.patch_frames == 0,
       str("model.patch_frames is ", options.patch_frames, ", it must divide model.frames ", options.frames));
  need(options.mels % options.patch_mels == 0,
       str("model.patch_mels is ", options.patch_mels, ", it must divide audio.mels ", options.mels));
  return options;
}

std::vector<std::int64_t> checked_windows(const DecoderOptions& decoder, const EncoderOptions& encoder) {
  need(decoder.dim % decoder.heads == 0 && decoder.dim % 2 == 0,
       str("decoder.dim is ", decoder.dim, ", it must be even and a multiple of decoder.heads ", decoder.heads));
  std::vector<std::int64_t> windows;
  for (const std::string& text : decoder.windows) {
    std::int64_t window = 0;
    if (text != kGlobal) {
      const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), window);
      need(failure == std::errc() && end == text.data() + text.size() && window > 0,
           str("decoder.windows has '", text, "', it takes numbers of tokens and ", kGlobal));
      need(encoder.patches() % window == 0,
           str("decoder.windows has ", window, ", it must divide the ", encoder.patches(), " patches of a clip"));
    }
    windows.push_back(window);
  }
  need(windows.empty() || static_cast<std::int64_t>(windows.size()) == decoder.heads,
       str("decoder.windows has ", windows.size(), " entries, it needs one for each of the ", decoder.heads, " heads"));
  need(windows.empty() || !encoder.class_token,
       "decoder.windows are of patches: set model.class_token=false (with model.arch=mae), or remove the windows");
  return windows;
}

std::string describe(const EncoderOptions& options) {
  return str(options.arch, " ", enum_name(options.size), " (D ", options.dim, ", ", options.depth, " blocks, ",
             architecture(options.arch).describe(options), ", patches ", options.patch_frames, "×", options.patch_mels,
             ")");
}

}  // namespace axlstm::model
