#include "axlstm/data/clip_stream.h"

#include <gtest/gtest.h>

#include "core/expect_error.h"
#include "data/tar.h"
#include "support/tmpdir.h"

namespace axlstm::data {
namespace {

std::vector<StreamedClip> all(ClipStream& stream) {
  std::vector<StreamedClip> clips;
  while (auto clip = stream.next()) clips.push_back(std::move(*clip));
  return clips;
}

class TarStreamTest : public testing::Test {
 protected:
  std::unique_ptr<ClipStream> stream(const test::TarMembers& members) const {
    return stream_tars({folder_.write("a.tar", test::tar_bytes(members))});
  }
  test::TemporaryFolder folder_;
};

TEST_F(TarStreamTest, MembersOfOneNameAreOneClip) {
  const auto stream = this->stream({{"x/one.flac", "AAA"},
                                    {"x/one.json", "{\"labels\": [\"dog\", 3]}"},
                                    {"x/two.cls", "7\n"},
                                    {"x/two.wav", "BB"},
                                    {"readme.md", "no audio"},
                                    {"x/three.16k.ogg", "C"},
                                    {"x/four.txt", "a sentence"},
                                    {"x/four.json", "{\"label\": \"cat\"}"},
                                    {"x/four.mp3", "D"},
                                    {"x/four.wav", "second audio of one clip"}});
  const auto clips = all(*stream);
  ASSERT_EQ(clips.size(), 4U);
  EXPECT_EQ(clips[0].clip.id, "x/one");
  EXPECT_EQ(clips[0].bytes, "AAA");
  EXPECT_EQ(clips[0].clip.labels, "dog,3");
  EXPECT_EQ(clips[0].clip.path.string(), (folder_.path() / "a.tar/x/one.flac").string());
  EXPECT_EQ(clips[1].clip.id, "x/two");
  EXPECT_EQ(clips[1].clip.labels, "7");
  EXPECT_EQ(clips[2].clip.id, "x/three");
  EXPECT_EQ(clips[3].clip.id, "x/four");
  EXPECT_EQ(clips[3].bytes, "D");
  EXPECT_EQ(clips[3].clip.labels, "cat");
  EXPECT_EQ(stream->done(), 1);
}

TEST_F(TarStreamTest, LabelsThatCannotBeReadAreNone) {
  constexpr std::size_t kLevels = 1'000'000;
  const std::string deep = "{\"label\": " + std::string(kLevels, '[') + std::string(kLevels, ']') + "}";
  const auto stream = this->stream({{"a.wav", "A"}, {"a.json", deep}, {"b.json", "no JSON"}, {"b.wav", "B"}});
  for (const char* audio : {"A", "B"}) {
    const auto clip = stream->next();
    ASSERT_TRUE(clip && clip->failure.empty());
    EXPECT_EQ(clip->bytes, audio);
    EXPECT_EQ(clip->clip.labels, "");
  }
}

TEST_F(TarStreamTest, AFileOfLabelsIsNoLongerThanLabelsAre) {
  const auto stream = this->stream({{"a.wav", "A"}, {"a.txt", std::string((1 << 24) + 1, 'x')}});
  const auto clip = stream->next();
  ASSERT_TRUE(clip);
  EXPECT_NE(clip->failure.find("larger than 16 MiB"), std::string::npos) << clip->failure;
}

TEST_F(TarStreamTest, AnEmptyArchiveIsNamedAndDone) {
  const auto stream = stream_tars({folder_.write("a.tar", "")});
  const auto clips = all(*stream);
  ASSERT_EQ(clips.size(), 1U);
  EXPECT_NE(clips[0].failure.find("a.tar: cannot be read on"), std::string::npos) << clips[0].failure;
  EXPECT_EQ(stream->done(), 1);
}

TEST_F(TarStreamTest, AnArchiveStartsNoProgram) {
  // The magic number of lrzip, for which libarchive would run the program of that name.
  const auto clips = all(*stream_tars({folder_.write("a.tar", std::string("LRZI\0\5", 6) + std::string(2000, '\0'))}));
  ASSERT_EQ(clips.size(), 1U);
  EXPECT_NE(clips[0].failure.find("Unrecognized archive format"), std::string::npos) << clips[0].failure;
}

TEST_F(TarStreamTest, SkippingEqualsReading) {
  const test::TarMembers members{{"1.wav", "a"}, {"2.wav", "b"}, {"2.txt", "l"}, {"3.wav", "c"}, {"4.wav", "d"}};
  for (std::int64_t count = 0; count <= 5; ++count) {
    const auto whole = stream(members), rest = stream(members);
    rest->skip(count);
    const auto expected = all(*whole), got = all(*rest);
    ASSERT_EQ(got.size(), expected.size() - static_cast<std::size_t>(std::min<std::int64_t>(count, 4)));
    for (std::size_t n = 0; n < got.size(); ++n)
      EXPECT_EQ(got[n].bytes, expected[n + static_cast<std::size_t>(count)].bytes);
  }
}

TEST_F(TarStreamTest, AnArchiveThatIsCutOffIsNamedAndTheNextOneRead) {
  const std::string whole = test::tar_bytes({{"1.wav", "a"}, {"2.wav", std::string(5000, 'b')}});
  folder_.write("d/1.tar", whole.substr(0, 3000));
  folder_.write("d/2.tar", "this is not an archive at all, whatever its name says");
  folder_.write("d/3.tar", test::tar_bytes({{"3.wav", "c"}}));
  folder_.write("d/notes.txt", "");
  const auto clips = all(*stream_tars({folder_.path() / "d"}));
  std::vector<std::string> good, failures;
  for (const auto& clip : clips) (clip.failure.empty() ? good : failures).push_back(clip.clip.id + clip.failure);
  EXPECT_EQ(good, (std::vector<std::string>{"1", "3"}));
  ASSERT_GE(failures.size(), 2U);
  EXPECT_NE(failures.front().find("1.tar"), std::string::npos) << failures.front();
  EXPECT_NE(failures.back().find("2.tar"), std::string::npos) << failures.back();
  // A resumed packing passes over the same number of clips.
  const auto rest = stream_tars({folder_.path() / "d"});
  rest->skip(static_cast<std::int64_t>(clips.size()) - 1);
  EXPECT_EQ(all(*rest).size(), 1U);
}

TEST_F(TarStreamTest, WhatIsMissingIsNamed) {
  test::expect_error([&] { stream_tars({folder_.path() / "none.tar"}); }, {"none.tar", "no such archive"});
  test::expect_error([&] { stream_tars({folder_.path()}); }, {folder_.path().string(), "no tar archives"});
}

TEST_F(TarStreamTest, TheFingerprintFollowsTheArchives) {
  const auto before = stream({{"1.wav", "a"}})->fingerprint();
  EXPECT_EQ(stream({{"1.wav", "a"}})->fingerprint(), before);
  EXPECT_NE(stream({{"1.wav", "a"}, {"2.wav", "b"}})->fingerprint(), before);
}

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
