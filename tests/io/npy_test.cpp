#include "axlstm/io/npy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "axlstm/core/error.h"
#include "axlstm/core/files.h"
#include "support/expect_error.h"
#include "support/npy.h"

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
};

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
    const test::NpyArray array = test::read_npy(file());
    EXPECT_EQ(array.shape, shape);
    EXPECT_EQ(array.values, values);
  }
}

TEST_F(NpyTest, KeepsInfinityAndNaN) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  write_npy(file(), std::vector<std::int64_t>{2}, std::vector<float>{kInf, std::nanf("")});
  const test::NpyArray array = test::read_npy(file());
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

TEST_F(NpyTest, ReadsRawFloatsOfTheExactLength) {
  write(std::string("\x00\x00\x80\x3f\x00\x00\x20\xc0", 8));
  EXPECT_EQ(read_raw_floats(file(), 2), (std::vector<float>{1.0F, -2.5F}));
  for (const std::int64_t count : {std::int64_t{1}, std::int64_t{3}, std::int64_t{-2}, std::int64_t{1} << 62}) {
    EXPECT_THROW(read_raw_floats(file(), count), Error);
  }
}

TEST_F(NpyTest, NamesMissingFilesAndFolders) {
  for (const fs::path& path : {file(), fs::path(testing::TempDir())})
    test::expect_error([&] { read_raw_floats(path, 1); }, {path.string()});
}

}  // namespace
}  // namespace axlstm::io
