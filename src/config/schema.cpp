#include "axlstm/config/schema.h"

#include <algorithm>

#include "axlstm/config/hear_schema.h"
#include "axlstm/core/error.h"
#include "axlstm/model/architecture.h"

namespace axlstm::config {
namespace {

/// Collects the keys whose value changes none of a run's numbers.
class EffectFree final : public Visitor {
 public:
  std::vector<std::string> keys;

  void begin_section(const char* name, const char*) override { section_ = name; }
  void end_section() override {}
  void integer(const char* key, std::int64_t&, Range, const char*, Effect effect) override { add(key, effect); }
  void number(const char* key, double&, Range, const char*, Effect effect) override { add(key, effect); }
  void boolean(const char* key, bool&, const char*, Effect effect) override { add(key, effect); }
  void text(const char* key, std::string&, const char*, Effect effect) override { add(key, effect); }
  void texts(const char* key, std::vector<std::string>&, const char*, Effect effect) override { add(key, effect); }
  void choice_index(const char* key, const std::vector<std::string>&, int&, const char*, Effect effect) override {
    add(key, effect);
  }

 private:
  void add(const char* key, Effect effect) {
    if (effect == Effect::kNone) keys.push_back(section_ + "." + key);
  }

  std::string section_;
};

void flatten(const Node& node, const std::string& prefix, std::vector<std::pair<std::string, std::string>>& out) {
  for (const auto& [key, value] : node.entries) {
    const std::string path = prefix.empty() ? key : prefix + "." + key;
    if (value.kind == Node::Kind::kMap) {
      flatten(value, path, out);
      continue;
    }
    std::string text = value.scalar;
    for (const Node& item : value.items) text += "\n" + item.scalar;
    out.emplace_back(path, text);
  }
}

template <typename Options>
bool same(Options a, Options b) {
  Writer of_a, of_b;
  visit(a, of_a);
  visit(b, of_b);
  return of_a.yaml() == of_b.yaml();
}

RunConfig read_keys(const Node& root) {
  RunConfig config;
  Reader reader(root);
  visit(config, reader);
  reader.finish();
  return config;
}

constexpr const char* kOfClassification = " is of objective.name classification; remove it, or use `finetune`";

/// Throws UsageError for keys that do not fit a classifier.
void check_classification(const RunConfig& config) {
  const auto& classification = config.classification;
  need(same(config.mask, model::MaskOptions()), "section mask is of pre-training; remove it");
  need(same(config.loss, model::LossOptions()), "section loss is of pre-training; remove it");
  model::check_head(config.head, config.model);
  need(classification.label_smoothing == 0 || classification.targets == objective::Targets::kMulticlass,
       str("classification.label_smoothing is ", classification.label_smoothing,
           ", but classification.targets is multilabel, where no target is spread; set it to 0"));
  need(classification.frequency_mask < config.audio.mels,
       str("classification.frequency_mask is ", classification.frequency_mask, ", it must be less than audio.mels ",
           config.audio.mels));
  const std::int64_t frames = config.head.crop_frames(config.model);
  need(classification.time_mask < frames, str("classification.time_mask is ", classification.time_mask,
                                              ", it must be less than the ", frames, " frames of a crop"));
  need(classification.train == objective::Trained::kAll || classification.drop_path == 0,
       "classification.drop_path is of a trained encoder, but classification.train is head; set one of them otherwise");
  need(classification.train == objective::Trained::kAll || !classification.encoder.empty(),
       "classification.train is head, but there is no classification.encoder to train it on");
  need(config.eval.probe.empty(), "eval.probe is of pre-training; a classifier is scored on data.validation");
  need(config.data.task.empty() ||
           (config.data.root.empty() && config.data.manifest.empty() && config.data.packed.empty() &&
            config.data.validation.empty() && config.data.test.empty() && config.data.synthetic == 0),
       "data.task names all clips; leave data.root, manifest, packed, synthetic, validation and test empty");
  need(config.data.fold < 0 || !config.data.task.empty(), "data.fold is of data.task; set that, or remove it");
  const bool validated = !config.data.validation.empty() || !config.data.task.empty();
  need(config.eval.patience == 0 || validated,
       str("eval.patience is ", config.eval.patience, ", but there is no data.validation to be scored"));
}

/// With the model resolved. Throws UsageError for keys that do not fit together.
RunConfig checked(RunConfig config) {
  config.model.mels = config.audio.mels;
  config.model = model::resolve(config.model);
  const auto& audio = config.audio;
  need(audio.window <= audio.n_fft,
       str("audio.window is ", audio.window, ", it must not be longer than audio.n_fft ", audio.n_fft));
  need(audio.f_min_hz < audio.f_max_hz && audio.f_max_hz <= static_cast<double>(audio.sample_rate) / 2,
       str("audio.f_min_hz ", audio.f_min_hz, " and f_max_hz ", audio.f_max_hz,
           " must rise and stay within half of audio.sample_rate ", audio.sample_rate));
  need(config.optim.warmup_epochs <= config.optim.epochs,
       str("optim.warmup_epochs is ", config.optim.warmup_epochs, ", more than optim.epochs ", config.optim.epochs));
  need(config.train.keep_every_steps % config.train.save_every_steps == 0,
       str("train.keep_every_steps is ", config.train.keep_every_steps,
           ", it must be a multiple of train.save_every_steps ", config.train.save_every_steps));
  if (config.objective == objective::Kind::kMaskedAutoencoder) {
    model::checked_windows(config.decoder, config.model);
    const double visible = (1 - config.mask.ratio) * static_cast<double>(config.model.patches());
    need(visible >= 1,
         str("mask.ratio ", config.mask.ratio, " leaves a masked autoencoder no visible patch; lower it"));
  } else {
    need(same(config.decoder, model::DecoderOptions()),
         "section decoder is of objective.name masked_autoencoder; remove it, or set that");
  }
  if (config.objective == objective::Kind::kClassification) {
    check_classification(config);
    return config;
  }
  need(same(config.head, model::HeadOptions()), str("section head", kOfClassification));
  need(same(config.classification, objective::ClassificationOptions()),
       str("section classification", kOfClassification));
  need(config.data.task.empty(), str("data.task", kOfClassification));
  need(config.data.test.empty(), str("data.test", kOfClassification));
  const double hidden = config.mask.ratio * static_cast<double>(config.model.patches());
  need(config.loss.region == model::LossRegion::kAll || hidden >= 1,
       str("mask.ratio ", config.mask.ratio,
           " hides no patch, and loss.region is masked; raise the ratio or set loss.region=all"));
  return config;
}

}  // namespace

void visit(RunConfig& config, Visitor& visitor) {
  visit(config.model, visitor);
  visit(config.objective, visitor);
  visit(config.mask, visitor);
  visit(config.decoder, visitor);
  visit(config.loss, visitor);
  visit(config.head, visitor);
  visit(config.classification, visitor);
  visit(config.embedding, visitor);
  visit(config.optim, visitor);
  visit(config.data, visitor);
  visit(config.audio, visitor);
  visit(config.train, visitor);
  visit(config.distributed, visitor);
  visit(config.eval, visitor);
}

RunConfig read(const Node& root) { return checked(read_keys(root)); }

RunConfig read_stored(const std::string& yaml, const std::string& source) {
  RunConfig config = read_keys(parse(yaml, source));
  config.model = model::without_foreign_keys(config.model);
  return checked(std::move(config));
}

std::string dump(RunConfig config) {
  Writer writer;
  visit(config, writer);
  return writer.yaml();
}

std::string reference() {
  RunConfig defaults;
  ReferenceWriter writer;
  visit(defaults, writer);
  return "# Configuration keys\n\nMade by `pretrain --config-reference`; a test compares the two. Set keys in a YAML "
         "file (`section:` "
         "and indented `key: value` lines; `extends: other.yaml` or a list of files to start from) or on the command "
         "line as "
         "`section.key=value`, which wins. Unknown keys and impossible values are errors.\n" +
         writer.markdown() + hear_reference();
}

std::vector<std::string> effect_free_keys() {
  RunConfig defaults;
  EffectFree visitor;
  visit(defaults, visitor);
  return visitor.keys;
}

std::vector<std::string> changed_keys(const std::string& old_yaml, const std::string& new_yaml) {
  const std::vector<std::string> harmless = effect_free_keys();
  std::vector<std::pair<std::string, std::string>> before, after;
  // Read and dumped again: a key that the version of the old run did not know yet counts with its default.
  const std::string old_resolved = dump(read_stored(old_yaml, "the run's config.yaml"));
  flatten(parse(old_resolved, "the run's config.yaml"), "", before);
  flatten(parse(new_yaml, "the new configuration"), "", after);
  std::vector<std::string> changed;
  for (const auto& entry : after) {
    if (std::find(harmless.begin(), harmless.end(), entry.first) != harmless.end()) continue;
    if (std::find(before.begin(), before.end(), entry) == before.end()) changed.push_back(entry.first);
  }
  return changed;
}

}  // namespace axlstm::config
