#include "axlstm/model/blocks.h"

#include <map>

#include "architectures.h"

namespace axlstm::model {
namespace {

std::map<std::string, Blocks, std::less<>>& known() {
  static std::map<std::string, Blocks, std::less<>> all = [] {
    std::map<std::string, Blocks, std::less<>> built_in;
    for_each_architecture([&](const auto& each) { built_in[each.facts().name] = {each.block, each.plan}; });
    return built_in;
  }();
  return all;
}

}  // namespace

const Blocks& blocks(std::string_view architecture) {
  return known().find(model::architecture(architecture).name)->second;
}

void add_architecture(Architecture facts, const Blocks& blocks) {
  known()[facts.name] = blocks;
  add_facts(std::move(facts));
}

KernelPlan kernel_plan(const EncoderOptions& options, const runtime::Arithmetic& arithmetic) {
  return blocks(options.arch).plan(options, arithmetic);
}

}  // namespace axlstm::model
