#include "axlstm/model/architecture.h"

#include <algorithm>

#include "architectures.h"
#include "axlstm/core/error.h"

namespace axlstm::model {
namespace {

std::vector<Architecture>& known() {
  static std::vector<Architecture> all = [] {
    std::vector<Architecture> built_in;
    for_each_architecture([&](const auto& each) { built_in.push_back(each.facts()); });
    return built_in;
  }();
  return all;
}

}  // namespace

const std::vector<Architecture>& architectures() { return known(); }

void add_facts(Architecture facts) { known().push_back(std::move(facts)); }

const Architecture& architecture(std::string_view name) {
  const auto& all = known();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Architecture& each) { return each.name == name; });
  if (found != all.end()) return *found;
  std::string names;
  for (const Architecture& each : all) names += (names.empty() ? "" : ", ") + each.name;
  throw UsageError(str("model.arch is '", name, "', it takes one of ", names));
}

double encoder_flops(const EncoderOptions& options, std::int64_t seen) {
  const auto N = static_cast<double>(options.patches()), P = static_cast<double>(options.patch_pixels());
  const double patch_embedding = N * 2 * P * static_cast<double>(options.dim);
  const auto tokens = static_cast<double>(seen + options.class_tokens());
  return static_cast<double>(options.depth) * architecture(options.arch).block_flops(options, tokens) + patch_embedding;
}

const Architecture* architecture_of(const std::vector<std::string>& tensor_names) {
  for (const Architecture& each : known()) {
    if (each.marker.empty()) continue;
    const auto has = [&](const std::string& name) { return name.find(each.marker) != std::string::npos; };
    if (std::any_of(tensor_names.begin(), tensor_names.end(), has)) return &each;
  }
  return nullptr;
}

}  // namespace axlstm::model
