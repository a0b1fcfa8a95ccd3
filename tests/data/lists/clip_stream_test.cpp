#include "axlstm/data/lists/clip_stream.h"

#include <gtest/gtest.h>

#include "data/lists/all_clips.h"

namespace axlstm::data {
namespace {

TEST(ManifestStream, GoesThroughTheListAndSkips) {
  Manifest manifest;
  manifest.source = "list.csv";
  const auto list = [](double start_seconds_of_b) {
    ClipList clips;
    for (const std::string id : {"a", "b", "c"})
      clips.add(id + ".wav", id, {id == "b" ? start_seconds_of_b : 0}, "label");
    return clips;
  };
  manifest.clips = list(0);
  const auto stream = stream_manifest(manifest);
  EXPECT_EQ(stream->done(), 0);
  stream->skip(1);
  const auto clips = all(*stream);
  ASSERT_EQ(clips.size(), 2U);
  EXPECT_EQ(clips[0].clip.id, "b");
  EXPECT_EQ(clips[0].clip.labels, "label");
  EXPECT_FALSE(clips[0].bytes);
  EXPECT_EQ(stream->done(), 1);
  const auto before = stream->fingerprint();
  manifest.clips = list(2);
  EXPECT_NE(stream_manifest(manifest)->fingerprint(), before);
}

}  // namespace
}  // namespace axlstm::data
