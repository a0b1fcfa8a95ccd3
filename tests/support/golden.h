// Golden tensors (tests/golden/README.md) and the error measure that they are held to.
#pragma once

#include <gtest/gtest.h>
#include <torch/types.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace axlstm::test {

using Tensors = std::map<std::string, torch::Tensor>;

struct Golden {
  Tensors tensors;
  nlohmann::json config;

  const torch::Tensor& operator[](const std::string& name) const { return tensors.at(name); }

  /// The tensors whose names begin with `prefix`, without it.
  Tensors with_prefix(const std::string& prefix) const;
};

Golden load_golden(const std::string& name);

/// max|a − b| / max|b|; infinite where shapes differ or a value is not finite.
double relative_error(const torch::Tensor& actual, const torch::Tensor& expected);

/// max|a − b|
double absolute_error(const torch::Tensor& actual, const torch::Tensor& expected);

/// Expects `error` ≤ `limit` and adds a row to the table that is printed when the program ends.
void expect_golden(const std::string& file, const std::string& tensor, double error, double limit);

/// tests/
std::filesystem::path test_data();

}  // namespace axlstm::test
