#include "axlstm/checkpoints/tensors.h"

#include <torch/torch.h>

#include <array>
#include <string_view>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "axlstm/core/xxh3.h"
#include "axlstm/io/safetensors.h"

namespace axlstm::checkpoints {
namespace {

constexpr std::array<std::pair<const char*, torch::ScalarType>, 10> kDtypes{{{"F32", torch::kFloat32},
                                                                             {"F64", torch::kFloat64},
                                                                             {"F16", torch::kFloat16},
                                                                             {"BF16", torch::kBFloat16},
                                                                             {"I64", torch::kInt64},
                                                                             {"I32", torch::kInt32},
                                                                             {"I16", torch::kInt16},
                                                                             {"I8", torch::kInt8},
                                                                             {"U8", torch::kUInt8},
                                                                             {"BOOL", torch::kBool}}};

torch::ScalarType to_torch(const std::string& dtype) {
  for (const auto& [name, type] : kDtypes) {
    if (dtype == name) return type;
  }
  throw Error(axlstm::str("safetensors: unknown dtype '", dtype, "'"));
}

std::string to_safetensors(torch::ScalarType type) {
  for (const auto& [name, candidate] : kDtypes) {
    if (type == candidate) return name;
  }
  throw Error(axlstm::str("safetensors: dtype ", type, " cannot be stored"));
}

}  // namespace

std::string_view bytes_of(const torch::Tensor& plain) {
  return {static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()};
}

void save_tensors(const std::filesystem::path& path, const NamedTensors& tensors,
                  std::map<std::string, std::string> metadata) {
  std::vector<io::TensorEntry> entries;
  NamedTensors plain;
  std::size_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    plain.emplace_back(name, tensor.detach().to(torch::kCPU).contiguous());
    const std::size_t bytes = tensor.nbytes();
    entries.push_back({name, to_safetensors(tensor.scalar_type()), tensor.sizes().vec(), at, at + bytes});
    metadata[io::checksum_key(name)] = xxh3_hex(bytes_of(plain.back().second));
    at += bytes;
  }
  SyncedWriter writer(path);
  writer.append(io::write_safetensors_header(entries, metadata));
  for (const auto& [name, tensor] : plain) writer.append(bytes_of(tensor));
  writer.finish();
}

std::map<std::string, torch::Tensor> load_tensors(const std::filesystem::path& path) {
  const io::SafetensorsFile file(path);
  std::map<std::string, torch::Tensor> tensors;
  for (const io::TensorEntry& entry : file.header().tensors) {
    auto tensor = torch::empty(entry.shape, to_torch(entry.dtype));
    file.read(entry, tensor.data_ptr());
    tensors.emplace(entry.name, std::move(tensor));
  }
  return tensors;
}

NamedTensors state_dict(const torch::nn::Module& module) {
  NamedTensors tensors;
  for (const auto& item : module.named_parameters()) tensors.emplace_back(item.key(), item.value());
  for (const auto& item : module.named_buffers()) tensors.emplace_back(item.key(), item.value());
  return tensors;
}

void load_state_dict(torch::nn::Module& module, const std::map<std::string, torch::Tensor>& tensors,
                     const std::string& source, const std::vector<std::string>& ignored_prefixes) {
  constexpr std::size_t kShown = 3;
  std::vector<std::string> differences;
  const auto targets = state_dict(module);
  std::map<std::string, torch::Tensor> left = tensors;
  for (const auto& [name, target] : targets) {
    const auto found = tensors.find(name);
    if (found == tensors.end()) {
      differences.push_back(axlstm::str(name, " ", target.sizes(), " is missing from the file"));
    } else if (found->second.sizes() != target.sizes()) {
      differences.push_back(
          axlstm::str(name, " is ", found->second.sizes(), " in the file, ", target.sizes(), " in the model"));
    }
    left.erase(name);
  }
  for (const auto& [name, tensor] : left) {
    const bool ignored = std::any_of(ignored_prefixes.begin(), ignored_prefixes.end(),
                                     [&name = name](const std::string& prefix) { return name.starts_with(prefix); });
    if (!ignored)
      differences.push_back(axlstm::str(name, " ", tensor.sizes(), " is in the file, the model has no such tensor"));
  }
  if (!differences.empty()) {
    std::string message = source + ": these weights belong to another architecture";
    for (std::size_t i = 0; i < std::min(kShown, differences.size()); ++i)
      message += (i ? "; " : ": ") + differences[i];
    if (differences.size() > kShown) message += axlstm::str("; and ", differences.size() - kShown, " more");
    throw Error(message);
  }
  const torch::NoGradGuard no_grad;
  for (auto [name, target] : targets) target.copy_(tensors.at(name));
}

}  // namespace axlstm::checkpoints
