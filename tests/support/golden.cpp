#include "golden.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "axlstm/checkpoints/tensors.h"
#include "axlstm/io/safetensors.h"

namespace axlstm::test {
namespace {

struct Row {
  std::string file, tensor;
  double error, limit;
  int tensors;
};

/// Prints the worst error of each (file, kind of tensor) when the tests are over.
class Table : public testing::Environment {
 public:
  void TearDown() override {
    if (rows_.empty()) return;
    std::printf("\n%-34s %-26s %8s %12s %12s\n", "golden file", "tensors", "count", "worst error", "limit");
    for (const Row& row : rows_) {
      std::printf("%-34s %-26s %8d %12.2e %12.0e\n", row.file.c_str(), row.tensor.c_str(), row.tensors, row.error,
                  row.limit);
    }
    std::printf("\n");
  }

  void add(const std::string& file, const std::string& tensor, double error, double limit) {
    const auto row =
        std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return r.file == file && r.tensor == tensor; });
    if (row == rows_.end()) {
      rows_.push_back({file, tensor, error, limit, 1});
    } else {
      row->error = std::max(row->error, error);
      ++row->tensors;
    }
  }

 private:
  std::vector<Row> rows_;
};

Table& table() {
  static auto* instance = static_cast<Table*>(testing::AddGlobalTestEnvironment(new Table));  // owned by GoogleTest
  return *instance;
}

[[maybe_unused]] const Table& registered_before_main = table();

}  // namespace

Tensors Golden::with_prefix(const std::string& prefix) const {
  Tensors selected;
  for (const auto& [name, tensor] : tensors) {
    if (name.rfind(prefix, 0) == 0) selected.emplace(name.substr(prefix.size()), tensor);
  }
  return selected;
}

Golden load_golden(const std::string& name) {
  const auto path = test_data() / "golden" / (name + ".safetensors");
  const io::SafetensorsFile file(path);
  return {checkpoints::load_tensors(path), nlohmann::json::parse(file.header().metadata.at("config"))};
}

double absolute_error(const torch::Tensor& actual, const torch::Tensor& expected) {
  if (actual.sizes() != expected.sizes() || !actual.isfinite().all().item<bool>())
    return std::numeric_limits<double>::infinity();
  return (actual.to(torch::kFloat64).cpu() - expected.to(torch::kFloat64).cpu()).abs().max().item<double>();
}

double relative_error(const torch::Tensor& actual, const torch::Tensor& expected) {
  const double scale = expected.to(torch::kFloat64).abs().max().item<double>();
  return absolute_error(actual, expected) / std::max(scale, 1e-300);
}

void expect_golden(const std::string& file, const std::string& tensor, double error, double limit) {
  table().add(file, tensor, error, limit);
  EXPECT_LE(error, limit) << file << ": " << tensor;
}

std::filesystem::path test_data() { return AXLSTM_TEST_DATA; }

}  // namespace axlstm::test
