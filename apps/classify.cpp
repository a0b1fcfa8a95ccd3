// classify: sound files → their labels with probabilities.
#include <torch/torch.h>

#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "axlstm/audio/file_names.h"
#include "axlstm/core/csv.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/embed/classifier.h"
#include "cli.h"

namespace {

namespace fs = std::filesystem;
using namespace axlstm;

enum class Format { kTable, kJson, kCsv };
constexpr auto enum_names(Format) { return std::array{"table", "json", "csv"}; }

struct Arguments {
  embed::ClassifierArguments model;
  std::vector<fs::path> inputs;
  Format format = Format::kTable;
  std::int64_t top = 5;
  double threshold = 0;
  std::string output;
};

struct Labelled {
  std::string label;
  float probability;
};

std::vector<fs::path> files_of(const std::vector<fs::path>& inputs, std::size_t& missing) {
  std::vector<fs::path> files;
  for (const fs::path& input : inputs) {
    if (!fs::exists(input)) {
      log::warn(input.string() + ": no such file or folder");
      ++missing;
    } else if (fs::is_directory(input)) {
      const auto found = audio::list_audio_files(input);
      if (!found.passed_over.empty()) log::warn(str(input.string(), ": passed over ", found.passed_over.description()));
      if (found.files.empty()) {
        log::warn(input.string() + ": no audio under this folder");
        ++missing;
      }
      files.insert(files.end(), found.files.begin(), found.files.end());
    } else {
      files.push_back(input);
    }
  }
  return files;
}

/// The labels to show, the most probable first.
std::vector<Labelled> best(const torch::Tensor& probabilities, const std::vector<std::string>& classes,
                           const Arguments& arguments) {
  const auto count = std::min(arguments.top, static_cast<std::int64_t>(classes.size()));
  const auto [values, indices] = probabilities.sort(/*stable=*/true, /*dim=*/-1, /*descending=*/true);
  std::vector<Labelled> shown;
  for (std::int64_t n = 0; n < count; ++n) {
    const auto probability = values[n].item<float>();
    if (probability < arguments.threshold) break;
    shown.push_back({classes[static_cast<std::size_t>(indices[n].item<std::int64_t>())], probability});
  }
  return shown;
}

/// Writes each file's rows as soon as they are known; JSON is an array over all files.
class Output {
 public:
  Output(Format format, std::ostream& to) : format_(format), to_(to) {
    if (format_ == Format::kCsv) to_ << "file,rank,label,probability\n";
    if (format_ == Format::kJson) to_ << "[";
  }

  void add(const fs::path& file, const std::vector<Labelled>& labels) {
    if (format_ == Format::kJson) return add_json(file, labels);
    if (format_ == Format::kTable) to_ << file.string() << "\n";
    for (std::size_t n = 0; n < labels.size(); ++n) {
      const auto& [label, probability] = labels[n];
      if (format_ == Format::kTable) {
        to_ << "  " << std::fixed << std::setprecision(4) << probability << "  " << label << "\n";
      } else {
        to_ << csv_field(file.string()) << "," << n + 1 << "," << csv_field(label) << "," << probability << "\n";
      }
    }
  }

  void end() {
    if (format_ == Format::kJson) to_ << (is_first_ ? "]\n" : "\n]\n");
  }

 private:
  void add_json(const fs::path& file, const std::vector<Labelled>& labels) {
    constexpr auto kReplace = nlohmann::json::error_handler_t::replace;  // names that are not UTF-8
    nlohmann::ordered_json entry{{"file", file.string()}, {"labels", nlohmann::ordered_json::array()}};
    for (const auto& [label, probability] : labels) {
      entry["labels"].push_back({{"label", label}, {"probability", probability}});
    }
    to_ << (is_first_ ? "\n" : ",\n") << entry.dump(2, ' ', false, kReplace);
    is_first_ = false;
  }

  Format format_;
  std::ostream& to_;
  bool is_first_ = true;
};

int classify(const Arguments& arguments) {
  cli::end_on_signal();
  cli::log_banner("classify", arguments.model.device);
  embed::Classifier classifier(arguments.model);
  std::size_t failed = 0;
  const auto files = files_of(arguments.inputs, failed);
  std::ostringstream text;  // of a file, which is whole or absent
  Output output(arguments.format, arguments.output.empty() ? static_cast<std::ostream&>(std::cout) : text);
  std::size_t done = 0;
  failed += classifier.classify(files, [&](const fs::path& file, const torch::Tensor& probabilities) {
    output.add(file, best(probabilities, classifier.classes(), arguments));
    ++done;
  });
  output.end();
  if (!arguments.output.empty()) write_file_atomic(expand_home(arguments.output), text.str());
  if (failed > 0) log::warn(str(failed, " of ", failed + done, " files could not be classified"));
  return failed == 0 ? kOk : done > 0 ? kSomeFailed : kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Writes the most probable labels of sound files, or of all in folders, by a classifier that finetune trained.\n"
      "Example: classify --model runs/classifier ~/audio\n"
      "Exits with 3 if some files could not be read."};
  Arguments arguments;
  app.add_option("--model", arguments.model.name, "A run of finetune (its best checkpoint is taken) or a checkpoint")
      ->required();
  app.add_option("inputs", arguments.inputs, "Sound files, or folders of them")->required();
  app.add_option("--top", arguments.top, "Labels of each file")
      ->check(CLI::Range(1, 1'000'000))
      ->option_text(str("N [", arguments.top, "]"));
  app.add_option("--threshold", arguments.threshold, "Only labels of at least this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--format", arguments.format, "How to write them")
      ->transform(cli::one_of<Format>())
      ->option_text(cli::choices(arguments.format));
  app.add_option("--output", arguments.output, "File to write to [standard output]");
  app.add_option("--device", arguments.model.device, "Where to compute")
      ->transform(cli::one_of<runtime::DeviceChoice>())
      ->option_text(cli::choices(arguments.model.device));
  app.add_option("--precision", arguments.model.precision, "auto: on a GPU that of training, fp32 on the CPU")
      ->transform(cli::one_of<runtime::Precision>())
      ->option_text(cli::choices(arguments.model.precision));
  cli::add_common_flags(app);
  return cli::run(app, argc, argv, [&] { return classify(arguments); });
}
