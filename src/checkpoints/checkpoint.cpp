#include "axlstm/checkpoints/checkpoint.h"

#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"
#include "axlstm/core/xxh3.h"
#include "axlstm/core/zero_padded.h"
#include "core/json.h"

namespace axlstm::checkpoints {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 2;     // checksums: XXH3
constexpr int kOldFormat = 1;  // FNV-1a
constexpr const char* kModel = "model.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kEma = "ema.safetensors";
constexpr const char* kConfig = "config.yaml";
constexpr const char* kState = "state.json";
constexpr const char* kFolderPrefix = "step-";
constexpr const char* kTensorsExtension = ".safetensors";
constexpr const char* kTemporaryPrefix = ".writing-";

std::string folder_name(std::int64_t step) { return kFolderPrefix + zero_padded(static_cast<std::uint64_t>(step), 8); }

/// The step in a checkpoint's name; nothing for other names, such as that of a user's copy.
std::optional<std::int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kFolderPrefix)) return std::nullopt;
  std::int64_t step = 0;
  std::from_chars(name.data() + std::string_view(kFolderPrefix).size(), name.data() + name.size(), step);
  return folder_name(step) == name ? std::optional(step) : std::nullopt;
}

fs::path checkpoints_folder(const fs::path& run_dir) { return run_dir / "checkpoints"; }

void write_text(const fs::path& path, const std::string& text) {
  SyncedWriter writer(path);
  writer.append(text);
  writer.finish();
}

/// What there is to do about a checkpoint that is damaged.
constexpr const char* kUseAnother = "use another checkpoint of the run, or move this one away";

/// The contents of state.json. Throws Error naming it if it is cut, empty or holds something else.
nlohmann::json read_state(const fs::path& folder) {
  const std::string name = (folder / kState).string(), text = read_file(folder / kState);
  AXLSTM_CHECK(!text.empty(), name, ": is empty (0 bytes); ", kUseAnother);
  const auto parsed = try_parse_json(text);
  AXLSTM_CHECK(parsed, name, ": damaged, its ", text.size(), " bytes are no whole JSON; ", kUseAnother);
  const nlohmann::json& state = *parsed;
  AXLSTM_CHECK(
      state.is_object() && state.contains("format") && (state["format"] == kFormat || state["format"] == kOldFormat),
      name, ": not a checkpoint's state of format ", kOldFormat, " or ", kFormat, "; ", kUseAnother);
  AXLSTM_CHECK(state.contains("step") && state["step"].is_number_integer() && state.contains("files") &&
                   state["files"].is_object(),
               name, ": damaged, 'step' or 'files' is missing or of the wrong type; ", kUseAnother);
  return state;
}

struct Best {
  std::int64_t step = -1;
  double score = 0;
};

Best best_of(const nlohmann::json& state) {
  if (!state.contains("best")) return {};
  return {state["best"].at("step").get<std::int64_t>(), state["best"].at("score").get<double>()};
}

enum class Purpose { kResume, kUse };

/// Whether a file has the checksum that state.json's record of it names.
bool is_unchanged(const InputFile& file, const nlohmann::json& record, const nlohmann::json& format) {
  return format == kOldFormat ? fnv1a64_hex(file) == record.value("fnv1a64", "")
                              : xxh3_hex(file) == record.value("xxh3", "");
}

/// Verifies size and hash of every file that state.json lists. The optimiser's state, two thirds of a checkpoint, may
/// be missing where a model is only used.
void verify(const fs::path& folder, const nlohmann::json& state, Purpose purpose) {
  try {
    for (const char* name : {kModel, kOptimizer, kConfig, kEma}) {
      const fs::path path = folder / name;
      const bool listed = state["files"].contains(name);
      if (name == kOptimizer && purpose == Purpose::kUse && !fs::exists(path)) continue;
      if (name == kEma && !listed && !fs::exists(path)) continue;
      AXLSTM_CHECK(listed, (folder / kState).string(), ": does not list ", name);
      const auto& record = state["files"][name];
      const InputFile file(path);
      const auto written = record.value("bytes", std::uint64_t{0});
      const bool same_size = file.size() == written;
      if (same_size && is_unchanged(file, record, state["format"])) continue;
      if (path.extension() == kTensorsExtension) load_tensors(path);  // which names the tensor, if it is one
      AXLSTM_CHECK(same_size, path.string(), ": ", file.size(), " bytes, ", written,
                   " were written; the file is damaged");
      throw Error(path.string() + ": the content does not match its checksum; the file is damaged");
    }
  } catch (const nlohmann::json::exception& failure) {
    throw Error(str((folder / kState).string(), ": damaged (", failure.what(), "); ", kUseAnother));
  }
}

/// Returns load(folder) for the newest checkpoint that load() accepts; load() throws Error for a damaged one.
template <typename Load>
auto newest_of(const fs::path& run_dir, const Load& load) {
  const auto folders = list_checkpoints(run_dir);
  AXLSTM_CHECK(!folders.empty(), run_dir.string(), ": holds neither ", kModel, " nor a run's checkpoints");
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    try {
      return load(*folder);
    } catch (const Error& failure) {
      log::warn(str("passing over a damaged checkpoint: ", failure.what()));
    }
  }
  throw Error(str(run_dir.string(), ": all ", folders.size(),
                  " checkpoints are damaged; move the folder away to start afresh"));
}

}  // namespace

void save_checkpoint(const fs::path& run_dir, const Checkpoint& checkpoint, const Retention& retention) {
  const fs::path root = checkpoints_folder(run_dir);
  const std::string name = folder_name(checkpoint.step);
  const fs::path target = root / name, temporary = root / (kTemporaryPrefix + name);
  std::error_code ignored;
  try {
    fs::create_directories(root);
    fs::remove_all(temporary);
    fs::create_directory(temporary);
    save_tensors(temporary / kModel, {checkpoint.model.begin(), checkpoint.model.end()}, {{"format", "pt"}});
    save_tensors(temporary / kOptimizer, {checkpoint.optimizer.begin(), checkpoint.optimizer.end()});
    if (!checkpoint.ema.empty())
      save_tensors(temporary / kEma, {checkpoint.ema.begin(), checkpoint.ema.end()}, {{"format", "pt"}});
    write_text(temporary / kConfig, checkpoint.config_yaml);
    nlohmann::ordered_json state{{"format", kFormat},
                                 {"step", checkpoint.step},
                                 {"data_fingerprint", checkpoint.data_fingerprint},
                                 {"skipped_steps", checkpoint.skipped_steps},
                                 {"skipped_in_a_row", checkpoint.skipped_in_a_row},
                                 {"files", nlohmann::ordered_json::object()}};
    if (checkpoint.best_step >= 0) state["best"] = {{"step", checkpoint.best_step}, {"score", checkpoint.best_score}};
    for (const char* file_name : {kModel, kOptimizer, kConfig, kEma}) {
      if (!fs::exists(temporary / file_name)) continue;
      const InputFile file(temporary / file_name);
      state["files"][file_name] = {{"bytes", file.size()}, {"xxh3", xxh3_hex(file)}};
    }
    write_text(temporary / kState, state.dump(2) + "\n");
    sync_directory(temporary);
    if (fs::exists(target)) fs::remove_all(target);  // a damaged one of the same step, passed over at the start
    fs::rename(temporary, target);
    sync_directory(root);
  } catch (const fs::filesystem_error& failure) {
    fs::remove_all(temporary, ignored);
    throw Error(str(target.string(), ": the checkpoint cannot be written (", failure.code().message(), ")"));
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
  auto folders = list_checkpoints(run_dir);
  std::erase_if(folders, [&](const fs::path& folder) { return step_of(folder) > checkpoint.step; });  // damaged
  const auto newest = static_cast<std::size_t>(retention.keep_last);
  for (std::size_t n = 0; n + newest < folders.size(); ++n) {
    if (*step_of(folders[n]) == checkpoint.best_step) continue;
    if (retention.keep_every > 0 && *step_of(folders[n]) % retention.keep_every == 0) continue;
    // Under its own name only while it is whole. One that cannot be deleted costs space, not the run.
    const fs::path leaving = root / (kTemporaryPrefix + folders[n].filename().string());
    fs::rename(folders[n], leaving, ignored);
    fs::remove_all(leaving, ignored);
  }
}

void rehearse_checkpoint(const fs::path& run_dir, const Checkpoint& checkpoint) {
  const fs::path root = checkpoints_folder(run_dir);
  const fs::path temporary = root / str(kTemporaryPrefix, "rehearsal"),
                 renamed = root / str(kTemporaryPrefix, "rehearsed");
  const auto size_of = [](const std::map<std::string, torch::Tensor>& tensors) {
    std::uint64_t bytes = 0;
    for (const auto& [name, tensor] : tensors) bytes += tensor.nbytes();
    return bytes;
  };
  std::string reason;
  try {
    fs::create_directories(root);
    fs::remove_all(temporary);
    fs::create_directory(temporary);
    reserve_space(temporary / kModel, size_of(checkpoint.model));
    reserve_space(temporary / kOptimizer, size_of(checkpoint.optimizer));
    if (!checkpoint.ema.empty()) reserve_space(temporary / kEma, size_of(checkpoint.ema));
    write_text(temporary / kConfig, checkpoint.config_yaml);
    sync_directory(temporary);
    fs::rename(temporary, renamed);
    sync_directory(root);
    fs::remove_all(renamed);
    return;
  } catch (const fs::filesystem_error& failure) {
    reason = str(root.string(), ": ", failure.code().message());
  } catch (const Error& failure) {
    reason = failure.what();
  }
  std::error_code ignored;
  for (const fs::path& leftover : {temporary, renamed}) fs::remove_all(leftover, ignored);
  throw Error(str("no checkpoint can be saved, so no training begins: ", reason,
                  "; make room, or choose another train.run_dir"));
}

std::vector<fs::path> list_checkpoints(const fs::path& run_dir) {
  std::vector<fs::path> folders;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(checkpoints_folder(run_dir), missing)) {
    if (entry.is_directory() && step_of(entry.path())) folders.push_back(entry.path());
  }
  // By number: from 10^8 on names have more digits than they are padded to.
  std::sort(folders.begin(), folders.end(),
            [](const fs::path& a, const fs::path& b) { return step_of(a) < step_of(b); });
  return folders;
}

void remove_unfinished_checkpoints(const fs::path& run_dir) {
  std::vector<fs::path> leftovers;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(checkpoints_folder(run_dir), failure)) {
    if (entry.path().filename().string().starts_with(kTemporaryPrefix)) leftovers.push_back(entry.path());
  }
  for (const fs::path& leftover : leftovers) {
    fs::remove_all(leftover, failure);
    if (failure) log::warn(str(leftover.string(), ": cannot be deleted (", failure.message(), ")"));
  }
}

Checkpoint load_checkpoint(const fs::path& folder) {
  try {
    const auto state = read_state(folder);
    verify(folder, state, Purpose::kResume);
    return {state["step"].get<std::int64_t>(),
            load_tensors(folder / kModel),
            load_tensors(folder / kOptimizer),
            read_file(folder / kConfig),
            state.value("data_fingerprint", ""),
            state.value("skipped_steps", std::int64_t{0}),
            state.value("skipped_in_a_row", std::int64_t{0}),
            state["files"].contains(kEma) ? load_tensors(folder / kEma) : std::map<std::string, torch::Tensor>{},
            best_of(state).step,
            best_of(state).score};
  } catch (const nlohmann::json::exception& failure) {
    throw Error(str((folder / kState).string(), ": damaged (", failure.what(), "); ", kUseAnother));
  }
}

std::optional<Checkpoint> load_newest_checkpoint(const fs::path& run_dir) {
  if (list_checkpoints(run_dir).empty()) return std::nullopt;
  return newest_of(run_dir, [](const fs::path& folder) {
    auto checkpoint = load_checkpoint(folder);
    AXLSTM_CHECK(folder.filename() == folder_name(checkpoint.step), (folder / kState).string(), ": claims step ",
                 checkpoint.step);
    return checkpoint;
  });
}

fs::path best_checkpoint(const fs::path& run_dir) {
  const auto [newest, best] = newest_of(run_dir, [](const fs::path& folder) {
    const auto state = read_state(folder);
    verify(folder, state, Purpose::kUse);
    return std::pair(folder, best_of(state));
  });
  if (best.step < 0) return newest;
  const fs::path folder = checkpoints_folder(run_dir) / folder_name(best.step);
  AXLSTM_CHECK(fs::exists(folder), folder.string(), ": the run's best checkpoint is gone; name another one of it");
  return folder;
}

fs::path model_folder(const fs::path& folder) {
  AXLSTM_CHECK(
      !fs::is_regular_file(folder), folder.string(),
      ": is a file, but a checkpoint or a run is a folder; scripts/convert_checkpoint.py makes one of a PyTorch, "
      "safetensors or flax file");
  AXLSTM_CHECK(fs::is_directory(folder), folder.string(), ": no such folder; a checkpoint or a run is needed");
  fs::path found = folder;
  if (!fs::exists(folder / kModel)) {
    found = newest_of(folder, [](const fs::path& checkpoint) {
      verify(checkpoint, read_state(checkpoint), Purpose::kUse);
      return checkpoint;
    });
  } else if (fs::exists(folder / kState)) {
    verify(folder, read_state(folder), Purpose::kUse);
  }
  AXLSTM_CHECK(fs::exists(found / kConfig), found.string(), ": has ", kModel, " but no ", kConfig);
  return found;
}

SavedModel load_model(const fs::path& folder, bool ema) {
  const fs::path found = model_folder(folder);
  AXLSTM_CHECK(!ema || fs::exists(found / kEma), found.string(),
               ": has no averaged weights; the run's train.ema_decay is 0");
  return {load_tensors(found / (ema ? kEma : kModel)), read_file(found / kConfig), found};
}

}  // namespace axlstm::checkpoints
