// The only file that knows Arrow.
#include "parquet_rows.h"

#include <arrow/api.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "core/json.h"
#include "list_columns.h"

namespace axlstm::data {
namespace {

constexpr std::int64_t kBufferBytes = 1 << 20;  // of a column that is being read
constexpr std::int64_t kBatchBytes = 1 << 24;   // of audio that is unpacked at once, unless one clip is longer
constexpr std::int64_t kMostRows = 256;

/// Names of the audio column in the order in which they are looked for.
constexpr const char* kAudioNames[] = {"audio",    "wav",   "flac", "mp3",  "ogg",         "opus",
                                       "sound",    "bytes", "path", "file", "audio_bytes", "audio_filepath",
                                       "file_name"};

void check(const arrow::Status& status) { AXLSTM_CHECK(status.ok(), "cannot be read (", status.message(), ")"); }

template <typename Value>
Value checked(arrow::Result<Value> result) {
  check(result.status());
  return std::move(result).ValueUnsafe();
}

/// Calls `read`; whatever Arrow throws becomes an Error.
template <typename Read>
auto guarded(const Read& read) {
  try {
    return read();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& failure) {
    throw Error(str("cannot be read (", failure.what(), ")"));
  }
}

bool is_bytes(const arrow::DataType& type) {
  return arrow::is_base_binary_like(type.id()) && !arrow::is_string(type.id());
}

bool is_text(const arrow::DataType& type) {
  if (type.id() == arrow::Type::DICTIONARY)
    return is_text(*static_cast<const arrow::DictionaryType&>(type).value_type());
  return arrow::is_string(type.id()) || type.id() == arrow::Type::STRING_VIEW;
}

bool is_plain_bytes(const arrow::DataType& type) { return is_bytes(type) || type.id() == arrow::Type::BINARY_VIEW; }

/// The parts of a column that can be audio.
bool is_audio(const arrow::DataType& type) {
  if (type.id() != arrow::Type::STRUCT) return is_plain_bytes(type) || is_text(type);
  const auto& parts = static_cast<const arrow::StructType&>(type);
  const auto bytes = parts.GetFieldByName("bytes"), path = parts.GetFieldByName("path");
  return (bytes && is_plain_bytes(*bytes->type())) || (path && is_text(*path->type()));
}

/// A text or the bytes of an entry; nothing for null. Numbers as they are written.
std::optional<std::string> text_at(const arrow::Array& array, std::int64_t index) {
  if (array.IsNull(index)) return std::nullopt;
  switch (array.type_id()) {
    case arrow::Type::BINARY:
    case arrow::Type::STRING:
      return static_cast<const arrow::BinaryArray&>(array).GetString(index);
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::LARGE_STRING:
      return static_cast<const arrow::LargeBinaryArray&>(array).GetString(index);
    case arrow::Type::BINARY_VIEW:
    case arrow::Type::STRING_VIEW:
      return static_cast<const arrow::BinaryViewArray&>(array).GetString(index);
    case arrow::Type::DICTIONARY: {
      const auto& dictionary = static_cast<const arrow::DictionaryArray&>(array);
      return text_at(*dictionary.dictionary(), dictionary.GetValueIndex(index));
    }
    default:
      return checked(array.GetScalar(index))->ToString();
  }
}

/// Names of the classes that Hugging Face's ClassLabel numbers stand for; empty where the column has none.
std::vector<std::string> class_names(const arrow::Schema& schema, const std::string& column) {
  const auto& metadata = schema.metadata();
  const int at = metadata ? metadata->FindKey("huggingface") : -1;
  if (at < 0) return {};
  try {
    const nlohmann::json all = parse_json(metadata->value(at), "");
    const nlohmann::json* feature = &all.at("info").at("features").at(column);
    while (feature->is_array() || feature->contains("feature"))
      feature = feature->is_array() ? &feature->at(0) : &feature->at("feature");
    return feature->at("names").get<std::vector<std::string>>();
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace

struct ParquetRows::Reader {
  Reader(const std::filesystem::path& path, const ParquetColumns& columns) {
    parquet::ReaderProperties properties(pool);
    properties.enable_buffered_stream();
    properties.set_buffer_size(kBufferBytes);
    parquet::arrow::FileReaderBuilder builder;
    check(builder.OpenFile(path.string(), /*memory_map=*/false, properties));
    parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
    arrow_properties.set_pre_buffer(false);
    file = checked(builder.memory_pool(pool)->properties(arrow_properties)->Build());
    check(file->GetSchema(&schema));
    choose(path.string(), columns);
    const auto metadata = file->parquet_reader()->metadata();
    for (int group = 0; group < metadata->num_row_groups(); ++group) {
      const std::int64_t count = metadata->RowGroup(group)->num_rows();
      AXLSTM_CHECK(count >= 0 && count <= metadata->num_rows(), "cannot be read (the numbers of rows are wrong)");
      rows += count;
      ends.push_back(rows);
    }
    // Every clip takes a byte at least: a damaged footer must not claim billions.
    AXLSTM_CHECK(rows == metadata->num_rows() && rows <= static_cast<std::int64_t>(std::filesystem::file_size(path)),
                 "cannot be read (the numbers of rows are wrong)");
  }

  /// Finds the columns in the schema.
  void choose(const std::string& path, const ParquetColumns& wanted) {
    std::vector<std::string> names, described;
    for (const auto& field : schema->fields()) {
      names.push_back(field->name());
      described.push_back(field->name() + ": " + field->type()->ToString());
    }
    const auto take = [&](const std::string& name, const char* option) {
      if (!schema->GetFieldByName(name))
        throw UsageError(
            str(path, ": has no column '", name, "' (", option, "); its columns: ", quoted_names(described)));
      return name;
    };
    const Columns usual = [&] {
      try {
        return Columns(names);
      } catch (const Error&) {  // two of one meaning: they are to be named
        return Columns({});
      }
    }();
    audio = wanted.audio.empty() ? "" : take(wanted.audio, "--audio-column");
    for (const char* name : kAudioNames)
      if (const auto field = schema->GetFieldByName(name); audio.empty() && field && is_audio(*field->type()))
        audio = name;
    if (audio.empty() || !is_audio(*schema->GetFieldByName(audio)->type()))
      throw UsageError(str(path, ": ", audio.empty() ? "none of its columns" : "column '" + audio + "' is none that",
                           audio.empty() ? " is known to be audio" : " holds encoded audio",
                           "; name one of {bytes, path}, of bytes or of paths with --audio-column. Its columns: ",
                           quoted_names(described)));
    id = !wanted.id.empty() ? take(wanted.id, "--id-column") : usual.id ? names[*usual.id] : "";
    labels = !wanted.labels.empty() ? take(wanted.labels, "--label-column") : usual.labels ? names[*usual.labels] : "";
    if (!labels.empty()) classes = class_names(*schema, labels);
    const parquet::SchemaDescriptor& leaves = *file->parquet_reader()->metadata()->schema();
    for (int leaf = 0; leaf < leaves.num_columns(); ++leaf) {
      const std::vector<std::string> parts = leaves.Column(leaf)->path()->ToDotVector();
      const bool is_bytes_leaf = parts[0] == audio && (parts.size() == 1 || parts[1] == "bytes") &&
                                 !is_text(*schema->GetFieldByName(audio)->type());
      const bool is_path_leaf = parts[0] == audio && (parts.size() == 1 || parts[1] == "path") && !is_bytes_leaf;
      if (is_bytes_leaf) bytes_leaf = leaf;
      if (is_path_leaf || parts[0] == id || parts[0] == labels) light.push_back(leaf);
    }
  }

  int group_of(std::int64_t row) const {
    return static_cast<int>(std::upper_bound(ends.begin(), ends.end(), row) - ends.begin());
  }

  /// Makes `batch` the one that `row` is in.
  void seek(std::int64_t row, bool with_audio) {
    if (batch && has_audio == with_audio && row >= batch_begin && row < batch_begin + batch->num_rows()) return;
    const int wanted = group_of(row);
    if (!batches || has_audio != with_audio || group != wanted || row < batch_begin) open(wanted, with_audio);
    while (!batch || row >= batch_begin + batch->num_rows()) {
      if (batch) batch_begin += batch->num_rows();
      batch.reset();
      check(batches->ReadNext(&batch));
      AXLSTM_CHECK(batch && batch->num_rows() > 0, "cannot be read (the row group ends too early)");
    }
  }

  void open(int wanted, bool with_audio) {
    batches.reset();
    batch.reset();
    group = wanted;
    has_audio = with_audio;
    batch_begin = group == 0 ? 0 : ends[static_cast<std::size_t>(group) - 1];
    const auto metadata = file->parquet_reader()->metadata()->RowGroup(group);
    std::int64_t most = kMostRows;
    std::vector<int> leaves = light;
    if (with_audio && bytes_leaf >= 0) {
      leaves.push_back(bytes_leaf);
      std::sort(leaves.begin(), leaves.end());
      const std::int64_t each = metadata->ColumnChunk(bytes_leaf)->total_uncompressed_size() /
                                std::max<std::int64_t>(metadata->num_rows(), 1);
      most = std::clamp<std::int64_t>(kBatchBytes / std::max<std::int64_t>(each, 1), 1, kMostRows);
    }
    if (leaves.empty()) leaves.push_back(bytes_leaf);  // nothing but bytes: they tell which rows there are
    file->set_batch_size(most);
    batches = checked(file->GetRecordBatchReader({group}, leaves));
  }

  ParquetRow row_at(std::int64_t row) const {
    const std::int64_t at = row - batch_begin;
    ParquetRow found;
    const auto column = [&](const std::string& name) { return name.empty() ? nullptr : batch->GetColumnByName(name); };
    if (const auto array = column(audio); array && array->IsValid(at)) {
      if (array->type_id() == arrow::Type::STRUCT) {
        const auto& parts = static_cast<const arrow::StructArray&>(*array);
        const auto bytes = parts.GetFieldByName("bytes"), path = parts.GetFieldByName("path");
        if (bytes && has_audio) found.bytes = text_at(*bytes, at);
        if (path) found.path = text_at(*path, at).value_or("");
      } else if (is_text(*array->type())) {
        found.path = text_at(*array, at).value_or("");
      } else if (has_audio) {
        found.bytes = text_at(*array, at);
      }
    }
    if (const auto array = column(id)) found.id = text_at(*array, at).value_or("");
    if (const auto array = column(labels)) found.labels = labels_at(*array, at);
    return found;
  }

  std::string labels_at(const arrow::Array& array, std::int64_t index) const {
    if (array.IsNull(index)) return "";
    std::shared_ptr<arrow::Array> entries;
    if (array.type_id() == arrow::Type::LIST) entries = static_cast<const arrow::ListArray&>(array).value_slice(index);
    if (array.type_id() == arrow::Type::LARGE_LIST)
      entries = static_cast<const arrow::LargeListArray&>(array).value_slice(index);
    if (array.type_id() == arrow::Type::FIXED_SIZE_LIST)
      entries = static_cast<const arrow::FixedSizeListArray&>(array).value_slice(index);
    if (!entries) return label_at(array, index);
    std::string joined;
    for (std::int64_t n = 0; n < entries->length(); ++n) {
      if (n > 0) joined += ',';
      joined += label_at(*entries, n);
    }
    return joined;
  }

  std::string label_at(const arrow::Array& array, std::int64_t index) const {
    const std::string text = text_at(array, index).value_or("");
    const bool is_class =
        !classes.empty() && !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    const std::size_t number = is_class && text.size() < 10 ? std::stoul(text) : classes.size();
    return number < classes.size() ? classes[number] : text;
  }

  arrow::MemoryPool* pool = arrow::system_memory_pool();
  std::unique_ptr<parquet::arrow::FileReader> file;
  std::shared_ptr<arrow::Schema> schema;
  std::string audio, id, labels;     ///< names of columns; all but the first may be empty
  std::vector<std::string> classes;  ///< what the numbers of `labels` stand for
  int bytes_leaf = -1;
  std::vector<int> light;  ///< leaves of all that is read but the bytes
  std::int64_t rows = 0;
  std::vector<std::int64_t> ends;  ///< of the row groups

  std::unique_ptr<arrow::RecordBatchReader> batches;  ///< of `group`
  std::shared_ptr<arrow::RecordBatch> batch;
  int group = -1;
  bool has_audio = false;
  std::int64_t batch_begin = 0;
};

ParquetRows::ParquetRows(const std::filesystem::path& path, const ParquetColumns& columns)
    : reader_(guarded([&] { return std::make_unique<Reader>(path, columns); })) {}
ParquetRows::~ParquetRows() = default;
ParquetRows::ParquetRows(ParquetRows&&) noexcept = default;

std::int64_t ParquetRows::size() const { return reader_->rows; }

std::int64_t ParquetRows::group_end(std::int64_t row) const {
  const auto group = static_cast<std::size_t>(reader_->group_of(row));
  return group < reader_->ends.size() ? reader_->ends[group] : reader_->rows;
}

ParquetRow ParquetRows::at(std::int64_t row, bool with_audio) {
  return guarded([&] {
    try {
      reader_->seek(row, with_audio);
      return reader_->row_at(row);
    } catch (...) {  // what failed half way is opened afresh
      reader_->batches.reset();
      reader_->batch.reset();
      throw;
    }
  });
}

}  // namespace axlstm::data
