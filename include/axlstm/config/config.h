// YAML configuration: files that extend others, overrides from the command line, and strict reading: an unknown key,
// a wrong type or a value out of range is an error with file:line:column and the nearest valid key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "axlstm/core/visitor.h"

namespace axlstm::config {

/// Where a value was written.
struct Origin {
  std::string source;  ///< file name, or "command line"
  int line = 0;        ///< 1-based; 0 where there are no lines
  int column = 0;

  std::string str() const;
};

struct Entry;

/// A parsed value that remembers where it was written.
struct Node {
  enum class Kind { kNull, kScalar, kSequence, kMap };

  Kind kind = Kind::kNull;
  std::string scalar;
  std::vector<Node> items;
  std::vector<Entry> entries;  ///< in the order of the file
  Origin origin;

  const Node* find(const std::string& key) const;
};

/// One key of a map. Not std::pair: clang does not take one of a type that is still being defined.
struct Entry {
  std::string key;
  Node value;
};

/// Parses YAML text. Throws UsageError with the position of a syntax error or a repeated key.
Node parse(const std::string& text, const std::string& source);

/// Loads a file and everything its `extends:` (a path or a list, relative to the file) names; later values win.
Node load(const std::filesystem::path& path);

/// Lays `overlay` over `base`: maps are merged key by key (an empty section sets nothing), anything
/// else is replaced.
void merge(Node& base, const Node& overlay);

/// Applies one "section.key=value" of the command line.
void apply_override(Node& root, const std::string& assignment);

/// Sets the visited fields from a Node; finish() reports the first key that no field asked for.
class Reader final : public Visitor {
 public:
  explicit Reader(const Node& root);
  void begin_section(const char* name, const char* doc) override;
  void end_section() override;
  void integer(const char* key, std::int64_t& value, Range range, const char* doc, Effect effect) override;
  void number(const char* key, double& value, Range range, const char* doc, Effect effect) override;
  void boolean(const char* key, bool& value, const char* doc, Effect effect) override;
  void text(const char* key, std::string& value, const char* doc, Effect effect) override;
  void texts(const char* key, std::vector<std::string>& values, const char* doc, Effect effect) override;
  void choice_index(const char* key, const std::vector<std::string>& names, int& index, const char* doc,
                    Effect effect) override;
  void finish() const;

 private:
  const Node* take(const char* key);
  std::string path(const std::string& key) const;

  const Node& root_;
  const Node* section_ = nullptr;  ///< the section being read; null where the file lacks it
  std::string section_name_;
  std::vector<std::string> known_;  ///< every section and dotted key seen so far
  std::vector<const Node*> used_;
};

/// Prints the visited fields as YAML that reads back to the same values.
class Writer final : public Visitor {
 public:
  void begin_section(const char* name, const char* doc) override;
  void end_section() override;
  void integer(const char* key, std::int64_t& value, Range range, const char* doc, Effect effect) override;
  void number(const char* key, double& value, Range range, const char* doc, Effect effect) override;
  void boolean(const char* key, bool& value, const char* doc, Effect effect) override;
  void text(const char* key, std::string& value, const char* doc, Effect effect) override;
  void texts(const char* key, std::vector<std::string>& values, const char* doc, Effect effect) override;
  void choice_index(const char* key, const std::vector<std::string>& names, int& index, const char* doc,
                    Effect effect) override;
  const std::string& yaml() const { return yaml_; }

 private:
  std::string yaml_;
};

/// Prints a Markdown table of every key: type or choices, range, default, meaning (docs/config.md).
class ReferenceWriter final : public Visitor {
 public:
  void begin_section(const char* name, const char* doc) override;
  void end_section() override;
  void integer(const char* key, std::int64_t& value, Range range, const char* doc, Effect effect) override;
  void number(const char* key, double& value, Range range, const char* doc, Effect effect) override;
  void boolean(const char* key, bool& value, const char* doc, Effect effect) override;
  void text(const char* key, std::string& value, const char* doc, Effect effect) override;
  void texts(const char* key, std::vector<std::string>& values, const char* doc, Effect effect) override;
  void choice_index(const char* key, const std::vector<std::string>& names, int& index, const char* doc,
                    Effect effect) override;
  const std::string& markdown() const { return markdown_; }

 private:
  void row(const char* key, const std::string& type, const std::string& value, const char* doc);

  std::string section_;
  std::string markdown_;
};

/// The candidate with the smallest edit distance to `name`; empty if none is near.
std::string nearest(const std::string& name, const std::vector<std::string>& candidates);

}  // namespace axlstm::config
