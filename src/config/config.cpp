#include "axlstm/config/config.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::config {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxNodes = 20'000;  // aliases can make a small file expand without bound
constexpr int kMaxDepth = 100;     // an alias of itself is endlessly deep

Node convert(const YAML::Node& yaml, const std::string& source, int& budget, int depth = 0) {
  Node node;
  node.origin = {source, yaml.Mark().line + 1, yaml.Mark().column + 1};
  if (depth > kMaxDepth) throw UsageError(str(node.origin.str(), ": more than ", kMaxDepth, " levels deep"));
  if (--budget < 0) throw UsageError(str(source, ": more than ", kMaxNodes, " values; is this a configuration file?"));
  switch (yaml.Type()) {
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null:
      break;
    case YAML::NodeType::Scalar:
      node.kind = Node::Kind::kScalar;
      node.scalar = yaml.Scalar();
      break;
    case YAML::NodeType::Sequence:
      node.kind = Node::Kind::kSequence;
      for (const auto& item : yaml) node.items.push_back(convert(item, source, budget, depth + 1));
      break;
    case YAML::NodeType::Map:
      node.kind = Node::Kind::kMap;
      for (const auto& entry : yaml) {
        if (!entry.first.IsScalar()) throw UsageError(str(node.origin.str(), ": a key must be a plain word"));
        const std::string key = entry.first.Scalar();
        if (key == "<<")
          throw UsageError(str(source, ":", entry.first.Mark().line + 1, ":", entry.first.Mark().column + 1,
                               ": YAML 1.2 has no merge keys ('<<'); name another file with 'extends:'"));
        Node value = convert(entry.second, source, budget, depth + 1);
        value.origin = {source, entry.first.Mark().line + 1, entry.first.Mark().column + 1};
        if (node.find(key)) {
          throw UsageError(
              str(value.origin.str(), ": key '", key, "' was already given at ", node.find(key)->origin.str()));
        }
        node.entries.push_back({key, std::move(value)});
      }
      break;
  }
  return node;
}

/// Where a document begins, and whether it holds anything.
struct DocumentSeen final : YAML::EventHandler {
  YAML::Mark begin = YAML::Mark::null_mark();
  bool empty = true;

  void OnDocumentStart(const YAML::Mark& mark) override { begin = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override { empty = false; }
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override { empty = false; }
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    empty = false;
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
    empty = false;
  }
  void OnMapEnd() override {}
};

/// Throws UsageError for a second document. Not YAML::LoadAll: of some texts that are no YAML yaml-cpp 0.7 makes
/// empty documents without end, each at the place of the one before.
void check_one_document(const std::string& text, const std::string& source) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentSeen first;
  if (!parser.HandleNextDocument(first)) return;
  for (YAML::Mark last = first.begin;;) {
    DocumentSeen next;
    if (!parser.HandleNextDocument(next)) return;
    const std::string place = str(source, ":", next.begin.line + 1, ":", next.begin.column + 1, ": ");
    if (next.begin.pos == last.pos) throw UsageError(place + "here no value can begin");
    if (!next.empty) throw UsageError(place + "a second document begins here; a configuration is one document");
    last = next.begin;
  }
}

/// Of the line counted from 0.
bool is_indented_by_tab(std::string_view text, int line) {
  if (line < 0) return false;
  for (; line > 0 && !text.empty(); --line) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  const std::size_t first = text.find_first_not_of(" \t");
  return text.substr(0, first).find('\t') != std::string_view::npos;
}

/// `named_by`: the text that goes before an error about `path` itself, where an `extends:` names it.
Node load_chain(const fs::path& path, std::vector<fs::path>& chain, const std::string& named_by) {
  const fs::path canonical = fs::weakly_canonical(path);
  if (std::find(chain.begin(), chain.end(), canonical) != chain.end()) {
    throw UsageError(str(named_by, path.string(), ": 'extends' leads back to this file"));
  }
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) {
    throw UsageError(str(named_by, path.string(), ": no such configuration file"));
  }
  chain.push_back(canonical);
  Node own = parse(read_file(path), path.string());

  Node merged;
  merged.kind = Node::Kind::kMap;
  merged.origin = own.origin;
  const auto extends =
      std::find_if(own.entries.begin(), own.entries.end(), [](const auto& e) { return e.key == "extends"; });
  if (extends != own.entries.end()) {
    const Node& value = extends->value;
    const std::vector<Node> parents = value.kind == Node::Kind::kSequence ? value.items : std::vector<Node>{value};
    for (const Node& parent : parents) {
      if (parent.kind != Node::Kind::kScalar) {
        throw UsageError(str(value.origin.str(), ": 'extends' takes a path or a list of paths"));
      }
      merge(merged, load_chain(path.parent_path() / parent.scalar, chain, parent.origin.str() + ": in 'extends': "));
    }
    own.entries.erase(extends);
  }
  merge(merged, own);
  chain.pop_back();
  return merged;
}

}  // namespace

std::string Origin::str() const { return line > 0 ? axlstm::str(source, ":", line, ":", column) : source; }

const Node* Node::find(const std::string& key) const {
  const auto entry = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.key == key; });
  return entry == entries.end() ? nullptr : &entry->value;
}

Node parse(const std::string& text, const std::string& source) {
  try {
    int budget = kMaxNodes;
    check_one_document(text, source);
    Node root = convert(YAML::Load(text), source, budget);
    if (root.kind == Node::Kind::kNull) root.kind = Node::Kind::kMap;  // an empty file sets nothing
    if (root.kind != Node::Kind::kMap)
      throw UsageError(str(root.origin.str(), ": a configuration is made of 'key: value' lines"));
    return root;
  } catch (const YAML::Exception& failure) {
    throw UsageError(str(source, ":", failure.mark.line + 1, ":", failure.mark.column + 1, ": ",
                         is_indented_by_tab(text, failure.mark.line)
                             ? "the line is indented by a tab; YAML takes spaces"
                             : failure.msg));
  }
}

Node load(const fs::path& path) {
  std::vector<fs::path> chain;
  return load_chain(path, chain, "");
}

void merge(Node& base, const Node& overlay) {
  if (base.kind == Node::Kind::kMap && overlay.kind == Node::Kind::kNull) return;  // a section left empty
  if (base.kind != Node::Kind::kMap || overlay.kind != Node::Kind::kMap) {
    base = overlay;
    return;
  }
  for (const auto& [key, value] : overlay.entries) {
    const auto existing =
        std::find_if(base.entries.begin(), base.entries.end(), [&name = key](const auto& e) { return e.key == name; });
    if (existing == base.entries.end()) {
      base.entries.push_back({key, value});
    } else {
      merge(existing->value, value);
    }
  }
}

void apply_override(Node& root, const std::string& assignment) {
  const Origin origin{str("command line '", assignment, "'"), 0, 0};
  const std::size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UsageError(str("command line: '", assignment, "' is not of the form section.key=value"));
  }
  Node leaf;
  leaf.kind = equals + 1 == assignment.size() ? Node::Kind::kNull : Node::Kind::kScalar;
  leaf.scalar = assignment.substr(equals + 1);
  leaf.origin = origin;

  std::string path = assignment.substr(0, equals);
  if (std::count(path.begin(), path.end(), '.') > kMaxDepth) {
    throw UsageError(str(origin.str(), ": more than ", kMaxDepth, " levels deep"));
  }
  for (std::size_t dot = path.rfind('.'); dot != std::string::npos; dot = path.rfind('.')) {
    Node parent;
    parent.kind = Node::Kind::kMap;
    parent.origin = origin;
    parent.entries.push_back({path.substr(dot + 1), std::move(leaf)});
    leaf = std::move(parent);
    path.resize(dot);
  }
  Node tree;
  tree.kind = Node::Kind::kMap;
  tree.entries.push_back({path, std::move(leaf)});
  merge(root, tree);
}

std::string nearest(const std::string& name, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = name.size() / 2 + 1;  // farther than this is no longer a typing error
  for (const std::string& candidate : candidates) {
    std::vector<std::size_t> row(candidate.size() + 1);  // Levenshtein, one row at a time
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= name.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i);
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t substitution = diagonal + (name[i - 1] != candidate[j - 1]);
        diagonal = std::exchange(row[j], std::min({substitution, row[j] + 1, row[j - 1] + 1}));
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace axlstm::config
