#include "axlstm/sweep/plan.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::sweep {
namespace {

namespace fs = std::filesystem;
using config::Node;

constexpr std::size_t kMaxCells = 1'000;  // a grid of a few lines can ask for more than fit into memory

Node empty_map() {
  Node node;
  node.kind = Node::Kind::kMap;
  return node;
}

/// "AxLSTM-T, E 2, flip" → "axlstm-t-e-2-flip".
std::string id_of(const std::string& name) {
  std::string id;
  for (const char c : name) {
    const auto letter = static_cast<unsigned char>(c);
    if (std::isalnum(letter) != 0 || c == '.') {
      id += static_cast<char>(std::tolower(letter));
    } else if (!id.empty() && id.back() != '-') {
      id += '-';
    }
  }
  while (!id.empty() && id.back() == '-') id.pop_back();
  return id;
}

[[noreturn]] void fail(const Node& node, const std::string& what) { throw UsageError(node.origin.str() + ": " + what); }

const std::string& scalar(const Node& node, std::string_view what) {
  if (node.kind != Node::Kind::kScalar) fail(node, str(what, " takes a text"));
  return node.scalar;
}

/// `set:` of a cell: section.key: value lines, laid over `root`.
void apply_settings(Node& root, const Node& settings) {
  if (settings.kind != Node::Kind::kMap) fail(settings, "set takes 'section.key: value' lines");
  for (const auto& [key, value] : settings.entries) {
    if (key.find('.') == std::string::npos) fail(value, "set: '" + key + "' is not of the form section.key");
    config::apply_override(root, str(key, "=", scalar(value, str("set: ", key))));
  }
}

/// The sweep section as it stands in the file, but for the cells and the grid.
struct Settings {
  std::string title, base, output = "runs/sweep";
  std::int64_t seeds = 1, first_seed = 0;
  std::vector<std::string> columns, layouts{enum_name(embed::EmbeddingLayout::kTimeFrequency)};

  void visit(Visitor& v) {
    v.begin_section("sweep", "");
    v.text("title", title, "");
    v.text("base", base, "");
    v.text("output", output, "");
    v.integer("seeds", seeds, {1, 1000}, "");
    v.integer("first_seed", first_seed, {0, 1e9}, "");
    v.texts("columns", columns, "");
    v.texts("layouts", layouts, "");
    v.end_section();
  }
};

/// The finetune section, but for its `set`.
struct FineTuningSettings {
  std::vector<std::string> tasks;
  std::string config;
  std::int64_t seeds = 1;

  void visit(Visitor& v) {
    v.begin_section("finetune", "");
    v.texts("tasks", tasks, "");
    v.text("config", config, "");
    v.integer("seeds", seeds, {1, 1000}, "");
    v.end_section();
  }
};

/// Throws UsageError for settings of fine-tuning that the sweep makes itself.
void check_not_own(const std::string& key, const std::string& where) {
  for (const char* own : {"classification.encoder", "data.task", "data.fold", "train.seed", "train.run_dir"})
    if (key == own) throw UsageError(str(where, ": ", key, ": a sweep sets this itself"));
}

class PlanReader {
 public:
  PlanReader(const fs::path& file, const std::vector<std::string>& assignments) : file_(file) {
    root_ = config::load(file);
    for (const std::string& assignment : assignments) {
      constexpr std::string_view kFineTuningSet = "finetune.set.";
      if (assignment.starts_with(kFineTuningSet)) {
        finetuning_overrides_.push_back(assignment.substr(kFineTuningSet.size()));
      } else if (assignment.starts_with("sweep.") || assignment.starts_with("hear.") ||
                 assignment.starts_with("finetune.")) {
        config::apply_override(root_, assignment);
      } else {
        overrides_.push_back(assignment);
      }
    }
  }

  Plan read() {
    read_settings();
    read_hear();
    read_finetuning();
    const Node* cells = root_.find("cells");
    const Node* grid = root_.find("grid");
    if (cells == nullptr && grid == nullptr) throw UsageError(file_.string() + ": neither cells nor grid");
    if (cells != nullptr) read_cells(*cells);
    if (grid != nullptr) read_grid(*grid);
    check_names();
    return std::move(plan_);
  }

 private:
  void read_settings() {
    Node sections = empty_map();
    for (const auto& [name, node] : root_.entries) {
      if (name == "sweep") sections.entries.push_back({name, node});
      if (name != "sweep" && name != "hear" && name != "finetune" && name != "cells" && name != "grid" &&
          name != "set") {
        fail(node, "unknown section '" + name + "'; known: sweep, set, cells, grid, hear, finetune");
      }
    }
    config::Reader reader(sections);
    settings_.visit(reader);
    reader.finish();
    plan_.title = settings_.title.empty() ? file_.stem().string() : settings_.title;
    plan_.output = expand_home(settings_.output);
    plan_.first_seed = settings_.first_seed;
    plan_.columns = settings_.columns;
    plan_.layouts = settings_.layouts;
    for (const std::string& layout : plan_.layouts) {
      if (!enum_of<embed::EmbeddingLayout>(layout)) {
        throw UsageError(
            str(file_.string(), ": sweep.layouts: '", layout, "'; known: ", list_names<embed::EmbeddingLayout>()));
      }
    }
    if (plan_.layouts.empty()) throw UsageError(file_.string() + ": sweep.layouts is empty");
    const Node known = config::parse(config::dump(config::RunConfig{}), "defaults");
    for (const std::string& column : plan_.columns) {
      const std::size_t dot = column.find('.');
      const Node* section = known.find(column.substr(0, dot));
      if (dot == std::string::npos || section == nullptr || section->find(column.substr(dot + 1)) == nullptr) {
        throw UsageError(str(file_.string(), ": sweep.columns: unknown key '", column, "'; all keys: docs/config.md"));
      }
    }
  }

  /// hear-eval's own keys; models and output are the sweep's.
  void read_hear() {
    Node sections = empty_map();
    if (const Node* hear = root_.find("hear")) {
      for (const char* key : {"models", "output", "layout"}) {
        if (const Node* given = hear->find(key)) fail(*given, str("hear.", key, ": a sweep sets this itself"));
      }
      sections.entries.push_back({"hear", *hear});
    }
    config::apply_override(sections, "hear.models=cell");
    plan_.hear = config::read_hear(sections, /*needs_tasks=*/false);
  }

  /// What all fine-tunings have in common: the tasks, and keys of `finetune`.
  void read_finetuning() {
    Node sections = empty_map();
    const Node* settings = nullptr;
    if (const Node* section = root_.find("finetune")) {
      Node own = *section;
      own.entries.clear();
      for (const config::Entry& entry : section->entries)
        if (entry.key != "set") own.entries.push_back(entry);
      settings = section->find("set");
      sections.entries.push_back({"finetune", own});
    }
    FineTuningSettings finetuning;
    config::Reader reader(sections);
    finetuning.visit(reader);
    reader.finish();
    plan_.finetuning = {finetuning.tasks, finetuning.seeds};
    recipe_ = empty_map();
    if (!finetuning.config.empty()) recipe_ = config::load(file_.parent_path() / finetuning.config);
    if (settings != nullptr) {
      apply_settings(recipe_, *settings);
      for (const auto& [key, value] : settings->entries) check_not_own(key, value.origin.str() + ": finetune.set");
    }
    for (const std::string& assignment : finetuning_overrides_) {
      config::apply_override(recipe_, assignment);
      check_not_own(assignment.substr(0, assignment.find('=')), "command line: finetune.set");
    }
  }

  /// The recipe on the shape of the cell's encoder. Throws UsageError naming the cell for keys that do not fit it.
  config::RunConfig finetuning_of(const Cell& cell) const {
    Node root = empty_map();
    for (const config::Entry& entry : config::parse(config::dump(cell.config), cell.name).entries)
      if (entry.key == "model" || entry.key == "audio") root.entries.push_back(entry);
    config::merge(root, recipe_);
    config::apply_override(root, "objective.name=classification");
    config::apply_override(root, "data.task=task");
    config::apply_override(
        root, cell.model == CellModel::kTrained ? "classification.encoder=cell" : "classification.encoder=");
    try {
      config::RunConfig config = config::read(root);
      config.classification.encoder.clear();  // each run has its own
      config.data.task.clear();
      return config;
    } catch (const UsageError& failure) {
      throw UsageError(str(file_.string(), ": fine-tuning of cell '", cell.name, "': ", failure.what()));
    }
  }

  /// The configuration of a cell before its own settings.
  Node base(const std::string& config_file, const Node& origin) const {
    const std::string& named = config_file.empty() ? settings_.base : config_file;
    if (named.empty()) fail(origin, "no configuration: give the cell a config, or the sweep a base");
    Node root = config::load(file_.parent_path() / named);
    if (const Node* common = root_.find("set")) apply_settings(root, *common);
    return root;
  }

  void finish(Cell& cell, Node root) {
    for (const std::string& assignment : overrides_) config::apply_override(root, assignment);
    cell.config = config::read(root);
    if (!plan_.finetuning.tasks.empty()) cell.finetuning = finetuning_of(cell);
    cell.id = id_of(cell.name);
    plan_.cells.push_back(std::move(cell));
  }

  void read_cells(const Node& cells) {
    if (cells.kind != Node::Kind::kSequence) fail(cells, "cells takes a list");
    for (const Node& entry : cells.items) {
      if (entry.kind != Node::Kind::kMap) fail(entry, "a cell is made of 'key: value' lines");
      Cell cell;
      cell.seeds = settings_.seeds;
      std::string config_file;
      const Node* settings = nullptr;
      for (const auto& [key, value] : entry.entries) {
        if (key == "name") {
          cell.name = scalar(value, key);
        } else if (key == "config") {
          config_file = scalar(value, key);
        } else if (key == "published") {
          cell.published = scalar(value, key);
        } else if (key == "model") {
          cell.model = model_of(value);
        } else if (key == "seeds") {
          cell.seeds = seeds_of(value);
        } else if (key == "set") {
          settings = &value;
        } else {
          fail(value, "unknown key '" + key + "' of a cell; known: name, config, set, model, seeds, published");
        }
      }
      if (cell.name.empty()) fail(entry, "a cell needs a name");
      if (cell.model == CellModel::kNaive) {  // nothing random, nothing to configure
        cell.seeds = 1;
        cell.id = id_of(cell.name);
        plan_.cells.push_back(std::move(cell));
        continue;
      }
      Node root = base(config_file, entry);
      if (settings != nullptr) apply_settings(root, *settings);
      finish(cell, std::move(root));
    }
  }

  static CellModel model_of(const Node& node) {
    const std::string& text = scalar(node, "model");
    if (const auto model = enum_of<CellModel>(text)) return *model;
    fail(node, "model is '" + text + "', it takes one of " + list_names<CellModel>());
  }

  static std::int64_t seeds_of(const Node& node) {
    const std::string& text = scalar(node, "seeds");
    const bool digits = !text.empty() && text.size() < 4 && text.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || text == "0") fail(node, "seeds is '" + text + "', it takes a whole number from 1 to 999");
    return std::stol(text);
  }

  /// Every combination of the lists' values, the last key changing fastest.
  void read_grid(const Node& grid) {
    if (grid.kind != Node::Kind::kMap || grid.entries.empty()) fail(grid, "grid takes 'section.key: [values]' lines");
    std::vector<std::vector<std::string>> points{{}};
    for (const auto& [key, values] : grid.entries) {
      if (values.kind != Node::Kind::kSequence || values.items.empty()) fail(values, "grid: " + key + " takes a list");
      if (values.items.size() > kMaxCells / points.size()) fail(grid, str("grid: more than ", kMaxCells, " cells"));
      std::vector<std::vector<std::string>> finer;
      for (const auto& point : points) {
        for (const Node& value : values.items) {
          finer.push_back(point);
          finer.back().push_back(str(key, "=", scalar(value, str("grid: ", key))));
        }
      }
      points = std::move(finer);
    }
    for (const auto& point : points) {
      Cell cell;
      cell.seeds = settings_.seeds;
      Node root = base("", grid);
      for (const std::string& assignment : point) {
        config::apply_override(root, assignment);
        const std::string key = assignment.substr(0, assignment.find('='));
        if (!cell.name.empty()) cell.name += ' ';
        cell.name += assignment.substr(key.rfind('.') + 1);
      }
      finish(cell, std::move(root));
    }
  }

  void check_names() const {
    std::set<std::string> seen;
    for (const Cell& cell : plan_.cells) {
      if (cell.id.empty())
        throw UsageError(str(file_.string(), ": cell name '", cell.name, "' has no letter or digit"));
      if (!seen.insert(cell.id).second) {
        throw UsageError(str(file_.string(), ": two cells are called '", cell.id, "'; give them different names"));
      }
    }
  }

  fs::path file_;
  Node root_, recipe_;
  std::vector<std::string> overrides_, finetuning_overrides_;
  Settings settings_;
  Plan plan_;
};

}  // namespace

Plan load_plan(const fs::path& file, const std::vector<std::string>& assignments) {
  return PlanReader(file, assignments).read();
}

std::vector<Run> runs_of(const Plan& plan) {
  std::vector<Run> runs;
  // Seed by seed, so that a sweep that is cut short has something of every cell.
  std::int64_t most = 0;
  for (const Cell& cell : plan.cells) most = std::max(most, cell.seeds);
  for (std::int64_t i = 0; i < most; ++i) {
    for (std::size_t cell = 0; cell < plan.cells.size(); ++cell) {
      if (i >= plan.cells[cell].seeds) continue;
      const std::int64_t seed = plan.first_seed + i;
      runs.push_back({runs.size(), cell, seed, plan.output / "cells" / str(plan.cells[cell].id, ".s", seed)});
    }
  }
  return runs;
}

std::vector<std::string> layouts_of(const Plan& plan, const Cell& cell) {
  return cell.model == CellModel::kNaive ? std::vector<std::string>{""} : plan.layouts;
}

fs::path finetuning_folder(const Plan& plan, const Run& run, std::int64_t of, const std::string& task) {
  return plan.output / "finetuned" / str(plan.cells[run.cell].id, ".s", run.seed, "_", of) / task;
}

std::string embedding_name(const Plan& plan, const Run& run, const std::string& layout) {
  return str(plan.cells[run.cell].id, ".s", run.seed, layout.empty() ? "" : "." + layout);
}

}  // namespace axlstm::sweep
