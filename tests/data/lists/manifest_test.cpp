#include "axlstm/data/lists/manifest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

DataOptions options(const std::string& root, const std::string& manifest) {
  DataOptions options;
  options.root = root;
  options.manifest = manifest;
  return options;
}

class ManifestTest : public testing::Test {
 protected:
  Manifest scan() const { return load_manifest(options(folder_.path().string(), "")); }

  /// Loads a manifest file with the given text; `root` is relative to the test's folder.
  Manifest read(const std::string& name, const std::string& text, const std::string& root = "") const {
    return load_manifest(
        options(root.empty() ? "" : (folder_.path() / root).string(), folder_.write(name, text).string()));
  }

  void expect_rejected(const std::string& name, const std::string& text, std::initializer_list<std::string> parts,
                       const std::string& root = "") const {
    test::expect_error([&] { read(name, text, root); }, {(folder_.path() / name).string()});
    test::expect_error([&] { read(name, text, root); }, parts);
  }

  test::TemporaryFolder folder_;
};

Names ids(const Manifest& manifest) {
  Names names;
  for (const Clip& clip : manifest.clips) names.push_back(clip.id);
  return names;
}

TEST_F(ManifestTest, AFolderIsScannedAtAnyDepthInPathOrder) {
  for (const char* name : {"b.wav", "a/z.flac", "a/b/c.OPUS", "c.mp3"}) folder_.write(name, "x");
  const Manifest manifest = scan();
  EXPECT_EQ(ids(manifest), (Names{"a/b/c.OPUS", "a/z.flac", "b.wav", "c.mp3"}));
  EXPECT_EQ(manifest.clips[1].path, folder_.path() / "a" / "z.flac");
  EXPECT_LT(manifest.clips[1].segment.duration_seconds, 0);
  EXPECT_EQ(manifest.source, folder_.path().string());
}

TEST_F(ManifestTest, FilesThatAreNoAudioAreIgnored) {
  for (const char* name : {"a.wav", ".DS_Store", ".hidden", "notes.txt", "a.wav.part", "wav"}) folder_.write(name, "x");
  fs::create_directories(folder_.path() / "folder.wav");
  EXPECT_EQ(ids(scan()), Names{"a.wav"});
}

TEST_F(ManifestTest, LinkedFilesKeepTheNameOfTheLink) {
  const test::TemporaryFolder elsewhere;
  const auto target = elsewhere.write("original.wav", "x");
  fs::create_symlink(target, folder_.path() / "link.wav");
  fs::create_directory_symlink(elsewhere.path(), folder_.path() / "more");
  EXPECT_EQ(ids(scan()), (Names{"link.wav", "more/original.wav"}));
}

TEST_F(ManifestTest, ALinkBackToItsFolderIsNotFollowed) {
  folder_.write("a/x.wav", "x");
  fs::create_directory_symlink(folder_.path(), folder_.path() / "a" / "back");
  fs::create_directory_symlink(folder_.path() / "a", folder_.path() / "a" / "self");
  EXPECT_EQ(ids(scan()), Names{"a/x.wav"});
}

TEST_F(ManifestTest, AFolderWithoutAudioAndAMissingOneAreNamed) {
  test::expect_usage_error([&] { scan(); }, {folder_.path().string(), "no audio"});
  test::expect_usage_error([&] { load_manifest(options("no/such/folder", "")); }, {"no/such/folder", "data.root"});
  test::expect_usage_error([&] { load_manifest(options("", "no/such.csv")); }, {"no/such.csv", "data.manifest"});
  test::expect_usage_error([&] { load_manifest({}); }, {"data.root", "data.manifest"});
}

TEST_F(ManifestTest, ATableGivesPathsIdsAndSegments) {
  const Manifest manifest = read("list.csv",
                                 "id,path,start,end\n"
                                 "one,a.wav,1.5,3\n"
                                 "two,\"sub/b, c.wav\",,\n"
                                 "three,/abs/d.wav,0.25,\n");
  EXPECT_EQ(ids(manifest), (Names{"one", "two", "three"}));
  EXPECT_EQ(manifest.clips[0].path, folder_.path() / "a.wav");
  EXPECT_EQ(manifest.clips[0].segment.start_seconds, 1.5);
  EXPECT_EQ(manifest.clips[0].segment.duration_seconds, 1.5);
  EXPECT_EQ(manifest.clips[1].path, folder_.path() / "sub/b, c.wav");
  EXPECT_LT(manifest.clips[1].segment.duration_seconds, 0);
  EXPECT_EQ(manifest.clips[2].path, "/abs/d.wav");
  EXPECT_EQ(manifest.clips[2].segment.start_seconds, 0.25);
}

TEST_F(ManifestTest, ColumnsMayHaveTheOtherUsualNames) {
  const Manifest manifest = read("list.csv", ",file,start_seconds,duration_seconds,label\n0,a.wav,2,4,dog\n", "root");
  EXPECT_EQ(ids(manifest), Names{"a.wav"});
  EXPECT_EQ(manifest.clips[0].path, folder_.path() / "root" / "a.wav");
  EXPECT_EQ(manifest.clips[0].segment.start_seconds, 2);
  EXPECT_EQ(manifest.clips[0].segment.duration_seconds, 4);
  EXPECT_EQ(read("list.csv", "audio_filepath,offset,duration\nb.wav,1,2\n").clips[0].segment.duration_seconds, 2);
}

TEST_F(ManifestTest, TablesAndJsonLinesPreferTheSameNames) {
  const std::vector<std::vector<std::string>> groups{{"path", "file", "audio_filepath"},
                                                     {"id", "YTID"},
                                                     {"start_seconds", "start", "offset"},
                                                     {"end_seconds", "end"},
                                                     {"duration_seconds", "duration"}};
  for (const auto& group : groups) {
    for (std::size_t first = 0; first < group.size(); ++first) {
      const bool is_path = &group == &groups[0], is_text = is_path || &group == &groups[1];
      // The names of the group from `first` on, the preferred one last and with another value.
      std::string header = is_path ? "" : "path", row = is_path ? "" : "a.wav";
      nlohmann::json object = nlohmann::json::object();
      if (!is_path) object["path"] = "a.wav";
      for (std::size_t n = group.size(); n-- > first;) {
        const std::string value = str(n == first ? 1 : 2);
        header += (header.empty() ? "" : ",") + group[n];
        row += (row.empty() ? "" : ",") + value;
        object[group[n]] = is_text ? nlohmann::json(value) : nlohmann::json(n == first ? 1 : 2);
      }
      for (const Manifest& manifest :
           {read("list.csv", header + "\n" + row + "\n"), read("list.jsonl", object.dump() + "\n")}) {
        const Clip& clip = manifest.clips[0];
        const std::string text = is_path ? clip.path.filename().string() : clip.id;
        const double number = group[0] == "start_seconds" ? clip.segment.start_seconds : clip.segment.duration_seconds;
        EXPECT_TRUE(is_text ? text == "1" : number == 1) << manifest.source << " " << group[first];
      }
    }
  }
}

TEST_F(ManifestTest, ErrorsOfATableNameTheLine) {
  expect_rejected("list.csv", "path,start\na.wav,1\nb.wav,soon\n", {"list.csv:3", "'soon'"});
  expect_rejected("list.csv", "path,start\na.wav,-1\n", {"list.csv:2", "'-1'"});
  expect_rejected("list.csv", "path,start,end\na.wav,5,4\n", {"list.csv:2", "ends before it starts"});
  expect_rejected("list.csv", "path,start\na.wav\n", {"list.csv:2", "1 fields", "2"});
  expect_rejected("list.csv", "path,start\n\"\",1\n", {"list.csv:2", "path is empty"});
  expect_rejected("list.csv", "name,start\na.wav,1\n", {"list.csv:1", "'path'"});
  expect_rejected("list.csv", ",name\n0,a.wav\n", {"list.csv:1", "'path'"});
  expect_rejected("list.csv", "path,start\n\"a.wav,1\n", {"list.csv:2"});
  expect_rejected("list.csv", "path\n", {"names no clip"});
  expect_rejected("list.csv", "", {"empty"});
}

constexpr const char* kAudioSetHead =
    "# Segments csv created Sun Mar  5 10:54:31 2017\n"
    "# num_ytids=7, num_segs=7, num_unique_labels=527, num_positive_labels=51804\n"
    "# YTID, start_seconds, end_seconds, positive_labels\n";

TEST_F(ManifestTest, AudioSetRowsAreMatchedAsDownloadersNameFiles) {
  for (const char* name : {"audio/--PJHxphWEs.wav", "audio/deep/Y-0RWZT-miFs.flac", "audio/_a_b-c_d_e-_30.wav",
                           "audio/0123456789a_30000_40000.opus", "audio/Yabcdefghijk_12.500.wav",
                           "audio/twice_twice_0.wav", "audio/twice_twice_90.wav"}) {
    folder_.write(name, "x");
  }
  const Manifest manifest = read("eval_segments.csv",
                                 std::string(kAudioSetHead) +
                                     "--PJHxphWEs, 30.000, 40.000, \"/m/09x0r,/t/dd00088\"\n"
                                     "-0RWZT-miFs, 420.000, 430.000, \"/m/03v3yw\"\n"
                                     "_a_b-c_d_e-, 30.000, 40.000, \"/m/03v3yw\"\n"
                                     "0123456789a, 30.000, 40.000, \"/m/03v3yw\"\n"
                                     "abcdefghijk, 12.500, 22.500, \"/m/03v3yw\"\n"
                                     "twice_twice, 90.000, 100.000, \"/m/03v3yw\"\n"
                                     "missing-one, 90.000, 100.000, \"/m/03v3yw\"\n",
                                 "audio");
  ASSERT_EQ(manifest.clips.size(), 6u);
  Names files;
  for (const Clip& clip : manifest.clips) {
    files.push_back(fs::relative(clip.path, folder_.path() / "audio").string());
    EXPECT_EQ(clip.segment.start_seconds, 0) << clip.id;  // the file is the cut segment
    EXPECT_LT(clip.segment.duration_seconds, 0) << clip.id;
  }
  EXPECT_EQ(files, (Names{"--PJHxphWEs.wav", "deep/Y-0RWZT-miFs.flac", "_a_b-c_d_e-_30.wav",
                          "0123456789a_30000_40000.opus", "Yabcdefghijk_12.500.wav", "twice_twice_90.wav"}));
  EXPECT_EQ(manifest.unmatched, Names{"missing-one"});
}

TEST_F(ManifestTest, NamesWithFurtherDotsMatchAudioSetRows) {
  for (const char* name : {"audio/abcdefghijk.mp4.wav", "audio/abcdefghijk_90.wav", "audio/Ybcdefghijkl.16k.flac",
                           "audio/cdefghijklm_30.000_40.000.16k.flac", "audio/defghijklmnx.wav"}) {
    folder_.write(name, "x");
  }
  const Manifest manifest = read("eval_segments.csv",
                                 std::string(kAudioSetHead) +
                                     "abcdefghijk, 90.000, 100.000, \"/m/03v3yw\"\n"
                                     "bcdefghijkl, 30.000, 40.000, \"/m/03v3yw\"\n"
                                     "cdefghijklm, 30.000, 40.000, \"/m/03v3yw\"\n"
                                     "defghijklmn, 30.000, 40.000, \"/m/03v3yw\"\n",
                                 "audio");
  Names files;
  for (const Clip& clip : manifest.clips) files.push_back(clip.path.filename().string());
  EXPECT_EQ(files, (Names{"abcdefghijk.mp4.wav", "Ybcdefghijkl.16k.flac", "cdefghijklm_30.000_40.000.16k.flac"}));
  EXPECT_EQ(manifest.unmatched, Names{"defghijklmn"});
}

TEST_F(ManifestTest, AnotherSegmentOfTheSameVideoIsNoMatch) {
  folder_.write("audio/abcdefghijk_30.wav", "x");
  folder_.write("audio/other.wav", "x");
  expect_rejected("eval_segments.csv", std::string(kAudioSetHead) + "abcdefghijk, 90.000, 100.000, \"/m/03v3yw\"\n",
                  {"names no clip", "1 rows"}, "audio");
}

TEST_F(ManifestTest, ErrorsOfAudioSetFilesNameTheLine) {
  folder_.write("audio/a.wav", "x");
  expect_rejected("segments.csv", std::string(kAudioSetHead) + "abc, soon, 40.000, \"x\"\n",
                  {"segments.csv:4", "'soon'"}, "audio");
  expect_rejected("segments.csv", std::string(kAudioSetHead) + "abc, 30.000\n", {"segments.csv:4", "YTID"}, "audio");
  expect_rejected("segments.csv", std::string(kAudioSetHead) + ", 30.000, 40.000, x\n", {"segments.csv:4", "YTID"},
                  "audio");
  expect_rejected("segments.csv", std::string(kAudioSetHead) + "abc, 30.000, 40.000, \"x\"\n", {"data.root"});
}

TEST_F(ManifestTest, JsonLinesTakeOurKeysAndNemos) {
  const Manifest manifest = read("list.jsonl",
                                 "{\"path\": \"a.wav\"}\n\n"
                                 "{\"audio_filepath\": \"b.wav\", \"offset\": 1.5, \"duration\": 2, \"text\": \"hi\"}\n"
                                 "{\"path\": \"c.wav\", \"id\": \"third\", \"start\": 1, \"end\": 4}\r\n"
                                 "{\"audio_filepath\": \"d.wav\", \"duration\": null}");
  EXPECT_EQ(ids(manifest), (Names{"a.wav", "b.wav", "third", "d.wav"}));
  EXPECT_EQ(manifest.clips[1].path, folder_.path() / "b.wav");
  EXPECT_EQ(manifest.clips[1].segment.start_seconds, 1.5);
  EXPECT_EQ(manifest.clips[1].segment.duration_seconds, 2);
  EXPECT_EQ(manifest.clips[2].segment.duration_seconds, 3);
  EXPECT_LT(manifest.clips[3].segment.duration_seconds, 0);
}

TEST_F(ManifestTest, LabelsDeepInEachOtherDoNotExhaustTheStack) {
  constexpr std::size_t kLevels = 1'000'000;
  expect_rejected("x.jsonl",
                  "\n{\"path\": \"a.wav\", \"label\": " + std::string(kLevels, '[') + std::string(kLevels, ']') + "}",
                  {"x.jsonl:2", "100 levels"});
}

TEST_F(ManifestTest, ErrorsOfJsonLinesNameTheLine) {
  const std::string good = "{\"path\": \"a.wav\"}\n";
  for (const char* bad :
       {"{\"path\": ", "[1]", "7", "{\"text\": \"x\"}", "{\"path\": 3}", "{\"path\": \"a\", \"start\": \"soon\"}",
        "{\"path\": \"a\", \"start\": -1}", "{\"path\": \"a\", \"start\": 3, \"end\": 2}", "{\"path\": \"\"}"}) {
    expect_rejected("list.jsonl", good + bad + "\n", {"list.jsonl:2"});
  }
  expect_rejected("list.jsonl", "\n", {"names no clip"});
}

}  // namespace
}  // namespace axlstm::data
