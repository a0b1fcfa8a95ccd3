// stream_tars: sounds in tar and zip archives.
#include <gtest/gtest.h>

#include "axlstm/data/lists/clip_stream.h"
#include "data/lists/all_clips.h"
#include "data/tar.h"
#include "data/zip.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::data {
namespace {

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
  ASSERT_EQ(clips.size(), 5U);
  EXPECT_EQ(clips[0].clip.id, "x/one");
  EXPECT_EQ(clips[0].bytes, "AAA");
  EXPECT_EQ(clips[0].clip.labels, "dog,3");
  EXPECT_EQ(clips[0].clip.path.string(), (folder_.path() / "a.tar/x/one.flac").string());
  EXPECT_EQ(clips[1].clip.id, "x/two");
  EXPECT_EQ(clips[1].clip.labels, "7");
  EXPECT_EQ(clips[2].clip.id, "x/three");
  EXPECT_EQ(clips[3].clip.id, "x/four.mp3");
  EXPECT_EQ(clips[3].bytes, "D");
  EXPECT_EQ(clips[3].clip.labels, "cat");
  EXPECT_EQ(clips[4].clip.id, "x/four.wav");
  EXPECT_EQ(clips[4].clip.labels, "cat");
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

/// "id=content/labels" of each clip.
std::vector<std::string> told(ClipStream& stream) {
  std::vector<std::string> texts;
  for (const auto& clip : all(stream)) {
    EXPECT_EQ(clip.failure, "");
    texts.push_back(clip.clip.id + "=" + clip.bytes.value_or("none") + "/" + clip.clip.labels);
  }
  return texts;
}
using Texts = std::vector<std::string>;

TEST_F(TarStreamTest, SeveralSoundsOfOneKeyAreClipsOfTheirOwn) {
  EXPECT_EQ(told(*stream({{"X_11.708_13.970.wav", "A"}, {"X_11.990_14.2.wav", "B"}, {"Y_1.5.wav", "C"}})),
            (Texts{"X_11.708_13.970.wav=A/", "X_11.990_14.2.wav=B/", "Y_1=C/"}));
  // The labels of the whole name go before those of the key.
  EXPECT_EQ(told(*stream({{"1.mic1.wav", "A"},
                          {"1.mic2.wav", "B"},
                          {"1.mic2.json", R"({"label": "two"})"},
                          {"1.cls", "one"},
                          {"1.mic3.wav", "C"},
                          {"1.mic3.wav.json", R"({"labels": ["three"]})"}})),
            (Texts{"1.mic1.wav=A/one", "1.mic2.wav=B/two", "1.mic3.wav=C/three"}));
}

TEST_F(TarStreamTest, LabelsAreFoundWhereverTheyLie) {
  const Texts expected{"a=A/dog", "b=B/cat", "c=C/a sentence"};
  const std::string dog = R"({"labels": ["dog"]})";
  EXPECT_EQ(told(*stream({{"a.wav", "A"},
                          {"b.wav", "B"},
                          {"c.wav", "C"},
                          {"a.json", dog},
                          {"b.cls", "cat"},
                          {"c.txt", "a sentence"}})),
            expected);
  EXPECT_EQ(told(*stream({{"b.cls", "cat"},
                          {"a.json", dog},
                          {"c.txt", "a sentence"},
                          {"a.wav", "A"},
                          {"b.wav", "B"},
                          {"c.wav", "C"}})),
            expected);
  EXPECT_EQ(told(*stream({{"a.cls", "7"},
                          {"a.txt", "words"},
                          {"b.txt", "words"},
                          {"b.cls", "7"},
                          {"b.wav", "B"},
                          {"a.wav", "A"},
                          {"a.json", "{}"}})),
            (Texts{"b=B/words", "a=A/7"}));
}

TEST_F(TarStreamTest, JoinedArchivesAreReadToTheEnd) {
  const std::string one = test::tar_bytes({{"1.wav", "A"}, {"1.cls", "a"}, {"2.wav", "B"}});
  const std::string two = test::tar_bytes({{"1.cls", "c"}, {"1.wav", "C"}, {"3.wav", "D"}});
  EXPECT_EQ(told(*stream_tars({folder_.write("a.tar", one + std::string(9216, '\0') + two)})),
            (Texts{"1.wav=A/a", "2=B/", "1.wav#2=C/c", "3=D/"}));
  // After the mark of its end something else than an archive.
  const auto clips = all(*stream_tars({folder_.write("b.tar", one + std::string(700, 'x'))}));
  ASSERT_EQ(clips.size(), 3U);
  EXPECT_NE(clips[2].failure.find("b.tar: cannot be read on"), std::string::npos) << clips[2].failure;
}

TEST_F(TarStreamTest, LinksAreClipsOfTheirOwn) {
  const auto hard = [](const std::string& target) { return test::kHardLink + target; };
  const auto symbolic = [](const std::string& target) { return test::kSymbolicLink + target; };
  const auto links = stream({{"early.wav", symbolic("x/one.wav")},
                             {"x/one.wav", "A"},
                             {"x/one.cls", "a"},
                             {"y/two.wav", hard("x/one.wav")},
                             {"y/two.cls", "b"},
                             {"y/three.wav", symbolic("../x/one.wav")},
                             {"y/four.wav", symbolic("three.wav")},
                             {".git/annex/objects/SHA256E-s1--0.wav", "D"},
                             {"annexed.wav", symbolic(".git/annex/objects/SHA256E-s1--0.wav")},
                             {"gone.wav", symbolic("not/here.wav")},
                             {"outside.wav", symbolic("../../etc/passwd")},
                             {"circle.wav", symbolic("circle.wav")},
                             {"notes.txt", symbolic("x/one.wav")}});
  EXPECT_EQ(told(*links), (Texts{"x/one=A/a", "early=A/", "y/two=A/b", "y/three=A/", "y/four=A/", "annexed=D/"}));
  const auto dead = links->passed_over().dead_links;
  ASSERT_EQ(dead.size(), 3U);
  EXPECT_EQ(dead[0], (folder_.path() / "a.tar/gone.wav").string());
}

TEST_F(TarStreamTest, LinksOfJoinedArchivesStayInTheirPart) {
  const auto part = [](const std::string& content) {
    return test::tar_bytes({{"x.wav", content}, {"y.wav", test::kHardLink + "x.wav"}});
  };
  EXPECT_EQ(told(*stream_tars({folder_.write("a.tar", part("A") + part("B"))})),
            (Texts{"x.wav=A/", "y.wav=A/", "x.wav#2=B/", "y.wav#2=B/"}));
}

TEST_F(TarStreamTest, LitterIsLeftOutBeforeClipsAreNamed) {
  const auto clips = stream({{"a/._1.wav", "resource fork"},
                             {"a/1.wav", "A"},
                             {"__MACOSX/a/._1.wav", "resource fork"},
                             {"a/1.cls", "dog"},
                             {"a/._1.cls", "no label"},
                             {".Trash-1000/files/2.wav", "old"},
                             {"./b/3.wav", "B"}});
  EXPECT_EQ(told(*clips), (Texts{"a/1=A/dog", "./b/3=B/"}));
  EXPECT_TRUE(clips->passed_over().empty());
}

TEST_F(TarStreamTest, SoundThatIsNotDecodedIsCounted) {
  const auto clips = stream({{"1.wav", "A"}, {"2.dsf", "x"}, {"3.DSF", "y"}, {"4.mid", "z"}, {"5.md", "no sound"}});
  EXPECT_EQ(told(*clips), Texts{"1=A/"});
  const auto counts = clips->passed_over().by_extension;
  EXPECT_EQ(counts, (std::map<std::string, std::int64_t>{{".dsf", 2}, {".mid", 1}}));
}

TEST_F(TarStreamTest, SkippingPassesOverLinksAndRepeatedNamesToo) {
  const std::string part = test::tar_bytes({{"x.wav", "A"}, {"y.wav", test::kHardLink + "x.wav"}, {"z.1.wav", "Z"}});
  const auto archive = folder_.write("a.tar", part + part);
  const Texts whole = told(*stream_tars({archive}));
  ASSERT_EQ(whole.size(), 6U);
  for (std::size_t count = 0; count <= whole.size(); ++count) {
    const auto rest = stream_tars({archive});
    rest->skip(static_cast<std::int64_t>(count));
    EXPECT_EQ(told(*rest), Texts(whole.begin() + static_cast<std::ptrdiff_t>(count), whole.end()));
  }
}

TEST_F(TarStreamTest, OfAFolderTheArchivesAreTaken) {
  const auto archive = [](const std::string& name) { return test::tar_bytes({{name + ".wav", name}}); };
  for (const char* name : {"b.tar", "a.tar", "._a.tar", ".c.tar"})
    folder_.write(std::string("d/") + name, archive(name));
  folder_.write("d/a.tar.md5", "0123  a.tar");
  EXPECT_EQ(told(*stream_tars({folder_.path() / "d"})), (Texts{"a=a.tar/", "b=b.tar/"}));
  test::expect_error(
      [&] {
        stream_tars({folder_.path() / "d", folder_.path() / "d/../d/a.tar"});
      },
      {"a.tar", "named twice"});
}

TEST_F(TarStreamTest, ZipArchivesAreReadAsWell) {
  const auto zip = stream_tars({folder_.write(
      "a.zip",
      test::zip_bytes(
          {{"x/\xc3\xa4.wav", "A"}, {"__MACOSX/x/._\xc3\xa4.wav", "fork"}, {"x/2.cls", "dog"}, {"x/2.wav", "B"}}))});
  EXPECT_EQ(told(*zip), (Texts{"x/\xc3\xa4=A/", "x/2=B/dog"}));
  EXPECT_EQ(zip->done(), 1);
}

TEST_F(TarStreamTest, NamesOfAnyEncodingAreKept) {
  const auto archive = stream({{"\xc3\xa4/\xe4.wav", "A"}, {"\xc3\xa4/\xe4.cls", "latin"}});
  EXPECT_EQ(told(*archive), Texts{"\xc3\xa4/\xe4=A/latin"});
}

TEST_F(TarStreamTest, LabelsOfALargeArchiveSortedByKindAreFound) {
  constexpr int kClips = 20'000;
  test::TarMembers members;
  for (int n = 0; n < kClips; ++n) members.emplace_back("c/" + std::to_string(n) + ".cls", "label" + std::to_string(n));
  for (int n = 0; n < kClips; ++n) members.emplace_back("c/" + std::to_string(n) + ".wav", "A");
  const auto clips = stream(members);
  int number = 0;
  while (const auto clip = clips->next()) EXPECT_EQ(clip->clip.labels, "label" + std::to_string(number++));
  EXPECT_EQ(number, kClips);
}

}  // namespace
}  // namespace axlstm::data
