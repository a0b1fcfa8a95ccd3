#include "axlstm/io/npy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"

namespace axlstm::io {
namespace {

namespace fs = std::filesystem;

class NpyTest : public testing::Test {
 protected:
  fs::path file() const {
    return fs::path(testing::TempDir()) /
           (std::string("npy_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  }

  void TearDown() override { fs::remove(file()); }

  void write(const std::string& bytes) const { write_file_atomic(file(), bytes); }

  /// An .npy file of format 1.0 with any dictionary.
  void write_with_header(const std::string& dictionary, const std::string& data = std::string(8, '\0')) const {
    write(std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(dictionary.size() & 0xff) +
          static_cast<char>(dictionary.size() >> 8) + dictionary + data);
  }

  void expect_error(const std::string& part) const {
    try {
      read_npy(file());
      ADD_FAILURE() << "no error; expected: " << part;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(file().string()), std::string::npos) << error.what();
    }
  }
};

constexpr const char* kPair = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";

// numpy.save(file, numpy.array([[1, -2.5, 3e-3]], dtype='<f4')) with NumPy 2.4
TEST_F(NpyTest, WritesTheBytesOfNumpy) {
  write_npy(file(), std::vector<std::int64_t>{1, 3}, std::vector<float>{1.0F, -2.5F, 3e-3F});
  std::string expected("\x93NUMPY\x01\x00\x76\x00", 10);
  expected += "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
  expected.append(127 - expected.size(), ' ');
  expected += '\n';
  expected += std::string("\x00\x00\x80\x3f\x00\x00\x20\xc0\xa6\x9b\x44\x3b", 12);
  EXPECT_EQ(read_file(file()), expected);
}

TEST_F(NpyTest, ReadsBackWhatItWrote) {
  for (const std::vector<std::int64_t>& shape :
       {std::vector<std::int64_t>{}, {1}, {7}, {2, 3}, {0, 5}, {2, 1, 3}, std::vector<std::int64_t>(32, 1)}) {
    std::size_t count = 1;
    for (const std::int64_t size : shape) count *= static_cast<std::size_t>(size);
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = 0.1F * static_cast<float>(i);
    write_npy(file(), shape, values);
    EXPECT_EQ(fs::file_size(file()) % 64, count * 4 % 64);
    const NpyArray array = read_npy(file());
    EXPECT_EQ(array.shape, shape);
    EXPECT_EQ(array.values, values);
  }
}

TEST_F(NpyTest, KeepsInfinityAndNaN) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  write_npy(file(), std::vector<std::int64_t>{2}, std::vector<float>{kInf, std::nanf("")});
  const NpyArray array = read_npy(file());
  EXPECT_EQ(array.values[0], kInf);
  EXPECT_TRUE(std::isnan(array.values[1]));
}

TEST_F(NpyTest, RefusesAShapeThatDoesNotFitTheValues) {
  const std::vector<float> values(5);
  EXPECT_THROW(write_npy(file(), std::vector<std::int64_t>{2, 3}, values), Error);
  EXPECT_THROW(write_npy(file(), std::vector<std::int64_t>{-1}, values), Error);
  EXPECT_THROW(write_npy(file(), std::vector<std::int64_t>{1LL << 40, 1LL << 40}, values), Error);
  EXPECT_THROW(write_npy(file(), std::vector<std::int64_t>(33, 1), std::vector<float>(1)), Error);
}

TEST_F(NpyTest, ReadsKeysInAnyOrderAndSpacing) {
  write_with_header("{ 'shape':(2 ,) , 'fortran_order' :False,'descr':'<f4'}");
  EXPECT_EQ(read_npy(file()).shape, std::vector<std::int64_t>{2});
}

TEST_F(NpyTest, RefusesHugeShapesBeforeAllocating) {
  write_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }\n");  // 2^60
  expect_error("the shape asks for 4611686018427387904 bytes");
  write_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }\n");  // 2^62
  expect_error("more than 2^63");
  write_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }\n");
  expect_error("too large");
}

TEST_F(NpyTest, RefusesOtherKindsOfArrays) {
  write_with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n");
  expect_error("'<f8'");
  write_with_header("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }\n");
  expect_error("'>f4'");
  write_with_header("{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }\n");
  expect_error("Fortran order");
  std::string bytes("\x93NUMPY\x02\x00", 8);
  write(bytes + std::string(20, ' '));
  expect_error("format 2.0");
}

TEST_F(NpyTest, RefusesDamagedHeaders) {
  write("RIFF and something else");
  expect_error("not an .npy file");
  write("");
  expect_error("not an .npy file");
  write(std::string("\x93NUMPY\x01\x00\xff\x00{", 11));
  expect_error("ends inside the .npy header");
  for (const char* header :
       {"", "{", "{'descr': '<f4'", "{'descr': '<f4'}", "{'descr': <f4}", "{'descr': '<f4", "{'descr' '<f4'}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,", "{'descr': '<f4', 'fortran_order': False, 'shape': 2}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} more",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'extra': '1'}"}) {
    write_with_header(header);
    EXPECT_THROW(read_npy(file()), Error) << header;
  }
}

TEST_F(NpyTest, RefusesFilesOfTheWrongLength) {
  write_with_header(kPair, std::string(7, '\0'));
  expect_error("8 bytes of values, the file has 7");
  write_with_header(kPair, std::string(9, '\0'));
  expect_error("8 bytes of values, the file has 9");
}

TEST_F(NpyTest, ReadsRawFloatsOfTheExactLength) {
  write(std::string("\x00\x00\x80\x3f\x00\x00\x20\xc0", 8));
  EXPECT_EQ(read_raw_floats(file(), 2), (std::vector<float>{1.0F, -2.5F}));
  for (const std::int64_t count : {std::int64_t{1}, std::int64_t{3}, std::int64_t{-2}, std::int64_t{1} << 62}) {
    EXPECT_THROW(read_raw_floats(file(), count), Error);
  }
}

TEST_F(NpyTest, NamesMissingFilesAndFolders) {
  expect_error("cannot be opened");
  EXPECT_THROW(read_npy(testing::TempDir()), Error);
  EXPECT_THROW(read_raw_floats(file(), 1), Error);
}

}  // namespace
}  // namespace axlstm::io
