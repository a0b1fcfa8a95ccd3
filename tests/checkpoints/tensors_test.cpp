#include "axlstm/checkpoints/tensors.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "axlstm/core/files.h"
#include "axlstm/io/safetensors.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::checkpoints {
namespace {

/// Two layers, and a buffer.
struct NetImpl : torch::nn::Module {
  NetImpl() {
    register_module("first", torch::nn::Linear(3, 4));
    register_module("second", torch::nn::Linear(4, 2));
    register_buffer("positions", torch::arange(5, torch::kFloat32));
  }
};

std::map<std::string, torch::Tensor> weights_of(const torch::nn::Module& module) {
  std::map<std::string, torch::Tensor> tensors;
  for (const auto& [name, tensor] : state_dict(module)) tensors.emplace(name, tensor.detach().clone());
  return tensors;
}

TEST(SaveTensors, EveryDtypeAndShapeReadsBackBitForBit) {
  const test::TemporaryFolder folder;
  NamedTensors tensors;
  const std::vector<std::pair<const char*, torch::ScalarType>> dtypes{
      {"f32", torch::kFloat32}, {"f64", torch::kFloat64}, {"f16", torch::kFloat16}, {"bf16", torch::kBFloat16},
      {"i64", torch::kInt64},   {"i32", torch::kInt32},   {"i16", torch::kInt16},   {"i8", torch::kInt8},
      {"u8", torch::kUInt8},    {"bool", torch::kBool}};
  for (const auto& [name, dtype] : dtypes) tensors.emplace_back(name, (torch::rand({2, 3}) * 100).to(dtype));
  tensors.emplace_back("scalar", torch::tensor(2.5));
  tensors.emplace_back("empty", torch::empty({0, 3}));
  tensors.emplace_back("special", torch::tensor({std::nan(""), 1.0 / 0.0, -0.0}, torch::kFloat32));
  save_tensors(folder.path() / "x", tensors, {{"format", "pt"}});
  const auto loaded = load_tensors(folder.path() / "x");
  ASSERT_EQ(loaded.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    const auto& again = loaded.at(name);
    EXPECT_EQ(again.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_EQ(again.sizes(), tensor.sizes()) << name;
    EXPECT_EQ(std::string_view(static_cast<const char*>(again.data_ptr()), again.nbytes()),
              std::string_view(static_cast<const char*>(tensor.data_ptr()), tensor.nbytes()))
        << name;
  }
  EXPECT_EQ(io::SafetensorsFile(folder.path() / "x").header().metadata.at("format"), "pt");
}

TEST(SaveTensors, StridesDoNotMatter) {
  const test::TemporaryFolder folder;
  const auto matrix = torch::arange(6).view({2, 3});
  save_tensors(folder.path() / "x", {{"t", matrix.t()}, {"wide", torch::ones({1}).expand({4})}});
  const auto loaded = load_tensors(folder.path() / "x");
  EXPECT_TRUE(loaded.at("t").equal(matrix.t()));
  EXPECT_TRUE(loaded.at("wide").equal(torch::ones({4})));
}

TEST(SaveTensors, WhatCannotBeStoredIsAnError) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(save_tensors(folder.path() / "x", {{"c", torch::zeros({1}, torch::kComplexFloat)}}), Error);
  test::expect_error(
      [&] {
        save_tensors(folder.path() / "no" / "x", {{"a", torch::zeros({1})}});
      },
      {(folder.path() / "no").string()});
}

TEST(LoadTensors, ATruncatedFileIsNamed) {
  const test::TemporaryFolder folder;
  save_tensors(folder.path() / "x", {{"weight", torch::ones({100})}});
  const std::string bytes = read_file(folder.path() / "x");
  const auto cut = folder.write("cut", bytes.substr(0, bytes.size() - 1));
  test::expect_error([&] { load_tensors(cut); }, {cut.string(), "weight"});
}

TEST(StateDict, HoldsParametersAndBuffersUnderTheirNames) {
  std::vector<std::string> names;
  for (const auto& entry : state_dict(NetImpl())) names.push_back(entry.first);
  EXPECT_EQ(names,
            (std::vector<std::string>{"first.weight", "first.bias", "second.weight", "second.bias", "positions"}));
}

TEST(LoadStateDict, CopiesAndConverts) {
  NetImpl source, target;
  auto tensors = weights_of(source);
  for (auto& [name, tensor] : tensors) tensor = tensor.to(torch::kFloat64);
  tensors["positions"] += 1;
  load_state_dict(target, tensors, "x");
  EXPECT_TRUE(target.named_parameters()["first.weight"].equal(source.named_parameters()["first.weight"]));
  EXPECT_TRUE(target.named_buffers()["positions"].equal(torch::arange(1, 6, torch::kFloat32)));
  EXPECT_EQ(target.named_parameters()["first.weight"].scalar_type(), torch::kFloat32);
  EXPECT_TRUE(target.named_parameters()["first.weight"].requires_grad());
}

TEST(LoadStateDict, ErrorsNameSourceTensorAndShapesAndChangeNothing) {
  NetImpl net;
  const auto before = weights_of(net);
  auto tensors = before;
  for (auto& [name, tensor] : tensors) tensor = tensor + 1;
  tensors["second.weight"] = torch::zeros({2, 5});
  test::expect_error(
      [&] { load_state_dict(net, tensors, "w.safetensors"); },
      {"w.safetensors", "another architecture", "second.weight is [2, 5] in the file, [2, 4] in the model"});
  EXPECT_TRUE(net.named_parameters()["first.weight"].equal(before.at("first.weight")));
}

TEST(LoadStateDict, MissingAndUnknownTensorsAreNamedTheFirstThreeOfThem) {
  NetImpl net;
  auto tensors = weights_of(net);
  tensors.erase("first.bias");
  tensors["blocks.0.weight"] = torch::zeros({7});
  test::expect_error([&] { load_state_dict(net, tensors, "w"); },
                     {"first.bias [4] is missing", "blocks.0.weight [7] is in the file, the model has no such tensor"});
  for (int block = 1; block < 5; ++block) tensors["blocks." + std::to_string(block) + ".weight"] = torch::zeros({7});
  test::expect_error([&] { load_state_dict(net, tensors, "w"); }, {"blocks.1.weight", "and 3 more"});
}

TEST(LoadStateDict, AnIgnoredPrefixMayBeLeftOver) {
  NetImpl net;
  auto tensors = weights_of(net);
  tensors["pred.0.weight"] = torch::zeros({7});
  EXPECT_THROW(load_state_dict(net, tensors, "w"), Error);
  EXPECT_NO_THROW(load_state_dict(net, tensors, "w", {"pred."}));
  tensors.erase("first.bias");
  EXPECT_THROW(load_state_dict(net, tensors, "w", {"pred."}), Error);
}

}  // namespace
}  // namespace axlstm::checkpoints
