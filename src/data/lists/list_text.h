// The text of a list of clips, whatever it is packed in.
#pragma once

#include <filesystem>
#include <string>

namespace axlstm::data {

/// The name without the ending of a compression: "a.jsonl.gz" → "a.jsonl".
std::filesystem::path list_name(const std::filesystem::path& path);

/// The file's text, unpacked (gzip, bzip2, xz, zstd), lines ending with "\n" (or "\r\n"), without a byte order mark.
/// Throws Error naming the file and what it is if it is no UTF-8 text: UTF-16, Parquet, a spreadsheet.
std::string read_list(const std::filesystem::path& path);

}  // namespace axlstm::data
