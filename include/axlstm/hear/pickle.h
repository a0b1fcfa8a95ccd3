// Python pickles of label lists: `<split>.target-labels.pkl` holds one list of strings or integers per row.
//
// A pickle is a program for a small stack machine that may call any Python function. Only the opcodes that lists,
// strings and integers need are understood here (protocols 2 to 5), so nothing can be executed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace axlstm::hear {

using Label = std::variant<std::string, std::int64_t>;
using LabelLists = std::vector<std::vector<Label>>;

/// The label as Python's `str(label)` prints it; vocabularies are looked up by this text.
std::string label_text(const Label& label);

/// Reads a list of lists of str or int. `source` names the bytes in errors. Throws Error naming source, opcode and
/// offset for anything else; memory stays within a fixed multiple of the bytes' length.
LabelLists parse_label_pickle(std::string_view bytes, const std::string& source);

/// parse_label_pickle of a file.
LabelLists read_label_pickle(const std::filesystem::path& path);

/// Protocol 2 bytes that Python's `pickle.loads` turns into the equal list.
std::string label_pickle(const LabelLists& rows);

}  // namespace axlstm::hear
