#include "axlstm/data/lists/clip_list.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace axlstm::data {
namespace {

TEST(ClipList, GivesBackWhatWasAdded) {
  ClipList clips("/data/audio");
  clips.add("a/x.wav");
  clips.add("/elsewhere/y.flac", "second", {1.5, 2}, "/m/09x0r,/m/05zppz");
  clips.add("z.wav", "", {}, "dog");
  ASSERT_EQ(clips.size(), 3U);
  EXPECT_EQ(clips[0].id, "a/x.wav");
  EXPECT_EQ(clips[0].path, "/data/audio/a/x.wav");
  EXPECT_LT(clips[0].segment.duration_seconds, 0);
  EXPECT_EQ(clips[0].labels, "");
  EXPECT_EQ(clips.id(1), "second");
  EXPECT_EQ(clips[1].path, "/elsewhere/y.flac");
  EXPECT_EQ(clips[1].segment.start_seconds, 1.5);
  EXPECT_EQ(clips[1].segment.duration_seconds, 2);
  EXPECT_EQ(clips[1].labels, "/m/09x0r,/m/05zppz");
  EXPECT_EQ(clips[2].labels, "dog");
  std::string ids;
  for (const Clip& clip : clips) ids += clip.id + " ";
  EXPECT_EQ(ids, "a/x.wav second z.wav ");
  test::expect_error([&] { clips[3]; }, {"clip 3 of 3"});
  test::expect_error([&] { clips.id(3); }, {"clip 3 of 3"});
}

}  // namespace
}  // namespace axlstm::data
