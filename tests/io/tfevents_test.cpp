#include "axlstm/io/tfevents.h"

#include <gtest/gtest.h>

#include <cstring>

#include "axlstm/core/files.h"
#include "axlstm/io/image.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::io {
namespace {

TEST(Crc32c, HasTheValuesOfRfc3720) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  std::string rising(32, '\0');
  for (int n = 0; n < 32; ++n) rising[static_cast<std::size_t>(n)] = static_cast<char>(n);
  EXPECT_EQ(crc32c(rising), 0x46DD794EU);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);
}

/// The payloads of a file's records, their lengths and checksums compared.
std::vector<std::string> records(const std::string& file) {
  std::vector<std::string> payloads;
  for (std::size_t at = 0; at < file.size();) {
    std::uint64_t length = 0;
    std::memcpy(&length, file.data() + at, sizeof length);
    const std::string payload = file.substr(at + 12, length);
    EXPECT_EQ(file.substr(at, 16 + length), tfrecord(payload));
    payloads.push_back(payload);
    at += 16 + length;
  }
  return payloads;
}

TEST(EventWriter, WritesTheBytesOfTheEventMessage) {
  const test::TemporaryFolder folder;
  EventWriter writer(folder.path() / "tensorboard", 1);
  writer.scalar("loss", 300, 0.5);
  EXPECT_TRUE(writer.flush());
  EXPECT_NE(writer.path().filename().string().find("tfevents"), std::string::npos);
  const auto events = records(read_file(writer.path()));
  ASSERT_EQ(events.size(), 3U);
  EXPECT_NE(events[0].find("brain.Event:2"), std::string::npos);
  EXPECT_EQ(events[1].substr(9), std::string("\x10\x01\x3a\x02\x08\x01", 6));  // step 1, session_log {status: START}
  // wall_time; step 300; summary { value { tag: "loss" simple_value: 0.5 } }
  EXPECT_EQ(events[2].front(), '\x09');
  EXPECT_EQ(events[2].substr(9), std::string("\x10\xac\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f", 18));
}

TEST(EventWriter, PicturesKnowTheirSize) {
  const test::TemporaryFolder folder;
  const Panel panel{6, 4, std::vector<float>(24, 0.5F)};
  write_png(folder.path() / "x.png", std::vector<Panel>{panel}, 0, 1, 50);
  const std::string png = read_file(folder.path() / "x.png");
  EventWriter writer(folder.path(), 0);
  writer.picture("p", 1, png);
  writer.flush();
  const auto event = records(read_file(writer.path())).back();
  const std::string image = std::string("\x08\xc8\x01\x10\xac\x02\x18\x03\x22", 9);  // height 200, width 300, RGB
  EXPECT_NE(event.find(image), std::string::npos);
  EXPECT_NE(event.find(png), std::string::npos);
  test::expect_error([&] { writer.picture("p", 1, "GIF89a"); }, {"PNG"});
}

TEST(EventWriter, EveryWriterHasAFileOfItsOwn) {
  const test::TemporaryFolder folder;
  const EventWriter first(folder.path(), 0), second(folder.path(), 0);
  EXPECT_NE(first.path(), second.path());
  // Of a run whose machine's clock was set back since: files are read in the order of their names.
  const auto later = folder.write("events.out.tfevents.99999999998.host.1", "");
  const EventWriter third(folder.path(), 0);
  EXPECT_GT(third.path().filename(), later.filename());
  const auto file = folder.write("file", "");
  test::expect_error([&] { EventWriter writer(file, 0); }, {file.string(), "cannot be created"});
}

}  // namespace
}  // namespace axlstm::io
