#include "axlstm/data/shards/shard.h"

#include <gtest/gtest.h>

#include <utility>

#include <cstring>
#include <random>

#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;

ShardClip clip(int number, std::size_t bytes) {
  ShardClip clip;
  clip.id = "clip " + std::to_string(number);
  clip.labels = number % 2 == 0 ? "/m/09x0r,/m/05zppz" : "";
  clip.data.assign(bytes, static_cast<char>(number));
  clip.length = bytes / 2;
  clip.mean = -number;
  clip.std = 0.5 * number;
  return clip;
}

std::string data_of(const ShardView& view) {
  std::string data(view.bytes, '\0');
  view.read(0, data.data(), data.size());
  return data;
}

class ShardTest : public testing::Test {
 protected:
  /// A shard of three clips.
  void write() const {
    ShardWriter writer(path_);
    for (int n = 1; n <= 3; ++n) writer.add(clip(n, 2 + 60 * static_cast<std::size_t>(n)));
    writer.finish("{\"what\": \"ever\"}");
  }

  test::TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "shard-00000.axs";
};

TEST_F(ShardTest, WhatIsWrittenIsRead) {
  write();
  const ShardReader shard(path_);
  ASSERT_EQ(shard.size(), 3);
  EXPECT_EQ(shard.meta(), "{\"what\": \"ever\"}");
  for (int n = 1; n <= 3; ++n) {
    const ShardView view = shard.clip(n - 1);
    const ShardClip expected = clip(n, 2 + 60 * static_cast<std::size_t>(n));
    EXPECT_EQ(view.id, expected.id);
    EXPECT_EQ(view.labels, expected.labels);
    EXPECT_EQ(data_of(view), expected.data);
    EXPECT_EQ(view.offset % 64, 0U);
    EXPECT_EQ(view.length, expected.length);
    EXPECT_EQ(view.mean, expected.mean);
    EXPECT_EQ(view.std, expected.std);
    EXPECT_TRUE(view.is_whole());
  }
  test::expect_error([&] { shard.clip(3); }, {path_.string(), "3 clips"});
  char byte = 0;
  test::expect_error([&] { shard.clip(0).read(62, &byte, 1); }, {path_.string(), "clip 1", "62 bytes"});
}

TEST_F(ShardTest, SpooledDataAreWrittenAsDataInMemoryAre) {
  write();
  const std::string whole = read_file(path_);
  {
    ShardWriter writer(path_);
    for (int n = 1; n <= 3; ++n) {
      ShardClip spooled = clip(n, 2 + 60 * static_cast<std::size_t>(n));
      spooled.spool = std::make_shared<Spool>(folder_.path());
      spooled.spool->append(std::exchange(spooled.data, ""));
      writer.add(spooled);
    }
    writer.finish("{\"what\": \"ever\"}");
  }
  EXPECT_TRUE(read_file(path_) == whole);
}

TEST_F(ShardTest, AShardCutShortWhileItIsReadIsAnError) {
  write();
  const ShardReader shard(path_);
  const ShardView last = shard.clip(2);
  fs::resize_file(path_, last.offset + 10);
  test::expect_error([&] { data_of(last); }, {path_.string(), str("ends at byte ", last.offset + 10)});
}

TEST_F(ShardTest, AShardWithoutClipsIsOne) {
  ShardWriter(path_).finish("{}");
  EXPECT_EQ(ShardReader(path_).size(), 0);
}

TEST_F(ShardTest, OneThatIsNotFinishedDoesNotExist) {
  {
    ShardWriter writer(path_);
    writer.add(clip(1, 100));
    EXPECT_FALSE(fs::exists(path_));
  }
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

TEST_F(ShardTest, EveryTruncationAndEveryDamageToTheIndexIsFound) {
  write();
  const std::string whole = read_file(path_);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    folder_.write("cut.axs", whole.substr(0, size));
    EXPECT_THROW(ShardReader(folder_.path() / "cut.axs"), Error) << size;
  }
  std::size_t index_begin = 0;
  {
    ShardFooter footer;
    std::memcpy(&footer, whole.data() + whole.size() - sizeof footer, sizeof footer);
    index_begin = footer.records_offset;
  }
  for (std::size_t at = index_begin; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    folder_.write("damaged.axs", damaged);
    EXPECT_THROW(ShardReader(folder_.path() / "damaged.axs"), Error) << at;
  }
}

TEST_F(ShardTest, NumbersThatLeadOutOfTheFileAreRejectedEvenWithARightChecksum) {
  write();
  const std::string whole = read_file(path_);
  ShardFooter footer;
  std::memcpy(&footer, whole.data() + whole.size() - sizeof footer, sizeof footer);
  std::mt19937_64 engine(5);
  int accepted = 0;
  for (int attempt = 0; attempt < 3000; ++attempt) {
    std::string damaged = whole;
    ShardFooter forged = footer;
    auto* words = reinterpret_cast<std::uint64_t*>(&forged);
    const std::uint64_t values[] = {0, ~0ULL, whole.size(), engine(), engine() % 512, 1ULL << 60};
    const std::uint64_t value = values[engine() % 6];
    if (attempt % 2 == 0) {
      words[engine() % 4] = value;
    } else {
      const std::size_t at = footer.records_offset + 8 * (engine() % (3 * sizeof(ShardRecord) / 8));
      std::memcpy(damaged.data() + at, &value, sizeof value);
    }
    const std::size_t end = whole.size() - sizeof forged;
    if (forged.records_offset <= end)
      forged.checksum = fnv1a64(std::string_view(damaged).substr(forged.records_offset, end - forged.records_offset));
    std::memcpy(damaged.data() + end, &forged, sizeof forged);
    folder_.write("forged.axs", damaged);
    try {
      const ShardReader shard(folder_.path() / "forged.axs");
      std::size_t sum = shard.meta().size();
      for (std::int64_t n = 0; n < shard.size(); ++n)
        sum += fnv1a64(data_of(shard.clip(n))) + fnv1a64(shard.clip(n).id);
      EXPECT_GT(sum, 0U);
      ++accepted;
    } catch (const Error&) {
    }
  }
  EXPECT_LT(accepted, 3000);
}

}  // namespace
}  // namespace axlstm::data
