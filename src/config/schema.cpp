#include "axlstm/config/schema.h"

#include <algorithm>
#include <array>

#include "axlstm/config/hear_schema.h"
#include "axlstm/core/error.h"
#include "axlstm/model/architecture.h"

namespace axlstm::config {
namespace {

constexpr Range kPositive{1, 1e15}, kNotNegative{0, 1e15}, kFraction{0, 1};

void describe_audio(features::LogMelOptions& audio, Visitor& v) {
  v.begin_section("audio", "The front end: 16 kHz mono → log-mel spectrogram. The defaults are the paper's.");
  v.integer("sample_rate", audio.sample_rate, {1000, 384000},
            "Hz; audio at other rates is resampled (soxr, very high quality)");
  v.integer("n_fft", audio.n_fft, {16, 65536}, "points of the Fourier transform");
  v.integer("window", audio.window, {16, 65536}, "samples of the periodic Hann window");
  v.integer("hop", audio.hop, {1, 65536}, "samples from frame to frame");
  v.integer("mels", audio.mels, {1, 1024}, "mel bins (HTK scale, no area normalisation)");
  v.number("f_min_hz", audio.f_min_hz, {0, 1e6}, "lowest frequency of the filterbank");
  v.number("f_max_hz", audio.f_max_hz, {1, 1e6}, "highest frequency of the filterbank");
  v.choice(
      "clip_std", audio.clip_std, {"unbiased", "biased"},
      "how a clip's standard deviation is estimated; the released pre-training used biased, its extraction unbiased");
  v.end_section();
}

void describe_data(data::DataOptions& data, Visitor& v) {
  v.begin_section("data", "Training audio. Formats: docs/data.md.");
  v.text("root", data.root, "folder of audio, searched at any depth; with a manifest: what its paths are relative to");
  v.text("manifest", data.manifest,
         "a list of clips: table, paths, JSON, Lhotse, Kaldi, AudioSet's own `*_segments.csv` and more; empty: all "
         "audio under data.root");
  v.text("packed", data.packed, "folder of packed clips, as `pack` writes it, instead of root and manifest");
  v.integer("synthetic", data.synthetic, kNotNegative,
            "so many clips of noise instead of audio, to measure how fast training is without data; 0: none");
  v.text(
      "validation", data.validation,
      "held-out clips for the validation loss: a packed folder, a folder of audio, or a manifest (its paths relative "
      "to data.root); empty: none");
  v.integer("workers", data.workers, {0, 1024}, "threads that decode and transform; 0: one per core");
  v.integer("cache_mb", data.cache_mb, {0, 1e7}, "memory for decoded features, so that small sets are decoded once");
  v.number("max_bad_fraction", data.max_bad_fraction, kFraction,
           "unreadable clips are skipped with a warning; more than this share of them stops the run");
  v.number("min_decoded_fraction", data.min_decoded_fraction, kFraction,
           "a file of which less than this share of what it promises can be decoded is unreadable; with more it is "
           "taken, with a warning");
  v.end_section();
}

void describe_model(RunConfig& config, Visitor& v) {
  auto& model = config.model;
  v.begin_section("model", "The encoder.");
  std::vector<std::string> names;
  for (const auto& each : model::architectures()) names.push_back(each.name);
  auto arch = static_cast<int>(std::find(names.begin(), names.end(), model.arch) - names.begin());
  v.choice_index("arch", names, arch, "mLSTM blocks, or the transformer baseline");
  model.arch = names.at(static_cast<std::size_t>(arch));
  v.choice("size", model.size, {"tiny", "small", "medium", "base", "large", "huge", "custom"},
           "width × blocks: 192×12, 384×12, 512×12, 768×12, 1024×24, 1280×32; custom takes dim and depth");
  v.integer("dim", model.dim, {0, 65536}, "width D; 0: by size");
  v.integer("depth", model.depth, {0, 1024}, "blocks; 0: by size");
  v.integer("attention_heads", model.attention_heads, {0, 1024}, "ssast only; 0: by size (3, 6, 8, 12, 16, 16)");
  v.integer("expansion", model.expansion, {1, 64},
            "axlstm only: inner width / D. The paper's best models: 3; released configs: 2");
  v.boolean(
      "flip", model.flip,
      "axlstm only: every second block runs backwards in time. The paper's best models: false; released configs: true");
  v.choice("input_gate", model.input_gate, {"exponential", "sigmoid"}, "axlstm only: sigmoid is the Table 5 ablation");
  v.integer("frames", model.frames, kPositive, "length of a crop in frames: 200 is two seconds");
  v.integer("patch_frames", model.patch_frames, kPositive, "frames of a patch");
  v.integer("patch_mels", model.patch_mels, kPositive, "mel bins of a patch");
  v.end_section();
  v.begin_section("kernel", "What computes the model; results agree to rounding. docs/kernel.md, docs/performance.md.");
  v.choice("backend", model.backend, {"auto", "reference", "recurrent", "cell", "fused"},
           "of blocks: LibTorch operators (reference; SSAST too), step by step (recurrent), CUDA kernels for the cell "
           "(cell) or for the whole block (fused: bf16, fp16); auto: the fastest that can run");
  v.choice(
      "isa", model.isa, {"auto", "portable", "hopper"},
      "instructions of the cell's kernels: of compute capability 8.0 and higher, or of 9.0 (H100, H200); auto: the "
      "faster that can run");
  v.boolean(
      "recompute", model.recompute,
      "fused only: keep less for the backward pass and compute it again; about half the memory, a tenth more time");
  v.end_section();
}

void describe_task(RunConfig& config, Visitor& v) {
  v.begin_section("mask", "Which patches are hidden in pre-training.");
  v.number("ratio", config.mask.ratio, {0, 0.999}, "share of the patches");
  v.choice("mode", config.mask.mode, {"unstructured", "timestep"}, "single patches, or whole time steps");
  v.end_section();
  v.begin_section("loss", "Mean squared error of the predicted pixels.");
  v.choice("region", config.loss.region, {"masked", "all"},
           "hidden patches only (paper), or every patch (released code)");
  v.boolean("normalize_targets", config.loss.normalize_targets,
            "predict each patch's pixels normalised to mean 0, variance 1");
  v.end_section();
  v.begin_section("embedding", "What extract writes.");
  v.choice("layout", config.embedding_layout, {"time_frequency", "released"},
           "how tokens are joined into time steps; released repeats the paper's code, which mixes the axes and made "
           "the published numbers");
  v.end_section();
}

void describe_optim(train::OptimOptions& optim, Visitor& v) {
  v.begin_section("optim", "AdamW, linear warm-up from 0, then half a cosine to 0, per step.");
  v.number("base_lr", optim.base_lr, {0, 10},
           "peak learning rate per 256 clips of batch: lr = base_lr · global_batch / 256");
  v.integer("global_batch", optim.global_batch, kPositive, "clips per update");
  v.number("epochs", optim.epochs, {1e-6, 1e9}, "length of the schedule");
  v.number("warmup_epochs", optim.warmup_epochs, {0, 1e9}, "part of it that warms up");
  v.number("weight_decay", optim.weight_decay, kFraction, "not on biases and one-dimensional parameters");
  v.number("beta1", optim.beta1, {0, 0.999999}, "decay of the first moment");
  v.number("beta2", optim.beta2, {0, 0.999999}, "decay of the second moment");
  v.number("eps", optim.eps, {0, 1}, "added to the root of the second moment");
  v.number("clip_grad_norm", optim.clip_grad_norm, {0, 1e9}, "largest gradient norm; 0: no clipping, as in the paper");
  v.end_section();
}

void describe_train(train::TrainOptions& train, Visitor& v) {
  v.begin_section("train", "The run.");
  v.text("run_dir", train.run_dir,
         "folder of checkpoints, metrics and pictures; the same command resumes what is in it");
  v.choice("device", train.device, {"auto", "cpu", "cuda"}, "auto: the GPU if there is one");
  v.choice("precision", train.precision, {"auto", "bf16", "fp16", "fp32", "tf32"},
           "arithmetic of matrix products in training (weights and optimiser are float32): auto is bf16 on a GPU, fp32 "
           "on the CPU; fp16 scales the loss; tf32 is fp32 with rounded inputs, GPU only");
  v.boolean(
      "deterministic", train.deterministic,
      "on a GPU, take the operators that repeat to the last bit where LibTorch has them (it warns where not); slower. "
      "The CPU always repeats");
  v.integer("seed", train.seed, kNotNegative, "of initialisation, order, crops and masks");
  v.integer("threads", train.threads, {0, 1024},
            "CPU threads of an operator; 0: one per core that may be used. Bit-equal resume needs the same number");
  v.integer("device_batch", train.device_batch, kNotNegative,
            "clips of one forward pass, gradients are accumulated to global_batch; 0: all at once");
  v.integer("max_steps", train.max_steps, kNotNegative, "stop here without changing the schedule; 0: at its end");
  v.integer("max_skipped_steps", train.max_skipped_steps, kPositive,
            "a step whose loss or gradient is not finite is skipped; this many in a row end the run");
  v.integer(
      "log_every_steps", train.log_every_steps, kPositive,
      "progress lines where stderr is no terminal, TensorBoard's records, and the steps over which clips/s, MFU and "
      "waiting are measured");
  v.integer("save_every_steps", train.save_every_steps, kPositive, "checkpoints");
  v.integer("validate_every_steps", train.validate_every_steps, kPositive, "loss on data.validation");
  v.integer("keep_last", train.keep_last, kPositive, "newest checkpoints kept");
  v.integer("keep_every_steps", train.keep_every_steps, kNotNegative,
            "checkpoints of multiples of this are kept for ever; 0: none. A multiple of save_every_steps");
  v.number("ema_decay", train.ema_decay, {0, 0.999999999},
           "exponential moving average of the weights, kept as ema.safetensors beside the others; 0: none");
  v.integer("picture_every_steps", train.picture_every_steps, kPositive, "reconstruction pictures");
  v.end_section();
}

void describe_eval(train::EvalOptions& eval, Visitor& v) {
  v.begin_section("eval", "A score of the representations while they are learned. It changes nothing of the training.");
  v.text("probe", eval.probe,
         "folder of a HEAR task of whole clips: its validation clips are classified by their nearest training clips; "
         "empty: none");
  v.integer("probe_every_epochs", eval.probe_every_epochs, kPositive, "and at the end");
  v.integer("probe_clips", eval.probe_clips, kPositive, "at most so many training and so many validation clips");
  v.end_section();
}

void describe_distributed(distributed::DistributedOptions& distributed, Visitor& v) {
  v.begin_section("distributed", "Several processes, each on its part of every batch. docs/distributed.md.");
  v.boolean("overlap", distributed.overlap, "sum gradients while the backward pass is computing others");
  v.number("bucket_mb", distributed.bucket_mb, {0.001, 1e5}, "MiB of gradients summed at once");
  v.number("heartbeat_s", distributed.heartbeat_s, {0.5, 3600},
           "seconds after which a rank that is not heard of is taken for dead, and the others end");
  v.number("timeout_s", distributed.timeout_s, {1, 1e6},
           "seconds for all ranks to meet, and for one sum; validation by rank 0 falls within one");
  v.end_section();
}

void need(bool holds, const std::string& message) {
  if (!holds) throw UsageError(message);
}

void flatten(const Node& node, const std::string& prefix, std::vector<std::pair<std::string, std::string>>& out) {
  for (const auto& [key, value] : node.entries) {
    const std::string path = prefix.empty() ? key : prefix + "." + key;
    if (value.kind == Node::Kind::kMap) {
      flatten(value, path, out);
    } else {
      out.emplace_back(path, value.scalar);
    }
  }
}

}  // namespace

void describe(RunConfig& config, Visitor& visitor) {
  describe_model(config, visitor);
  describe_task(config, visitor);
  describe_optim(config.optim, visitor);
  describe_data(config.data, visitor);
  describe_audio(config.audio, visitor);
  describe_train(config.train, visitor);
  describe_distributed(config.distributed, visitor);
  describe_eval(config.eval, visitor);
}

RunConfig read(const Node& root) {
  RunConfig config;
  Reader reader(root);
  describe(config, reader);
  reader.finish();
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
  const double hidden = config.mask.ratio * static_cast<double>(config.model.patches());
  need(config.loss.region == model::LossRegion::kAll || hidden >= 1,
       str("mask.ratio ", config.mask.ratio,
           " hides no patch, and loss.region is masked; raise the ratio or set loss.region=all"));
  return config;
}

std::string dump(RunConfig config) {
  Writer writer;
  describe(config, writer);
  return writer.yaml();
}

std::string reference() {
  RunConfig defaults;
  ReferenceWriter writer;
  describe(defaults, writer);
  return "# Configuration keys\n\nMade by `pretrain --config-reference`; a test compares the two. Set keys in a YAML "
         "file (`section:` "
         "and indented `key: value` lines; `extends: other.yaml` or a list of files to start from) or on the command "
         "line as "
         "`section.key=value`, which wins. Unknown keys and impossible values are errors.\n" +
         writer.markdown() + hear_reference();
}

std::vector<std::string> changed_keys(const std::string& old_yaml, const std::string& new_yaml) {
  // Where the audio lies is harmless too: a checkpoint's fingerprint tells whether the list of clips changed.
  constexpr std::array kHarmless{"data.root",
                                 "data.manifest",
                                 "data.packed",
                                 "data.validation",
                                 "data.workers",
                                 "data.cache_mb",
                                 "data.max_bad_fraction",
                                 "data.min_decoded_fraction",
                                 "train.run_dir",
                                 "train.threads",
                                 "train.device",
                                 "train.device_batch",
                                 "train.max_steps",
                                 "train.max_skipped_steps",
                                 "train.log_every_steps",
                                 "train.save_every_steps",
                                 "train.validate_every_steps",
                                 "train.keep_last",
                                 "train.keep_every_steps",
                                 "train.picture_every_steps",
                                 "distributed.overlap",
                                 "distributed.bucket_mb",
                                 "distributed.heartbeat_s",
                                 "distributed.timeout_s",
                                 "eval.probe",
                                 "eval.probe_every_epochs",
                                 "eval.probe_clips",
                                 "embedding.layout",
                                 "kernel.backend",
                                 "kernel.isa",
                                 "kernel.recompute"};
  std::vector<std::pair<std::string, std::string>> before, after;
  // Read and dumped again: a key that the version of the old run did not know yet counts with its default.
  const std::string old_resolved = dump(read(parse(old_yaml, "the run's config.yaml")));
  flatten(parse(old_resolved, "the run's config.yaml"), "", before);
  flatten(parse(new_yaml, "the new configuration"), "", after);
  std::vector<std::string> changed;
  for (const auto& entry : after) {
    const bool harmless = std::find(kHarmless.begin(), kHarmless.end(), entry.first) != kHarmless.end();
    if (!harmless && std::find(before.begin(), before.end(), entry) == before.end()) changed.push_back(entry.first);
  }
  return changed;
}

}  // namespace axlstm::config
