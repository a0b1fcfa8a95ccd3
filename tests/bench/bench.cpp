// Times the mLSTM cell, whole training steps and the encoder of embeddings on a GPU, the cell beside the same formula
// through LibTorch's operators (eager PyTorch) and scaled_dot_product_attention, in the same run. Prints a table;
// --json appends one record a line.
//
//   bench cells                         every head dim × sequence length of the paper's models
//   bench steps                         AxLSTM, SSAM and SSAST, tiny, small, base; MW-MAE and MAE
//   bench encoder --dtype fp16          chunks of two seconds through the encoder as extract has it, without the rest;
//                                       beside it tests/bench/encoder_peer.py and scripts/extract_bench.py
#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "axlstm/core/error.h"
#include "axlstm/embed/chunk_encoder.h"
#include "axlstm/model/masked_model.h"
#include "axlstm/nn/options.h"
#include "axlstm/ops/mlstm.h"
#include "axlstm/ops/mlstm_block.h"
#include "axlstm/train/step.h"
#include "bench/timing.h"

namespace {

using namespace axlstm;
using nlohmann::json;

struct Settings {
  int runs = 20;
  std::string json_file;
  std::vector<std::string> models{"axlstm-tiny-E2", "axlstm-tiny-E3", "axlstm-small-E2", "axlstm-small-E3",
                                  "axlstm-base-E2", "axlstm-base-E3", "ssam-tiny",       "ssam-small",
                                  "ssam-base",      "ssast-tiny",     "ssast-small",     "ssast-base",
                                  "mwmae-tiny",     "mwmae-base",     "mae-base"};
  std::vector<std::int64_t> head_dims{96, 144, 192, 288, 384, 576, 768};
  std::vector<std::int64_t> lengths{126, 251, 501, 1024, 4096, 16384};
  std::int64_t batch = 1024;
  std::vector<std::int64_t> chunks{256};
  std::string dtype = "bf16";
  std::string backend = "auto", isa = "auto";
  bool recompute = false, graph = false;
};

torch::ScalarType dtype_of(const std::string& name) {
  return name == "bf16" ? torch::kBFloat16 : name == "fp16" ? torch::kFloat16 : torch::kFloat32;
}

ops::Isa isa_of(const std::string& name) {
  return name == "hopper" ? ops::Isa::kHopper : name == "portable" ? ops::Isa::kPortable : ops::Isa::kAuto;
}

void report(const Settings& settings, const json& record) {
  std::cout << record.dump() << std::endl;
  if (!settings.json_file.empty()) std::ofstream(settings.json_file, std::ios::app) << record.dump() << "\n";
}

/// Largest difference to float64 over the largest value, of h and the gradients, on two clips.
double cell_error(const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& cell, std::int64_t S,
                  std::int64_t DH, torch::ScalarType dtype) {
  torch::manual_seed(1);
  const auto gpu = torch::TensorOptions(torch::kCUDA);
  std::vector<torch::Tensor> inputs;
  for (int n = 0; n < 3; ++n) inputs.push_back(torch::randn({1, S, 2, DH}, gpu).to(dtype));
  inputs.push_back(torch::randn({1, S, 2}, gpu));
  inputs.push_back(torch::randn({1, S, 2}, gpu) + 4);
  const auto grad = torch::randn({1, S, 2, DH}, gpu).to(dtype);
  const auto run = [&](bool exact) {
    std::vector<torch::Tensor> leaves;
    for (const auto& input : inputs)
      leaves.push_back((exact ? input.to(torch::kFloat64) : input.clone()).detach().requires_grad_());
    const auto h =
        exact ? ops::mlstm(leaves[0], leaves[1], leaves[2], leaves[3], leaves[4], {.backend = ops::Backend::kReference})
              : cell(leaves);
    h.backward(grad.to(h.dtype()));
    std::vector<torch::Tensor> results{h.detach()};
    for (const auto& leaf : leaves) results.push_back(leaf.grad());
    return results;
  };
  const auto exact = run(true), actual = run(false);
  double worst = 0;
  for (std::size_t n = 0; n < exact.size(); ++n) {
    const auto error = (actual[n].to(torch::kFloat64) - exact[n]).abs().max() / exact[n].abs().max();
    worst = std::max(worst, error.item<double>());
  }
  return worst;
}

void bench_cells(const Settings& settings, const bench::Ceilings& ceilings) {
  const auto dtype = dtype_of(settings.dtype);
  const auto gpu = torch::TensorOptions(torch::kCUDA);
  using Cell = std::function<torch::Tensor(const std::vector<torch::Tensor>&)>;
  const auto mlstm = [](ops::Backend backend, ops::Isa isa) -> Cell {
    return [backend, isa](const std::vector<torch::Tensor>& x) {
      return ops::mlstm(x[0], x[1], x[2], x[3], x[4], {.backend = backend, .isa = isa});
    };
  };
  const Cell attention = [](const std::vector<torch::Tensor>& x) {
    return torch::scaled_dot_product_attention(x[0].transpose(1, 2), x[1].transpose(1, 2), x[2].transpose(1, 2), {},
                                               0.0, true)
        .transpose(1, 2);
  };
  std::vector<std::pair<std::string, Cell>> kernels;
  for (const auto isa : {ops::Isa::kPortable, ops::Isa::kHopper}) {
    if (settings.isa != "auto" && settings.isa != enum_name(isa)) continue;
    try {
      ops::resolve_isa(isa, torch::kCUDA, dtype, 1);
      kernels.emplace_back(str("axlstm ", enum_name(isa)), mlstm(ops::Backend::kCell, isa));
    } catch (const UsageError& failure) {
      std::cerr << failure.what() << "\n";
    }
  }
  kernels.emplace_back("eager", mlstm(ops::Backend::kReference, ops::Isa::kAuto));
  kernels.emplace_back("causal attention", attention);
  for (const auto S : settings.lengths) {
    for (const auto DH : settings.head_dims) {
      const std::int64_t NH = 4, B = std::max<std::int64_t>(1, 256 * 251 / S);
      std::vector<torch::Tensor> inputs;
      for (int n = 0; n < 3; ++n) inputs.push_back(torch::randn({B, S, NH, DH}, gpu).to(dtype).requires_grad_());
      inputs.push_back(torch::randn({B, S, NH}, gpu).requires_grad_());
      inputs.push_back((torch::randn({B, S, NH}, gpu) + 4).requires_grad_());
      const auto grad = torch::randn({B, S, NH, DH}, gpu).to(dtype);
      const double tensor_bytes = static_cast<double>(inputs[0].nbytes());
      for (const auto& [name, cell] : kernels) {
        if (name == "eager" && S > 1024) continue;  // its S×S tensors do not fit
        if (name == "causal attention" && DH > 256) continue;
        const auto forward = [&] {
          const torch::NoGradGuard no_grad;
          cell(inputs);
        };
        const auto both = [&] {
          for (auto& input : inputs) input.mutable_grad().reset();
          cell(inputs).backward(grad);
        };
        const double forward_ms = bench::time_ms(forward, settings.runs), both_ms = bench::time_ms(both, settings.runs);
        json record{
            {"kernel", name},           {"dtype", settings.dtype},       {"B", B}, {"NH", NH}, {"S", S}, {"DH", DH},
            {"forward_ms", forward_ms}, {"forward_backward_ms", both_ms}};
        // Forward reads q, k, v and writes h; backward reads q, k, v, dh and writes dq, dk, dv.
        record["floor_share"] = 11 * tensor_bytes / ceilings.bytes_per_second * 1e3 / both_ms;
        if (name != "causal attention") record["error"] = cell_error(cell, std::min<std::int64_t>(S, 1024), DH, dtype);
        report(settings, record);
      }
    }
  }
}

config::RunConfig recipe_of(const std::string& name, const Settings& settings) {
  config::RunConfig config;
  model::EncoderOptions& options = config.model;
  std::istringstream parts(name);
  std::string arch, size, expansion;
  std::getline(parts, arch, '-');
  std::getline(parts, size, '-');
  std::getline(parts, expansion, '-');
  const bool windows = arch == "mwmae";
  if (windows || arch == "mae") {  // as configs/base/mae.yaml
    config.objective = objective::Kind::kMaskedAutoencoder;
    config.mask.ratio = 0.8;
    config.optim.decay = train::Decay::kAll;
    options.class_token = !windows;
    options.activation = nn::Activation::kGeluTanh;
    options.train_positions = true;
    if (windows) config.decoder.windows = {"2", "5", "10", "25", "50", "125", model::kGlobal, model::kGlobal};
  }
  options.arch = windows ? "mae" : arch;
  options.size = size == "tiny" ? model::Size::kTiny : size == "small" ? model::Size::kSmall : model::Size::kBase;
  if (!expansion.empty()) options.expansion = std::stoll(expansion.substr(1));
  options.flip = options.arch == "axlstm" && options.expansion == 2;  // as the released configs
  options.backend = settings.backend == "reference" ? ops::Backend::kReference
                    : settings.backend == "cell"    ? ops::Backend::kCell
                                                    : ops::Backend::kAuto;
  options.isa = isa_of(settings.isa);
  options.recompute = settings.recompute;
  options = model::resolve(options);
  return config;
}

/// Seconds a clip if memory and matrix units never waited for each other: docs/performance.md.
double floor_seconds(const config::RunConfig& config, double forward_flops, const bench::Ceilings& ceilings) {
  const model::EncoderOptions& options = config.model;
  if (config.objective == objective::Kind::kMaskedAutoencoder) {
    return 3 * forward_flops / ceilings.flops_per_second;  // arithmetic alone
  }
  const double S = static_cast<double>(options.patches() + options.class_tokens()),
               D = static_cast<double>(options.dim);
  const double layers = static_cast<double>(options.depth), I = static_cast<double>(options.expansion) * D;
  if (options.arch == "ssast") {
    return layers * (72 * D * D * S + 14 * S * S * D) / ceilings.flops_per_second;  // arithmetic alone
  }
  if (options.arch == "ssam") {  // without the scan's exponentials, which no ceiling here is of
    const double R = static_cast<double>(nn::step_rank(options.dim)), N = static_cast<double>(options.state);
    const double products = layers * S * (18 * I * D + 12 * I * (R + N)), moved = layers * S * (42 * I + 44 * D);
    return products / ceilings.flops_per_second + moved / ceilings.bytes_per_second;
  }
  const double flops = layers * (18 * I * D * S + 7 * S * S * I), bytes = layers * S * (38 * I + 44 * D);
  return flops / ceilings.flops_per_second + bytes / ceilings.bytes_per_second;
}

runtime::Precision precision_of(const Settings& settings) {
  return settings.dtype == "bf16"   ? runtime::Precision::kBf16
         : settings.dtype == "fp16" ? runtime::Precision::kFp16
                                    : runtime::Precision::kFp32;
}

/// Log-mel that lies on the GPU → the sums of each chunk's time steps on the CPU, as `extract` makes scenes.
void bench_encoder(const std::string& name, const Settings& settings) {
  const config::RunConfig config = recipe_of(name, settings);
  for (const std::int64_t batch : settings.chunks) {
    torch::manual_seed(1);
    model::Encoder encoder(config.model);
    encoder->to(torch::kCUDA);
    encoder->eval();
    embed::ChunkEncoder chunk_encoder(encoder, config.embedding.layout, {precision_of(settings), torch::kCUDA}, batch);
    const torch::InferenceMode inference;
    const auto chunks = torch::randn({batch, 1, config.model.frames, config.model.mels}, torch::kCUDA);
    const auto weights = torch::ones({batch, config.model.grid_rows(), 1}, torch::kCUDA);
    const double ms = bench::time_ms([&] { chunk_encoder.encode(chunks, weights); }, settings.runs);
    report(settings, {{"model", name},
                      {"device", "cuda"},
                      {"dtype", settings.dtype},
                      {"part", "encoder"},
                      {"batch", batch},
                      {"ms", ms},
                      {"chunks_per_second", static_cast<double>(batch) / ms * 1e3}});
  }
}

void bench_step(const std::string& name, const Settings& settings, const bench::Ceilings& ceilings) {
  const config::RunConfig config = recipe_of(name, settings);
  const model::EncoderOptions& options = config.model;
  const runtime::Arithmetic arithmetic(precision_of(settings), torch::kCUDA);
  torch::manual_seed(1);
  const auto objective = objective::make_objective(config);
  const double floor = floor_seconds(config, objective->forward_flops(), ceilings);
  objective->module().to(torch::kCUDA);
  train::AdamW optimizer(objective->module(), config.optim);
  train::GradScaler scaler(torch::kCUDA, settings.dtype == "fp16");
  train::StepGraph graph(settings.graph ? train::CudaGraph::kOn : train::CudaGraph::kOff);
  const train::StepSetup setup{*objective, optimizer, arithmetic, config, &scaler, nullptr, &graph};
  for (std::int64_t batch = settings.batch; batch >= 32; batch /= 2) {
    try {
      bench::reset_peak_memory();
      const auto gpu = torch::TensorOptions(torch::kCUDA);
      const auto spectrogram = torch::randn({batch, 1, options.frames, options.mels}, gpu);
      const auto noise = torch::rand({batch, options.patches()}, gpu);
      double loss_value = 0;
      const auto step = [&] {
        const auto result = train::training_step(setup, {spectrogram, {}, {}}, noise, 1e-4);
        loss_value = result.loss;
      };
      const double ms = bench::time_ms(step, settings.runs);
      AXLSTM_CHECK(std::isfinite(loss_value), name, ": the loss is ", loss_value);
      report(settings, {{"model", name},
                        {"dtype", settings.dtype},
                        {"backend", settings.backend},
                        {"isa", settings.isa},
                        {"recompute", settings.recompute},
                        {"cuda_graph", settings.graph},
                        {"batch", batch},
                        {"ms", ms},
                        {"clips_per_second", static_cast<double>(batch) / ms * 1e3},
                        {"peak_memory_gb", bench::peak_memory_gb()},
                        {"floor_share", floor * static_cast<double>(batch) / ms * 1e3},
                        {"loss", loss_value}});
      return;
    } catch (const c10::OutOfMemoryError&) {
      std::cerr << name << ": batch " << batch << " does not fit\n";
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  CLI::App app{"Times the mLSTM cell, training steps and the encoder of embeddings on the GPU."};
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--json", settings.json_file, "Append records to this file");
  app.add_option("--runs", settings.runs, "Timed runs of each case; the median counts");
  app.add_option("--dtype", settings.dtype, "bf16, fp16 or fp32")->check(CLI::IsMember({"bf16", "fp16", "fp32"}));
  app.add_option("--isa", settings.isa,
                 "Instructions of the cell's kernels; auto: all that run here, of steps the faster")
      ->check(CLI::IsMember({"auto", "portable", "hopper"}));
  auto* cells = app.add_subcommand("cells", "The cell, forward and forward + backward");
  cells->add_option("--head-dims", settings.head_dims)->delimiter(',');
  cells->add_option("--lengths", settings.lengths)->delimiter(',');
  auto* steps = app.add_subcommand("steps", "Whole training steps");
  steps->add_option("--models", settings.models)->delimiter(',');
  steps->add_option("--batch", settings.batch, "Clips; halved until they fit");
  steps->add_option("--backend", settings.backend)->check(CLI::IsMember({"auto", "cell", "reference"}));
  steps->add_flag("--recompute", settings.recompute, "kernel.recompute");
  steps->add_flag("--graph", settings.graph, "train.cuda_graph=on");
  auto* encoder = app.add_subcommand("encoder", "Chunks through the encoder alone, as extract does");
  encoder->add_option("--models", settings.models)->delimiter(',');
  encoder->add_option("--chunks", settings.chunks, "At once; extract has 256")->delimiter(',');
  encoder->add_option("--backend", settings.backend)->check(CLI::IsMember({"auto", "cell", "reference"}));
  CLI11_PARSE(app, argc, argv);
  if (!torch::cuda::is_available()) {
    std::cerr << "bench: no GPU\n";
    return 1;
  }
  if (encoder->parsed()) {
    for (const std::string& name : settings.models) bench_encoder(name, settings);
    return 0;
  }
  const auto ceilings = bench::measure_ceilings();
  report(settings, {{"bytes_per_second", ceilings.bytes_per_second}, {"flops_per_second", ceilings.flops_per_second}});
  if (cells->parsed()) bench_cells(settings, ceilings);
  if (steps->parsed()) {
    for (const std::string& name : settings.models) bench_step(name, settings, ceilings);
  }
  return 0;
}
