#include "axlstm/hear/pickle.h"

#include <gtest/gtest.h>

#include <limits>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "support/expect_error.h"

namespace axlstm::hear {
namespace {

using namespace std::string_literals;

std::string from_hex(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

const LabelLists kRows{{"dog"}, {}, {"a", "b", -1, 300, 70000, 1LL << 40, -(1LL << 40)}, {"dog", 0}};

// python3 -c 'import pickle
// print(pickle.dumps([["dog"], [], ["a", "b", -1, 300, 70000, 2**40, -2**40], ["dog", 0]], protocol=P).hex())'
constexpr const char* kProtocol2 =
    "80025d7100285d71015803000000646f677102615d71035d710428580100000061710558010000006271064affffffff4d2c"
    "014a701101008a060000000000018a060000000000ff655d71072868024b0065652e";
constexpr const char* kProtocol4 =
    "80049541000000000000005d94285d948c03646f6794615d945d94288c0161948c0162944affffffff4d2c014a701101008a"
    "060000000000018a060000000000ff655d942868024b0065652e";

void expect_error(const std::string& bytes, const std::string& part) {
  test::expect_error([&] { parse_label_pickle(bytes, "labels.pkl"); }, {"labels.pkl: ", part});
}

TEST(PickleTest, ReadsProtocols2To5) {
  for (std::string bytes : {from_hex(kProtocol2), from_hex(kProtocol4)}) {
    EXPECT_EQ(parse_label_pickle(bytes, "labels"), kRows);
    ++bytes[1];  // 3 differs from 2, and 5 from 4, in nothing else here
    EXPECT_EQ(parse_label_pickle(bytes, "labels"), kRows);
  }
}

TEST(PickleTest, ReadsSeveralBatchesOfRows) {
  // Python writes at most 1000 items after one mark.
  std::string bytes = "\x80\x02]q\0"s;
  for (int batch = 0; batch < 3; ++batch) {
    bytes += '(';
    for (int i = 0; i < 1000; ++i) bytes += "]K\x07\x61"s;
    bytes += 'e';
  }
  const LabelLists rows = parse_label_pickle(bytes + "]K\x08\x61\x61."s, "labels");
  ASSERT_EQ(rows.size(), 3001U);
  EXPECT_EQ(rows[2999], std::vector<Label>{7});
  EXPECT_EQ(rows[3000], std::vector<Label>{8});
}

TEST(PickleTest, ReadsWhatTheOfficialToolsWrote) {
  const std::filesystem::path golden = std::filesystem::path(AXLSTM_TEST_DATA) / "golden" / "hear";
  const LabelLists numbers = read_label_pickle(golden / "toyfold-v1-full" / "fold00.target-labels.pkl");
  ASSERT_EQ(numbers.size(), 125U);
  EXPECT_EQ(numbers[0], std::vector<Label>{44});
  const LabelLists words = read_label_pickle(golden / "toyml-v1-full" / "train.target-labels.pkl");
  ASSERT_EQ(words.size(), 200U);
  for (const auto& row : words) {
    for (const Label& label : row) EXPECT_TRUE(label_text(label).starts_with("tag_"));
  }
}

// python3 -c 'import pickle; print(pickle.loads(bytes.fromhex("…")))' prints the rows for these bytes.
TEST(PickleTest, WritesBytesThatPythonReads) {
  const std::string bytes = label_pickle({{"dog"}, {}, {60, -1, 1LL << 40}});
  EXPECT_EQ(bytes, from_hex("80025d285d285803000000646f67655d28655d284b3c4affffffff8a08000000000001000065652e"));
}

TEST(PickleTest, ReadsBackWhatItWrote) {
  const LabelLists extremes{{std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()},
                            {255, 256, -128, 65535, 65536, 2147483647, 2147483648, -2147483648LL, -2147483649LL},
                            {"", std::string(70000, 'x'), "g\xc3\xb6ng"}};
  for (const LabelLists& rows : {kRows, extremes, LabelLists{}, LabelLists{{}}}) {
    EXPECT_EQ(parse_label_pickle(label_pickle(rows), "labels"), rows);
  }
}

TEST(PickleTest, RefusesOpcodesThatCouldRunCode) {
  // pickle.dumps(os.system) in protocol 2 and a call: GLOBAL, then REDUCE.
  expect_error(
      "\x80\x02"
      "cposix\nsystem\nX\x02\0\0\0ls\x85R."s,
      "at byte 2, opcode 0x63: an opcode");
  for (const char opcode : {'R', 'c', 'i', 'o', 'b', 'd', '}', 't', '0', '2', 'N', 'G', '\x81', '\x93', '\x8d'}) {
    expect_error("\x80\x02]"s + opcode, "at byte 3");
  }
}

TEST(PickleTest, RefusesOtherStructures) {
  expect_error("\x80\x02K\x01."s, "the result is not a list");
  expect_error("\x80\x02]]."s, "the result is not a list");
  expect_error("\x80\x02."s, "the result is not a list");
  expect_error(
      "\x80\x02]K\x01"
      "a."s,
      "a row is not a list");
  expect_error("\x80\x02]]]aa."s, "neither a string nor an integer");
  expect_error(
      "\x80\x02K\x01K\x01"
      "a."s,
      "no list");
  expect_error("\x80\x02](a."s, "a row is not a list");
  expect_error("\x80\x02]a."s, "too few values");
  expect_error("\x80\x02]e."s, "no mark");
  expect_error("\x80\x02(e."s, "too few values");
  expect_error("\x80\x02](q\0."s, "nothing to store");
  expect_error("\x80\x02q\0."s, "nothing to store");
  expect_error("\x80\x02]h\x05."s, "memo entry 5 was never stored");
  expect_error("\x80\x02]]q\1ah\1a."s, "is no string");
  expect_error("\x80\x02].more"s, "4 bytes follow");
}

TEST(PickleTest, RefusesTruncatedAndHugeFields) {
  expect_error("", "does not begin with PROTO");
  expect_error("[[1]]", "does not begin with PROTO");
  expect_error("\x80\x01]."s, "protocol 1");
  expect_error("\x80\x06]."s, "protocol 6");
  expect_error("\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f]."s, "frame");
  expect_error("\x80\x02]]X\xff\xff\xff\xffhello"s, "ends too early");
  expect_error(
      "\x80\x02]]\x8a\x09\1\1\1\1\1\1\1\1\1"
      "aa."s,
      "beyond 64 bits");
  const std::string whole = from_hex(kProtocol4);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_THROW(parse_label_pickle(std::string_view(whole).substr(0, length), "labels"), Error) << length;
  }
}

TEST(PickleTest, RefusesSmallFilesThatUnfoldToHugeLabels) {
  std::string bytes = "\x80\x02](]X\x00\x00\x01\x00"s + std::string(65536, 'x') +
                      "q\1"
                      "a](";
  for (int i = 0; i < 10000; ++i) bytes += "h\1"s;
  expect_error(bytes + "ee.", "far longer than the file");
}

}  // namespace
}  // namespace axlstm::hear
