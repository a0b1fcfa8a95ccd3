#include "axlstm/io/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "axlstm/core/files.h"
#include "axlstm/core/xxh3.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::io {
namespace {

std::string with_length(const std::string& json, std::uint64_t length) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + json;
}

std::string file_of(const std::string& json, std::size_t data_bytes = 0) {
  return with_length(json, json.size()) + std::string(data_bytes, '\x01');
}

void expect_rejected(const std::string& file, std::initializer_list<std::string> parts) {
  test::expect_error([&] { parse_safetensors(file, "weights.safetensors"); }, {"weights.safetensors"});
  test::expect_error([&] { parse_safetensors(file, "weights.safetensors"); }, parts);
}

/// One tensor "w" with the given shape and offsets.
std::string one(const std::string& dtype, const std::string& shape, const std::string& offsets,
                std::size_t data_bytes) {
  return file_of(R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}",
                 data_bytes);
}

// safetensors.numpy.save of safetensors 0.5: an int64 scalar, an empty array, float32 [1, 3], float16 [2], bool [3].
constexpr char kMadeByPython[] =
    "\x48\x01\x00\x00\x00\x00\x00\x00"
    R"({"__metadata__":{"format":"pt"},"count":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
    R"("empty":{"dtype":"F32","shape":[0,3],"data_offsets":[8,8]},"weight":{"dtype":"F32","shape":[1,3],"data_offsets":[8,20]},)"
    R"("half":{"dtype":"F16","shape":[2],"data_offsets":[20,24]},"flags":{"dtype":"BOOL","shape":[3],"data_offsets":[24,27]}}  )"
    "\x07\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\xc0\x3f\x00\x00\x00\xc0\x00\x00\x50\x40"
    "\x00\x38\x00\xbc"
    "\x01\x00\x01";

TEST(ParseSafetensors, ReadsWhatThePythonPackageWrote) {
  const std::string file(kMadeByPython, sizeof kMadeByPython - 1);
  const auto header = parse_safetensors(file, "python");
  EXPECT_EQ(header.metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  ASSERT_EQ(header.tensors.size(), 5u);
  const TensorEntry& weight = header.tensors[2];
  EXPECT_EQ(weight.name, "weight");
  EXPECT_EQ(weight.dtype, "F32");
  EXPECT_EQ(weight.shape, (std::vector<std::int64_t>{1, 3}));
  float values[3];
  std::memcpy(values, file.data() + header.data_offset + weight.begin, sizeof values);
  EXPECT_EQ(values[0], 1.5F);
  EXPECT_EQ(values[1], -2.0F);
  EXPECT_EQ(values[2], 3.25F);
}

TEST(WriteHeader, IsByteForByteThatOfThePythonPackage) {
  const std::string python(kMadeByPython, sizeof kMadeByPython - 1);
  const auto header = parse_safetensors(python, "python");
  EXPECT_EQ(write_safetensors_header(header.tensors, header.metadata), python.substr(0, header.data_offset));
}

TEST(WriteHeader, DataStartOnAMultipleOfEight) {
  for (const std::string name : {"a", "ab", "abc", "abcd", "abcde", "quote\"d", "ünï"}) {
    const std::string header = write_safetensors_header({{name, "U8", {3}, 0, 3}}, {});
    EXPECT_EQ(header.size() % 8, 0u) << name;
    EXPECT_EQ(parse_safetensors(header + "abc", "ours").tensors.at(0).name, name);
  }
}

TEST(WriteHeader, NoTensorsAreAFileToo) {
  EXPECT_TRUE(parse_safetensors(write_safetensors_header({}, {}), "ours").tensors.empty());
}

TEST(SafetensorsFile, GivesEachTensorsBytes) {
  const test::TemporaryFolder folder;
  const auto path = folder.write("x.safetensors", std::string(kMadeByPython, sizeof kMadeByPython - 1));
  const SafetensorsFile file(path);
  std::string flags(3, '?');
  file.read(file.header().tensors[4], flags.data());
  EXPECT_EQ(flags, std::string_view("\x01\x00\x01", 3));
  EXPECT_NO_THROW(file.read(file.header().tensors[1], nullptr));
}

TEST(SafetensorsFile, ATensorThatDoesNotMatchItsChecksumIsNamed) {
  const test::TemporaryFolder folder;
  ASSERT_NE(checksum_key("a"), old_checksum_key("a"));
  const std::vector<TensorEntry> tensors{{"a", "U8", {3}, 0, 3}, {"b", "U8", {2}, 3, 5}};
  const auto write = [&](const std::string& data) {
    return folder.write("x", write_safetensors_header(tensors, {{checksum_key("a"), xxh3_hex("abc")},
                                                                {old_checksum_key("b"), fnv1a64_hex("de")}}) +
                                 data);
  };
  char bytes[3];
  EXPECT_NO_THROW(SafetensorsFile(write("abcde")).read(tensors[1], bytes));
  const SafetensorsFile damaged(write("abcdE"));
  EXPECT_NO_THROW(damaged.read(tensors[0], bytes));
  test::expect_error([&] { damaged.read(tensors[1], bytes); }, {(folder.path() / "x").string(), "'b'", "checksum"});
  const SafetensorsFile other(write("Abcde"));
  EXPECT_NO_THROW(other.read(tensors[1], bytes));
  test::expect_error([&] { other.read(tensors[0], bytes); }, {(folder.path() / "x").string(), "'a'", "checksum"});
}

TEST(SafetensorsFile, ErrorsNameTheFile) {
  const test::TemporaryFolder folder;
  test::expect_error([&] { SafetensorsFile file(folder.write("x", "abc")); },
                     {(folder.path() / "x").string(), "not a safetensors"});
  test::expect_error([&] { SafetensorsFile file(folder.write("empty", "")); }, {"empty"});
  test::expect_error([&] { SafetensorsFile file(folder.path() / "missing"); }, {"missing"});
}

TEST(ParseSafetensors, AHeaderBeyondTheFileIsRejected) {
  expect_rejected(with_length("{}", 3), {"truncated"});
  expect_rejected(with_length("{}", std::uint64_t{1} << 62), {"truncated"});
  expect_rejected(with_length("{}", ~std::uint64_t{0}), {"truncated"});
}

TEST(ParseSafetensors, EveryTruncationIsRejected) {
  const std::string file(kMadeByPython, sizeof kMadeByPython - 1);
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_THROW(parse_safetensors(std::string_view(file).substr(0, size), "cut"), Error) << size;
  }
}

TEST(ParseSafetensors, AClaimOfHugeTensorsIsRejectedBeforeAnythingIsAllocated) {
  expect_rejected(one("F32", "[1152921504606846976]", "[0,4]", 4), {"'w'"});                    // 2^60
  expect_rejected(one("F32", "[1152921504606846976]", "[0,4611686018427387904]", 4), {"'w'"});  // claims them all
  expect_rejected(one("F32", "[4294967296,4294967296]", "[0,4]", 4), {"'w'", "shape"});         // product overflows
  expect_rejected(one("F32", "[4294967296,4294967296]", "[0,0]", 0), {"'w'", "shape"});
}

TEST(ParseSafetensors, ShapesMustFitTheirBytes) {
  expect_rejected(one("F32", "[2]", "[0,4]", 4), {"'w'", "8 bytes", "has 4"});
  expect_rejected(one("F32", "[-1]", "[0,4]", 4), {"'w'", "shape"});
  expect_rejected(one("F32", "[1]", "[4,0]", 4), {"'w'"});
  expect_rejected(one("F32", "[1]", "[0,8]", 4), {"'w'", "truncated"});
  expect_rejected(one("F32", "[1]", "[0]", 4), {"'w'", "data_offsets"});
  expect_rejected(
      one("F32",
          "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
          "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
          "[0,4]", 4),
      {"'w'", "dimensions"});
}

TEST(ParseSafetensors, NumbersThatAreNoSizesAreRejected) {
  for (const char* number :
       {"1.5", "1e300", "-1e300", "\"1\"", "true", "null", "-9223372036854775809", "99999999999999999999"}) {
    expect_rejected(one("F32", str("[", number, "]"), "[0,4]", 4), {"'w'"});
    expect_rejected(one("F32", "[1]", str("[0,", number, "]"), 4), {"'w'"});
  }
  expect_rejected(one("F32", "[1]", "[-4,0]", 4), {"'w'"});
}

TEST(ParseSafetensors, AnUnknownDtypeNamesFileAndTensor) {
  expect_rejected(one("F8_E5M2", "[4]", "[0,4]", 4), {"'w'", "F8_E5M2"});
}

TEST(ParseSafetensors, TensorsMustCoverTheDataOnce) {
  const auto two = [](int first_end, int second_begin, int second_end) {
    return str(R"({"a":{"dtype":"U8","shape":[)", first_end, R"(],"data_offsets":[0,)", first_end,
               R"(]},"b":{"dtype":"U8","shape":[)", second_end - second_begin, R"(],"data_offsets":[)", second_begin,
               ",", second_end, "]}}");
  };
  EXPECT_EQ(parse_safetensors(file_of(two(4, 4, 8), 8), "good").tensors.size(), 2u);
  expect_rejected(file_of(two(4, 3, 8), 8), {"'b'", "byte 3", "expected 4"});  // overlap
  expect_rejected(file_of(two(4, 5, 8), 8), {"'b'", "byte 5", "expected 4"});  // gap
  expect_rejected(file_of(two(4, 4, 8), 9), {"1 bytes belong to no tensor"});
}

TEST(ParseSafetensors, ShapesDeepInEachOtherDoNotExhaustTheStack) {
  constexpr std::size_t kLevels = 1'000'000;
  expect_rejected(one("F32", std::string(kLevels, '[') + std::string(kLevels, ']'), "[0,0]", 0), {"100 levels"});
}

TEST(ParseSafetensors, BadJsonIsRejected) {
  for (const char* json : {"", " ", "{", "[]", "12", "\"x\"", "{\"w\":1}", "{\"w\":{}}",
                           "{\"w\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,0]}}", "{\"__metadata__\":[]}",
                           "{\"__metadata__\":{\"a\":1}}", "{\"a\xff\":{}}"}) {
    EXPECT_THROW(parse_safetensors(file_of(json), "bad"), Error) << json;
  }
  EXPECT_THROW(parse_safetensors(file_of(std::string(1'000'000, '[')), "deep"), Error);
}

}  // namespace
}  // namespace axlstm::io
