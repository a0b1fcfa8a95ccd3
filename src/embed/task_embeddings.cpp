#include "axlstm/embed/task_embeddings.h"

#include <torch/torch.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <span>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/hear/python_random.h"
#include "axlstm/io/npy.h"
#include "core/json.h"
#include "embedding_pieces.h"
#include "hear/python_json.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kDoneFile = ".done.embeddings";
constexpr const char* kSourceFile = "embeddings-source.json";
constexpr const char* kPiecesFolder = ".pieces";
// A piece is in memory as a whole: two minutes of events may have 3000 frames of 3840 values.
constexpr std::size_t kScenePieceFiles = 256, kEventPieceFiles = 8;

struct Clip {
  std::string file;
  std::vector<hear::Label> labels;  // of a scene
  std::vector<hear::Event> events;
};

ordered_json to_json(const std::vector<hear::Label>& labels) {
  ordered_json list = ordered_json::array();
  for (const hear::Label& label : labels) {
    std::visit([&list](const auto& value) { list.push_back(value); }, label);
  }
  return list;
}

/// Not flushed to the disk: for copies that nothing reads, of which there may be a hundred thousand.
void write_unsynced(const fs::path& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary);
  out << bytes << std::flush;
  AXLSTM_CHECK(out, path.string(), ": cannot be written (", std::strerror(errno), ")");
}

/// Labels of the events that are active at `time_ms`.
std::vector<hear::Label> active_labels(const std::vector<hear::Event>& events, double time_ms) {
  constexpr double kEndTolerance = 0.0001;
  std::vector<hear::Label> labels;
  for (const hear::Event& event : events) {
    if (event.start_ms <= time_ms && time_ms < event.end_ms + kEndTolerance) labels.push_back(event.label);
  }
  return labels;
}

/// Replaces what is no UTF-8, which the names of files may hold.
std::string source_json(const std::string& source) {
  return json{{"source", source}}.dump(4, ' ', false, json::error_handler_t::replace);
}

/// The folder is about to be replaced: nothing but embeddings may be in it.
void check_replaceable(const fs::path& final_dir, const fs::path& task_dir) {
  if (!fs::exists(final_dir)) return;
  if (fs::equivalent(final_dir, task_dir)) {
    throw UsageError(final_dir.string() + ": is the task itself, which its embeddings would replace; choose another " +
                     "--output");
  }
  const auto is_dimensions = [](const fs::directory_entry& entry) {
    return entry.path().filename().string().ends_with(".embedding-dimensions.json");
  };
  const bool is_folder = fs::is_directory(final_dir);
  if (!is_folder || std::none_of(fs::directory_iterator(final_dir), fs::directory_iterator(), is_dimensions)) {
    throw UsageError(final_dir.string() + ": exists and holds no embeddings, which would replace it; choose another " +
                     "--output");
  }
}

/// Embeddings without a source, such as the official runner's, are taken for the right ones.
void check_source(const fs::path& final_dir, const std::string& source) {
  const fs::path path = final_dir / kSourceFile;
  if (source.empty() || !fs::exists(path)) return;
  const json found = hear::read_json(path), wanted = parse_json(source_json(source), "embeddings-source");
  AXLSTM_CHECK(
      found == wanted, final_dir.string(), ": was made with ", found.dump(), ", not ", wanted.dump(),
      "; remove it, choose another --output, or ask for the model, layout, padding and precision that made it");
}

/// Writes one task into a folder whose name is still temporary.
class TaskWriter {
 public:
  /// `final_dir` is the folder's later name, which the written paths contain.
  TaskWriter(const fs::path& task_dir, const fs::path& temporary_dir, const fs::path& final_dir,
             const EmbedFiles& embed, const TaskEmbeddingsOptions& options)
      : task_dir_(task_dir),
        temporary_dir_(temporary_dir),
        final_dir_(final_dir),
        embed_(embed),
        options_(options),
        metadata_(hear::load_task_metadata(task_dir)),
        vocabulary_(hear::load_label_vocabulary(task_dir)),
        audio_dir_(task_dir / std::to_string(options.sample_rate)),
        pieces_(temporary_dir / kPiecesFolder) {}

  /// Everything that can be wrong with the task folder is found before the first file is embedded.
  void write() {
    AXLSTM_CHECK(fs::is_directory(audio_dir_), audio_dir_.string(), ": no such folder; the task's audio at ",
                 options_.sample_rate, " Hz is needed");
    hear::PythonRandom random(0);
    std::vector<std::vector<Clip>> splits;
    for (const std::string& split : metadata_.splits) {
      splits.push_back(load_clips(split));
      random.shuffle(splits.back());
      total_files_ += static_cast<std::int64_t>(splits.back().size());
    }
    if (!resumable()) {
      fs::remove_all(temporary_dir_);
      fs::create_directory(temporary_dir_);
      copy_description();
    }
    for (std::size_t i = 0; i < splits.size(); ++i) write_split(metadata_.splits[i], splits[i]);
  }

 private:
  bool is_event_task() const { return metadata_.embedding_type == hear::EmbeddingType::kEvent; }

  /// The split's clips in the order of its JSON file, with labels and audio files checked.
  std::vector<Clip> load_clips(const std::string& split) const {
    std::vector<Clip> clips;
    if (is_event_task()) {
      for (auto& clip : hear::load_event_split(task_dir_, split))
        clips.push_back({clip.file, {}, std::move(clip.events)});
    } else {
      for (auto& clip : hear::load_scene_split(task_dir_, split, metadata_.prediction_type)) {
        clips.push_back({clip.file, std::move(clip.labels), {}});
      }
    }
    for (const Clip& clip : clips) {
      for (const hear::Label& label : clip.labels) vocabulary_.index(label);
      for (const hear::Event& event : clip.events) vocabulary_.index(event.label);
      const fs::path audio = audio_dir_ / split / clip.file;
      AXLSTM_CHECK(fs::exists(audio), audio.string(), ": no such file, but ", split, ".json lists it");
    }
    return clips;
  }

  std::vector<std::string> description_files() const {
    std::vector<std::string> names{"task_metadata.json", "labelvocabulary.csv"};
    for (const std::string& split : metadata_.splits) names.push_back(split + ".json");
    return names;
  }

  /// True if an unfinished folder is there of the same task and of the same, known source.
  bool resumable() const {
    const auto equal = [&](const std::string& name, const std::string& wanted) {
      return fs::exists(temporary_dir_ / name) && read_file(temporary_dir_ / name) == wanted;
    };
    if (options_.source.empty() || !equal(kSourceFile, source_json(options_.source) + "\n")) return false;
    const auto names = description_files();
    return std::all_of(names.begin(), names.end(),
                       [&](const std::string& name) { return equal(name, read_file(task_dir_ / name)); });
  }

  void copy_description() const {
    for (const std::string& name : description_files()) {
      write_file_atomic(temporary_dir_ / name, read_file(task_dir_ / name));
    }
    if (!options_.source.empty()) write_file_atomic(temporary_dir_ / kSourceFile, source_json(options_.source) + "\n");
  }

  void write_split(const std::string& split, const std::vector<Clip>& clips) {
    if (options_.per_file) fs::create_directories(temporary_dir_ / split);
    SyncedWriter array(temporary_dir_ / (split + ".embeddings.npy"));
    hear::LabelLists labels;
    ordered_json frames = ordered_json::array();
    const std::size_t piece_files = is_event_task() ? kEventPieceFiles : kScenePieceFiles;
    for (std::size_t first = 0; first < clips.size(); first += piece_files) {
      const auto piece = part(clips, first, piece_files);
      const auto next = part(clips, first + piece.size(), piece_files);
      const std::vector<FileEmbedding> embedded = embed_piece(split, first / piece_files, piece, next);
      for (std::size_t i = 0; i < piece.size(); ++i) {
        const torch::Tensor embedding = embedded[i].embedding.contiguous();
        const hear::LabelLists rows = row_labels(piece[i], embedded[i].timestamps_ms);
        array.append(checkpoints::bytes_of(embedding));
        labels.insert(labels.end(), rows.begin(), rows.end());
        for (const double ms : embedded[i].timestamps_ms) {
          frames.push_back({(final_dir_ / split / piece[i].file).string(), ms});
        }
        if (options_.per_file) write_clip(split, piece[i].file, embedding, embedded[i].timestamps_ms, rows);
      }
    }
    array.finish();
    write_file_atomic(temporary_dir_ / (split + ".embedding-dimensions.json"), str("[", labels.size(), ", ", *D_, "]"));
    write_file_atomic(temporary_dir_ / (split + ".target-labels.pkl"), hear::label_pickle(labels));
    if (is_event_task()) {
      write_file_atomic(temporary_dir_ / (split + ".filename-timestamps.json"), hear::python_json(frames, 4));
    }
  }

  static std::span<const Clip> part(std::span<const Clip> clips, std::size_t first, std::size_t most) {
    return clips.subspan(first, std::min(most, clips.size() - first));
  }

  /// The embeddings of consecutive clips: those of an earlier, killed run, or new ones. `next`: clips of the next
  /// piece.
  std::vector<FileEmbedding> embed_piece(const std::string& split, std::size_t index, std::span<const Clip> clips,
                                         std::span<const Clip> next) {
    const auto report = [this](std::size_t files) {
      done_files_ += static_cast<std::int64_t>(files);
      if (options_.progress) options_.progress(done_files_, total_files_);
    };
    if (auto found = pieces_.load(split, index, clips.size())) {
      for (std::size_t i = 0; i < clips.size(); ++i) check_embedding((*found)[i], audio_dir_ / split / clips[i].file);
      report(clips.size());
      return *std::move(found);
    }
    std::vector<FileEmbedding> embedded;
    const auto batch_files = static_cast<std::size_t>(std::max(1, options_.batch_files));
    for (std::size_t first = 0; first < clips.size(); first += batch_files) {
      const auto batch = part(clips, first, batch_files);
      auto after = part(clips, first + batch.size(), batch_files);
      if (after.empty() && !pieces_.holds(split, index + 1)) after = part(next, 0, batch_files);
      if (options_.announce) options_.announce(audio_files(split, after));
      for (FileEmbedding& file : embed_batch(split, batch)) embedded.push_back(std::move(file));
      report(batch.size());
    }
    pieces_.save(split, index, embedded);
    return embedded;
  }

  std::vector<fs::path> audio_files(const std::string& split, std::span<const Clip> clips) const {
    std::vector<fs::path> files;
    for (const Clip& clip : clips) files.push_back(audio_dir_ / split / clip.file);
    return files;
  }

  std::vector<FileEmbedding> embed_batch(const std::string& split, std::span<const Clip> batch) {
    const std::vector<fs::path> files = audio_files(split, batch);
    std::vector<FileEmbedding> embedded = embed_(files);
    AXLSTM_CHECK(embedded.size() == files.size(), files.front().string(), ": ", embedded.size(), " embeddings for ",
                 files.size(), " files");
    for (std::size_t i = 0; i < files.size(); ++i) check_embedding(embedded[i], files[i]);
    return embedded;
  }

  void check_embedding(const FileEmbedding& file, const fs::path& path) {
    const torch::Tensor& embedding = file.embedding;
    const std::int64_t dimensions = is_event_task() ? 2 : 1;
    AXLSTM_CHECK(embedding.defined() && embedding.scalar_type() == torch::kFloat32 && embedding.device().is_cpu() &&
                     embedding.dim() == dimensions,
                 path.string(), ": its embedding is no float32 tensor of ", dimensions, " dimensions on the CPU");
    const std::int64_t D = embedding.size(-1);
    if (!D_) D_ = D;
    AXLSTM_CHECK(D == *D_, path.string(), ": an embedding of ", D, " values, earlier ones have ", *D_);
    const auto frames = static_cast<std::int64_t>(file.timestamps_ms.size());
    const std::int64_t needed = is_event_task() ? embedding.size(0) : 0;
    AXLSTM_CHECK(frames == needed, path.string(), ": ", frames, " timestamps for ", needed, " frames");
    AXLSTM_CHECK(torch::isfinite(embedding).all().item<bool>(), path.string(),
                 ": its embedding has NaN or infinite values (try a wider precision)");
  }

  hear::LabelLists row_labels(const Clip& clip, const std::vector<double>& timestamps_ms) const {
    if (!is_event_task()) return {clip.labels};
    hear::LabelLists rows;
    rows.reserve(timestamps_ms.size());
    for (const double ms : timestamps_ms) rows.push_back(active_labels(clip.events, ms));
    return rows;
  }

  void write_clip(const std::string& split, const std::string& file, const torch::Tensor& embedding,
                  const std::vector<double>& timestamps_ms, const hear::LabelLists& rows) const {
    const auto path = [&](const char* suffix) { return temporary_dir_ / split / (file + suffix); };
    const std::span values(embedding.const_data_ptr<float>(), static_cast<std::size_t>(embedding.numel()));
    write_unsynced(path(".embedding.npy"), io::npy_bytes(embedding.sizes(), values));
    if (!is_event_task()) {
      write_unsynced(path(".target-labels.json"), hear::python_json(to_json(rows.front()), -1));
      return;
    }
    ordered_json labels = ordered_json::array();
    for (const auto& row : rows) labels.push_back(to_json(row));
    write_unsynced(path(".target-labels.json"), hear::python_json(labels, 4));
    write_unsynced(path(".timestamps.json"), hear::python_json(timestamps_ms, 4));
  }

  const fs::path& task_dir_;
  const fs::path& temporary_dir_;
  const fs::path& final_dir_;
  const EmbedFiles& embed_;
  const TaskEmbeddingsOptions& options_;
  hear::TaskMetadata metadata_;
  hear::LabelVocabulary vocabulary_;
  fs::path audio_dir_;
  EmbeddingPieces pieces_;
  std::optional<std::int64_t> D_;
  std::int64_t done_files_ = 0;
  std::int64_t total_files_ = 0;
};

}  // namespace

bool write_task_embeddings(const fs::path& task_dir, const fs::path& output_dir, const EmbedFiles& embed,
                           const TaskEmbeddingsOptions& options) {
  AXLSTM_CHECK(fs::is_directory(task_dir), task_dir.string(), ": no such task folder");
  const fs::path source = fs::canonical(task_dir);  // "tasks/esc50/" and "." have a name too
  const std::string name = source.filename().string();
  const fs::path final_dir = output_dir / name;
  check_replaceable(final_dir, source);
  if (fs::exists(final_dir / kDoneFile)) {
    check_source(final_dir, options.source);
    return false;
  }

  fs::create_directories(output_dir);
  const FileLock lock(output_dir / ("." + name + ".lock"));
  const fs::path temporary_dir = output_dir / ("." + name + ".partial");
  TaskWriter(source, temporary_dir, final_dir, embed, options).write();

  fs::remove_all(temporary_dir / kPiecesFolder);
  fs::remove_all(final_dir);
  fs::rename(temporary_dir, final_dir);
  sync_directory(output_dir);
  write_file_atomic(final_dir / kDoneFile, "");
  return true;
}

}  // namespace axlstm::embed
