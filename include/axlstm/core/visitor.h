// What a configuration is made of: beside every struct of options stands `void visit(Options&, Visitor&)`, which shows
// each key with its meaning, range and effect. Reading, dumping and the reference in docs/config.md are visitors.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "axlstm/core/enum_names.h"

namespace axlstm {

/// Bounds of a number, both included.
struct Range {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};

inline constexpr Range kPositive{1, 1e15}, kNotNegative{0, 1e15}, kFraction{0, 1};

/// What another value of a key changes in a run that is resumed with it. kNone: none of its numbers, so that a run may
/// go on with another value (intervals, worker counts, where the audio lies). kNumbers: it would be another run.
enum class Effect { kNumbers, kNone };

/// Walks over every key of a configuration. Its methods are called for each field in turn, between begin_section and
/// end_section of the section that the key stands in; they may read the value, or set it. Of `key` and `doc`, the
/// meaning in Markdown, a visitor keeps no pointer.
class Visitor {
 public:
  virtual ~Visitor() = default;
  virtual void begin_section(const char* name, const char* doc) = 0;
  virtual void end_section() = 0;
  virtual void integer(const char* key, std::int64_t& value, Range range, const char* doc,
                       Effect effect = Effect::kNumbers) = 0;
  virtual void number(const char* key, double& value, Range range, const char* doc,
                      Effect effect = Effect::kNumbers) = 0;
  virtual void boolean(const char* key, bool& value, const char* doc, Effect effect = Effect::kNumbers) = 0;
  virtual void text(const char* key, std::string& value, const char* doc, Effect effect = Effect::kNumbers) = 0;
  /// A list of texts. So that one can be given on the command line, a single text is taken apart: "a,b" or "[a, b]".
  virtual void texts(const char* key, std::vector<std::string>& values, const char* doc,
                     Effect effect = Effect::kNumbers) = 0;
  /// One of `names`; `index` counts them from 0.
  virtual void choice_index(const char* key, const std::vector<std::string>& names, int& index, const char* doc,
                            Effect effect = Effect::kNumbers) = 0;

  /// An enumeration with names (core/enum_names.h).
  template <typename Enum>
  void choice(const char* key, Enum& value, const char* doc, Effect effect = Effect::kNumbers) {
    int index = static_cast<int>(value);
    choice_index(key, names_of<Enum>(), index, doc, effect);
    value = static_cast<Enum>(index);
  }
};

}  // namespace axlstm
