#include <algorithm>

#include "axlstm/audio/file_names.h"
#include "axlstm/core/error.h"
#include "axlstm/core/log.h"
#include "clips.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

struct NamedFile {
  fs::path file;
  std::string name;
};

std::vector<NamedFile> list_files(const std::vector<fs::path>& inputs, std::vector<std::string>& failures) {
  std::vector<NamedFile> files;
  for (const fs::path& input : inputs) {
    std::error_code failure;
    if (!fs::exists(input, failure)) {
      failures.push_back(input.string() + ": no such file or folder");
    } else if (!fs::is_directory(input, failure)) {
      files.push_back({input, input.filename().string()});
    } else {
      const std::size_t before = files.size();
      const audio::AudioFiles found = audio::list_audio_files(input);
      if (!found.passed_over.empty()) log::warn(str(input.string(), ": passed over ", found.passed_over.description()));
      for (const fs::path& file : found.files) {
        // Not fs::relative: it resolves links, so that a name could lead out of the output folder.
        files.push_back({file, file.lexically_relative(input).string()});
      }
      if (files.size() == before) failures.push_back(input.string() + ": no audio under this folder");
    }
  }
  std::sort(files.begin(), files.end(), [](const NamedFile& a, const NamedFile& b) { return a.name < b.name; });
  const auto twin = std::adjacent_find(files.begin(), files.end(),
                                       [](const NamedFile& a, const NamedFile& b) { return a.name == b.name; });
  if (twin != files.end()) {
    throw UsageError(str(twin->file.string(), " and ", std::next(twin)->file.string(), " would both be written as ",
                         twin->name, "; embed them into different output folders"));
  }
  return files;
}

class FileClips final : public RecordedClips {
 public:
  FileClips(ClipEncoder& encoder, std::vector<NamedFile> files, const ExtractionOptions& options)
      : RecordedClips(encoder, options.long_seconds),
        files_(std::move(files)),
        decoding_{options.min_decoded_fraction} {}

  const char* noun() const override { return "files"; }
  std::size_t size() const override { return files_.size(); }
  std::string name(std::size_t clip) const override { return files_[clip].name; }
  std::string place(std::size_t clip) const override { return files_[clip].file.string(); }

  /// Of samples of 16 bits, or of what is compressed twelve times as much.
  std::uint64_t expected_bytes(std::size_t clip) const override {
    const fs::path& file = files_[clip].file;
    std::error_code failure;
    const auto size = fs::file_size(file, failure);
    const auto extension = file.extension();
    const bool plain = extension == ".wav" || extension == ".WAV" || extension == ".flac";
    return failure ? 0 : size * (plain ? 4 : 24);
  }

 private:
  audio::Recording recording(std::size_t clip) const override {
    return {.path = files_[clip].file, .decoding = decoding_};
  }

  std::vector<NamedFile> files_;
  audio::DecodeOptions decoding_;
};

}  // namespace

std::unique_ptr<Clips> file_clips(ClipEncoder& encoder, const std::vector<fs::path>& inputs,
                                  const ExtractionOptions& options, std::vector<std::string>& failures) {
  return std::make_unique<FileClips>(encoder, list_files(inputs, failures), options);
}

}  // namespace axlstm::embed
