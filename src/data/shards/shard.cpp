#include "axlstm/data/shards/shard.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "axlstm/core/error.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "shards are used as they are read");

constexpr std::string_view kMagic = "AXLSHRD2", kMagic1 = "AXLSHRD1";
constexpr std::size_t kRecordBytes1 = offsetof(ShardRecord, scale);
constexpr std::uint64_t kAlignment = 64;

std::uint64_t padding(std::uint64_t bytes) { return (kAlignment - bytes % kAlignment) % kAlignment; }

}  // namespace

ShardWriter::ShardWriter(fs::path path)
    : path_(std::move(path)),
      temporary_(path_.parent_path() / (".writing-" + path_.filename().string())),
      writer_(temporary_) {
  append(kMagic);
}

ShardWriter::~ShardWriter() {
  std::error_code ignored;
  if (!finished_) fs::remove(temporary_, ignored);
}

void ShardWriter::append(std::string_view bytes) {
  writer_.append(bytes);
  bytes_ += bytes.size();
}

std::uint64_t ShardWriter::append_data(const ShardClip& clip) {
  std::uint64_t checksum = kFnv1a64Start;
  const auto take = [&](std::string_view piece) {
    checksum = fnv1a64(piece, checksum);
    append(piece);
  };
  if (clip.spool) {
    clip.spool->for_each_piece(take);
  } else {
    take(clip.data);
  }
  return checksum;
}

void ShardWriter::add(const ShardClip& clip) {
  append(std::string(padding(bytes_), '\0'));
  const std::uint64_t offset = bytes_, checksum = append_data(clip);
  records_.push_back({offset, clip.length, clip.mean, clip.std, checksum, text_.size(),
                      static_cast<std::uint32_t>(clip.id.size()), static_cast<std::uint32_t>(clip.labels.size()),
                      bytes_ - offset, clip.scale});
  text_ += clip.id + clip.labels;
}

void ShardWriter::finish(const std::string& meta) {
  append(std::string(padding(bytes_), '\0'));
  ShardFooter footer{bytes_, 0, 0, records_.size(), 0, {}};
  footer.text_offset = footer.records_offset + records_.size() * sizeof(ShardRecord);
  footer.meta_offset = footer.text_offset + text_.size();
  for (ShardRecord& record : records_) record.text_offset += footer.text_offset;
  std::string index(reinterpret_cast<const char*>(records_.data()), records_.size() * sizeof(ShardRecord));
  index += text_ + meta;
  footer.checksum = fnv1a64(index);
  std::memcpy(footer.magic, kMagic.data(), kMagic.size());
  append(index);
  append({reinterpret_cast<const char*>(&footer), sizeof footer});
  writer_.finish();
  std::error_code failure;
  fs::rename(temporary_, path_, failure);
  AXLSTM_CHECK(!failure, path_.string(), ": cannot be put in place (", failure.message(), ")");
  finished_ = true;
  sync_directory(path_.parent_path());
}

void ShardView::read(std::uint64_t from, void* target, std::size_t count) const {
  AXLSTM_CHECK(from <= bytes && count <= bytes - from, file->path().string(), ": clip ", id, " has ", bytes, " bytes, ",
               count, " from byte ", from, " on were asked for");
  file->read(offset + from, target, count);
}

bool ShardView::is_whole() const { return fnv1a64(*file, offset, bytes) == checksum; }

ShardReader::ShardReader(const fs::path& path) : file_(std::make_shared<const InputFile>(path)) {
  const auto whole = [&](bool holds) {
    AXLSTM_CHECK(holds, path.string(), ": is not a whole shard of packed clips; pack it again");
  };
  whole(file_->size() >= kMagic.size() + sizeof footer_);
  const std::string magic = file_->read(0, kMagic.size());
  whole(magic == kMagic || magic == kMagic1);
  record_bytes_ = magic == kMagic1 ? kRecordBytes1 : sizeof(ShardRecord);
  const std::uint64_t end = file_->size() - sizeof footer_;
  file_->read(end, &footer_, sizeof footer_);
  whole(std::string_view(footer_.magic, sizeof footer_.magic) == magic);
  // Every offset is checked before it is used: a damaged file must not lead outside of it.
  const auto& f = footer_;
  whole(f.records_offset % alignof(ShardRecord) == 0 && f.records_offset <= f.text_offset &&
        f.text_offset <= f.meta_offset && f.meta_offset <= end && f.clips <= end / record_bytes_ &&
        f.text_offset - f.records_offset == f.clips * record_bytes_);
  index_ = file_->read(f.records_offset, end - f.records_offset);
  AXLSTM_CHECK(fnv1a64(index_) == f.checksum, path.string(),
               ": the index does not match its checksum; the file is damaged, pack it again");
  for (std::int64_t index = 0; index < size(); ++index) {
    const ShardRecord r = record(index);
    const std::uint64_t text_bytes = std::uint64_t{r.id_bytes} + r.labels_bytes;
    whole(r.length > 0 && r.offset <= f.records_offset && r.data_bytes <= f.records_offset - r.offset &&
          r.text_offset >= f.text_offset && r.text_offset <= f.meta_offset &&
          text_bytes <= f.meta_offset - r.text_offset && r.offset % kAlignment == 0 && std::isfinite(r.mean) &&
          std::isfinite(r.std) && std::isfinite(r.scale) && r.scale > 0);
  }
}

ShardRecord ShardReader::record(std::int64_t index) const {
  ShardRecord record{};
  record.scale = kPcm16Scale;  // where the format has none
  std::memcpy(&record, index_.data() + static_cast<std::size_t>(index) * record_bytes_, record_bytes_);
  return record;
}

ShardView ShardReader::clip(std::int64_t index) const {
  AXLSTM_CHECK(index >= 0 && index < size(), file_->path().string(), ": has ", size(), " clips, number ", index,
               " was asked for");
  const ShardRecord r = record(index);
  const std::string_view text = std::string_view(index_).substr(r.text_offset - footer_.records_offset);
  return {text.substr(0, r.id_bytes),
          text.substr(r.id_bytes, r.labels_bytes),
          r.data_bytes,
          r.length,
          r.mean,
          r.std,
          r.checksum,
          file_.get(),
          r.offset,
          r.scale};
}

std::string_view ShardReader::meta() const {
  return std::string_view(index_).substr(footer_.meta_offset - footer_.records_offset);
}

}  // namespace axlstm::data
