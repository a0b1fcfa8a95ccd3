// Named tensors in safetensors files, and module weights from and to them.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace axlstm::checkpoints {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// Of a contiguous tensor on the CPU, for as long as it lives.
std::string_view bytes_of(const torch::Tensor& plain);

/// Writes and flushes to disk; tensors may be on any device and of any strides. A checksum of each goes into the
/// metadata. Returns nothing half-written unless it throws, so write to a temporary name.
void save_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                  std::map<std::string, std::string> metadata = {});

/// Every tensor of the file, copied to the CPU. Throws Error naming a tensor that does not match its checksum; files of
/// others have none.
std::map<std::string, torch::Tensor> load_tensors(const std::filesystem::path& path);

/// Parameters, then buffers, under their state-dict names.
NamedTensors state_dict(const torch::nn::Module& module);

/// Copies `tensors` into the module's parameters and buffers, converting the dtype. Throws Error naming `source` and
/// the first tensors that are missing, unexpected or of another shape; names beginning with one of `ignored_prefixes`
/// may be left over.
void load_state_dict(torch::nn::Module& module, const std::map<std::string, torch::Tensor>& tensors,
                     const std::string& source, const std::vector<std::string>& ignored_prefixes = {});

}  // namespace axlstm::checkpoints
