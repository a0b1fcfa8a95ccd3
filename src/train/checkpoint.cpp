#include "axlstm/train/checkpoint.h"

#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <iomanip>
#include <nlohmann/json.hpp>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/log.h"

namespace axlstm::train {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;
constexpr const char* kModel = "model.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kEma = "ema.safetensors";
constexpr const char* kConfig = "config.yaml";
constexpr const char* kState = "state.json";
constexpr const char* kFolderPrefix = "step-";
constexpr const char* kTemporaryPrefix = ".writing-";

std::string folder_name(std::int64_t step) {
  std::ostringstream name;
  name << kFolderPrefix << std::setw(8) << std::setfill('0') << step;
  return name.str();
}

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

nlohmann::json read_state(const fs::path& folder) {
  const auto state = nlohmann::json::parse(read_file(folder / kState), nullptr, /*allow_exceptions=*/false);
  const bool whole = state.is_object() && state.value("format", 0) == kFormat && state.contains("step") &&
                     state["step"].is_number_integer() && state.contains("files") && state["files"].is_object();
  AXLSTM_CHECK(whole, (folder / kState).string(), ": not a checkpoint state of format ", kFormat);
  return state;
}

/// Verifies size and hash of every file that state.json lists.
void verify(const fs::path& folder, const nlohmann::json& state) {
  for (const char* name : {kModel, kOptimizer, kConfig, kEma}) {
    const fs::path path = folder / name;
    const bool listed = state["files"].contains(name);
    if (name == kEma && !listed && !fs::exists(path)) continue;
    AXLSTM_CHECK(listed, (folder / kState).string(), ": does not list ", name);
    const auto& record = state["files"][name];
    const MappedFile file(path);
    AXLSTM_CHECK(file.bytes().size() == record.value("bytes", std::size_t{0}), path.string(), ": ", file.bytes().size(),
                 " bytes, ", record.value("bytes", std::size_t{0}), " were written; the file is damaged");
    AXLSTM_CHECK(fnv1a64_hex(file.bytes()) == record.value("fnv1a64", ""), path.string(),
                 ": the content does not match its checksum; the file is damaged");
  }
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
    io::save_tensors(temporary / kModel, {checkpoint.model.begin(), checkpoint.model.end()}, {{"format", "pt"}});
    io::save_tensors(temporary / kOptimizer, {checkpoint.optimizer.begin(), checkpoint.optimizer.end()});
    if (!checkpoint.ema.empty())
      io::save_tensors(temporary / kEma, {checkpoint.ema.begin(), checkpoint.ema.end()}, {{"format", "pt"}});
    write_text(temporary / kConfig, checkpoint.config_yaml);
    nlohmann::ordered_json state{{"format", kFormat},
                                 {"step", checkpoint.step},
                                 {"data_fingerprint", checkpoint.data_fingerprint},
                                 {"skipped_steps", checkpoint.skipped_steps},
                                 {"skipped_in_a_row", checkpoint.skipped_in_a_row},
                                 {"files", nlohmann::ordered_json::object()}};
    for (const char* file_name : {kModel, kOptimizer, kConfig, kEma}) {
      if (!fs::exists(temporary / file_name)) continue;
      const MappedFile file(temporary / file_name);
      state["files"][file_name] = {{"bytes", file.bytes().size()}, {"fnv1a64", fnv1a64_hex(file.bytes())}};
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
    if (retention.keep_every > 0 && *step_of(folders[n]) % retention.keep_every == 0) continue;
    fs::remove_all(folders[n], ignored);  // one that cannot be deleted costs space, not the run
  }
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
    verify(folder, state);
    return {state["step"].get<std::int64_t>(),
            io::load_tensors(folder / kModel),
            io::load_tensors(folder / kOptimizer),
            read_file(folder / kConfig),
            state.value("data_fingerprint", ""),
            state.value("skipped_steps", std::int64_t{0}),
            state.value("skipped_in_a_row", std::int64_t{0}),
            state["files"].contains(kEma) ? io::load_tensors(folder / kEma) : std::map<std::string, torch::Tensor>{}};
  } catch (const nlohmann::json::exception& failure) {
    throw Error(str((folder / kState).string(), ": damaged (", failure.what(), ")"));
  }
}

std::optional<Checkpoint> load_newest_checkpoint(const fs::path& run_dir) {
  auto folders = list_checkpoints(run_dir);
  if (folders.empty()) return std::nullopt;
  for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
    try {
      auto checkpoint = load_checkpoint(*folder);
      AXLSTM_CHECK(folder->filename() == folder_name(checkpoint.step), (*folder / kState).string(), ": claims step ",
                   checkpoint.step);
      return checkpoint;
    } catch (const Error& failure) {
      log::warn(str("passing over a damaged checkpoint: ", failure.what()));
    }
  }
  throw Error(str(run_dir.string(), ": all ", folders.size(),
                  " checkpoints are damaged; move the folder away to start afresh"));
}

SavedModel load_model(const fs::path& folder, bool ema) {
  AXLSTM_CHECK(fs::is_directory(folder), folder.string(), ": no such folder; a checkpoint or a run is needed");
  const char* weights = ema ? kEma : kModel;
  const auto check_ema = [&](bool has_it, const fs::path& where) {
    AXLSTM_CHECK(!ema || has_it, where.string(), ": has no averaged weights; the run's train.ema_decay is 0");
  };
  if (fs::exists(folder / kModel)) {
    check_ema(fs::exists(folder / kEma), folder);
    if (fs::exists(folder / kState)) verify(folder, read_state(folder));
    AXLSTM_CHECK(fs::exists(folder / kConfig), folder.string(), ": has ", kModel, " but no ", kConfig);
    return {io::load_tensors(folder / weights), read_file(folder / kConfig), folder};
  }
  auto newest = load_newest_checkpoint(folder);
  AXLSTM_CHECK(newest, folder.string(), ": holds neither ", kModel, " nor a run's checkpoints");
  check_ema(!newest->ema.empty(), folder);
  return {std::move(ema ? newest->ema : newest->model), std::move(newest->config_yaml),
          checkpoints_folder(folder) / folder_name(newest->step)};
}

}  // namespace axlstm::train
