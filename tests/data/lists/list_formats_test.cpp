// Lists in the forms in which data sets are published.
#include <gtest/gtest.h>

#include <archive.h>
#include <archive_entry.h>

#include <memory>

#include "axlstm/data/lists/manifest.h"
#include "support/expect_error.h"
#include "support/tmpdir.h"

namespace axlstm::data {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

class ListTest : public testing::Test {
 protected:
  Manifest read(const std::string& name, const std::string& text, const std::string& root = "") const {
    return load(folder_.write(name, text), root);
  }

  Manifest load(const fs::path& list, const std::string& root = "") const {
    DataOptions options;
    options.manifest = list.string();
    if (!root.empty()) options.root = (folder_.path() / root).string();
    return load_manifest(options);
  }

  /// "id=path from+duration labels" of each clip, the parts that say nothing left out.
  Texts told(const Manifest& manifest) const {
    Texts texts;
    for (const Clip& clip : manifest.clips) {
      const fs::path path = clip.path.lexically_relative(folder_.path());
      std::string text = path.empty() || path.string().starts_with("..") ? clip.path.string() : path.string();
      if (clip.id != text) text = clip.id + "=" + text;
      const auto& segment = clip.segment;
      if (segment.start_seconds != 0 || segment.duration_seconds >= 0)
        text += str(" ", segment.start_seconds, "+", segment.duration_seconds);
      texts.push_back(text + (clip.labels.empty() ? "" : " " + clip.labels));
    }
    return texts;
  }

  Texts told(const std::string& name, const std::string& text, const std::string& root = "") const {
    return told(read(name, text, root));
  }

  void expect_rejected(const std::string& name, const std::string& text, std::initializer_list<std::string> parts,
                       const std::string& root = "") const {
    test::expect_error([&] { read(name, text, root); }, {(folder_.path() / name).string()});
    test::expect_error([&] { read(name, text, root); }, parts);
  }

  test::TemporaryFolder folder_;
};

TEST_F(ListTest, ColumnsOfTheSameMeaningHaveManyNames) {
  for (const char* name :
       {"path", "file", "audio_filepath", "audio_path", "wav_path", "file_path", "filepath", "file_name", "filename",
        "wav", "audio", "File Name", "FILENAME", "file-name", "Audio_FilePath", " wav ", "# path", "audio_file"})
    EXPECT_EQ(told("list.csv", str(name, ",other\na.wav,1\n")), Texts{"a.wav"}) << name;
  for (const char* name :
       {"id", "ID", "key", "utt_id", "Utt-ID", "segment_id", "ytid", "YTID", "youtube_id", "video_id"})
    EXPECT_EQ(told("list.csv", str(name, ",wav\nx,a.wav\n")), Texts{"x=a.wav"}) << name;
  for (const char* name : {"label", "labels", "Category", "class", "target", "human_labels", "positive_labels", "tags"})
    EXPECT_EQ(told("list.csv", str("path,", name, "\na.wav,dog\n")), Texts{"a.wav dog"}) << name;
  for (const char* name : {"start", "start_time", "Start (s)", "begin", "onset", "start_sec", "offset"})
    EXPECT_EQ(told("list.csv", str("path,", name, ",end_time\na.wav,1.5,2\n")), Texts{"a.wav 1.5+0.5"}) << name;
  EXPECT_EQ(told("list.csv", "path,start_ms,duration_ms\na.wav,1500,250\n"), Texts{"a.wav 1.5+0.25"});
  // ESC-50's and Clotho's own tables.
  EXPECT_EQ(
      told("esc50.csv", "filename,fold,target,category,esc10,src_file,take\n1-100032-A-0.wav,1,0,dog,True,100032,A\n"),
      Texts{"1-100032-A-0.wav dog"});
}

TEST_F(ListTest, OfSeveralColumnsTheFirstInTheDocumentedOrderCounts) {
  EXPECT_EQ(told("list.csv", "audio,file_name,path\nc.wav,b.wav,a.wav\n"), Texts{"a.wav"});
  EXPECT_EQ(told("list.jsonl",
                 R"({"video_id": "v", "labels": "l", "category": "c", "wav": "b.wav", "id": "i", "file": "a.wav"})"),
            Texts{"i=a.wav l"});
  EXPECT_EQ(told("list.csv", "path,onset,offset,event_label\na.wav,1,3,dog\n"), Texts{"a.wav 1+2 dog"});
  expect_rejected("list.csv", "path,Path\na.wav,b.wav\n", {"list.csv:1", "'path' and 'Path'"});
  expect_rejected("list.jsonl", R"({"File Name": "a.wav", "file_name": "b.wav"})", {"list.jsonl:1", "same column"});
}

TEST_F(ListTest, TimesThatMayBeSamplesAreNotGuessed) {
  expect_rejected("list.csv", "ID,duration,wav,start,stop,spk_id\n1,3,a.wav,0,48000,s\n",
                  {"list.csv:1", "'stop'", "samples"});
  expect_rejected("list.csv", "path,start,length\na.wav,0,48000\n", {"'length'", "samples"});
  expect_rejected("list.csv", "path,frame_offset,num_frames\na.wav,16000,48000\n", {"'frame_offset'", "samples"});
  EXPECT_EQ(told("list.csv", "path,length\na.wav,48000\n"), Texts{"a.wav"});  // of the whole file
}

TEST_F(ListTest, TablesMayBeDividedByTabsSemicolonsAndBars) {
  const Texts expected{"a.wav 1+2 dog,cat", "b c.wav 0+1 say \"hi\""};
  EXPECT_EQ(told("list.tsv", "path\tstart\tduration\tlabels\na.wav\t1\t2\tdog,cat\nb c.wav\t0\t1\tsay \"hi\"\n"),
            expected);
  EXPECT_EQ(told("list.csv", "path;start;duration;labels\na.wav;1;2;dog,cat\nb c.wav;0;1;\"say \"\"hi\"\"\"\n"),
            expected);
  EXPECT_EQ(told("list.txt", "path|start|duration|labels\na.wav|1|2|dog,cat\nb c.wav|0|1|\"say \"\"hi\"\"\"\n"),
            expected);
  EXPECT_EQ(told("list.tsv", "path\tlabels\na.wav\t\"quoted\ttab\"\nb.wav\t\"Hello\" he said\nc.wav\t\"never closed\n"),
            (Texts{"a.wav quoted\ttab", "b.wav \"Hello\" he said", "c.wav \"never closed"}));
  expect_rejected("list.csv", "path;start\na.wav;1,5\n", {"list.csv:2", "'1,5'", "decimal point"});
}

TEST_F(ListTest, LineEndsAndByteOrderMarksDoNotMatter) {
  for (const char* end : {"\n", "\r\n", "\r"}) {
    EXPECT_EQ(told("list.csv", str("\xef\xbb\xbfpath,label", end, "a.wav,dog", end)), Texts{"a.wav dog"});
    EXPECT_EQ(told("list.txt", str("\xef\xbb\xbf"
                                   "a.wav",
                                   end, "b.wav", end)),
              (Texts{"a.wav", "b.wav"}));
    EXPECT_EQ(told("list.jsonl", str("\xef\xbb\xbf{\"wav\": \"a.wav\"}", end, "{\"wav\": \"b.wav\"}", end)),
              (Texts{"a.wav", "b.wav"}));
  }
}

TEST_F(ListTest, FilesThatAreNoTextAreCalledWhatTheyAre) {
  expect_rejected("list.csv", std::string("\xff\xfep\0a\0t\0h\0", 10), {"UTF-16"});
  expect_rejected("list.csv", std::string("p\0a\0t\0h\0", 8), {"UTF-8"});
  expect_rejected("list.csv", "PAR1....PAR1", {"Parquet", "--parquet"});
  expect_rejected("list.csv", "PK\x03\x04....", {"spreadsheet"});
}

TEST_F(ListTest, OnePathALineIsAList) {
  folder_.write("with space, and comma.wav", "x");
  folder_.write("noending", "x");
  for (const char* name : {"list.txt", "list.lst", "list.list", "list.csv", "list.scp", "list"})
    EXPECT_EQ(told(name, "blues/blues.00000.wav\n\nmy file.FLAC \n"), (Texts{"blues/blues.00000.wav", "my file.FLAC"}))
        << name;
  EXPECT_EQ(told("list.txt", "# made by hand\nwith space, and comma.wav\nnoending\n"),
            (Texts{"with space, and comma.wav", "noending"}));
  expect_rejected("list.txt", "a.wav\nb.wav\t3\n", {"list.txt:2", "one a line"});
  expect_rejected("list.txt", "1 a.wav b.wav\n", {"list.txt:1", "'1 a.wav b.wav'"});
  expect_rejected("list.txt", "a.wav\na.wav 3\n", {"list.txt:2", "one a line"});
  expect_rejected("list.csv", "a.wav,dog\nb.wav,cat\n", {"list.csv:1", "'a.wav', 'dog'", "path,labels"});
}

TEST_F(ListTest, PathsMayBeAbsoluteAtHomeOrFileAddresses) {
  ::setenv("HOME", folder_.path().c_str(), 1);
  EXPECT_EQ(told("list.txt", "/abs/a.wav\n~/b.wav\nfile:///abs/c%20d.wav\nfile://localhost/abs/e.wav\n"),
            (Texts{"/abs/a.wav", "~/b.wav=b.wav", "file:///abs/c%20d.wav=/abs/c d.wav",
                   "file://localhost/abs/e.wav=/abs/e.wav"}));
  expect_rejected("list.jsonl", R"({"path": "https://x.org/a.wav"})", {"list.jsonl:1", "address of the net"});
  expect_rejected("list.csv", "path\ns3://bucket/a.wav\n", {"list.csv:2", "s3://bucket/a.wav"});
}

TEST_F(ListTest, TimesThatAreNoneNameTheLine) {
  expect_rejected("list.csv", "path,duration\na.wav,1\nb.wav,0\n", {"list.csv:3", "duration is 0"});
  expect_rejected("list.csv", "path,duration\na.wav,inf\n", {"list.csv:2", "'inf'"});
  expect_rejected("list.csv", "path,start\na.wav,1e999\n", {"list.csv:2", "'1e999'"});
  expect_rejected("list.csv", "path,start\na.wav,nan\n", {"list.csv:2", "'nan'"});
  expect_rejected("list.csv", "path,start\na.wav,1:75\n", {"list.csv:2", "'1:75'"});
  expect_rejected("list.jsonl", R"({"path": "a.wav", "duration": 0})", {"list.jsonl:1", "duration is 0"});
  expect_rejected("list.jsonl", R"({"path": "a.wav", "duration": "long"})", {"list.jsonl:1", "'long'"});
  expect_rejected("list.jsonl", R"({"path": "a.wav", "start": true})", {"list.jsonl:1", "'start'"});
  EXPECT_EQ(told("list.csv", "path,start,end\na.wav,0:01:30.5,1:32\nb.wav, +1.5 ,2\n"),
            (Texts{"a.wav 90.5+1.5", "b.wav 1.5+0.5"}));
  EXPECT_EQ(told("list.jsonl", R"({"path": "a.wav", "start": "1.5", "end": "2"})"), Texts{"a.wav 1.5+0.5"});
}

TEST_F(ListTest, ColumnsThatAreNotEnoughAreListed) {
  expect_rejected("list.csv", "slice_file_name,fsID,start\na.wav,1,2\n",
                  {"list.csv:1", "'slice_file_name', 'fsID', 'start'"});
  expect_rejected("list.jsonl", R"({"text": "x", "speaker": 3})", {"list.jsonl:1", "'speaker', 'text'", "path"});
  expect_rejected("list.csv", "# only comments\n# in this file\n", {"list.csv"});
}

TEST_F(ListTest, JsonDocumentsAreReadAsLinesAre) {
  const Texts expected{"a.wav dog", "b.wav cat,bird"};
  EXPECT_EQ(told("list.json",
                 R"({"data": [{"wav": "a.wav", "labels": "dog"}, {"wav": "b.wav", "labels": ["cat", "bird"]}]})"),
            expected);
  EXPECT_EQ(told("list.json",
                 "{\n \"info\": {\"year\": 2017},\n \"data\": [\n  {\"wav\": \"a.wav\", \"labels\": \"dog\"},\n"
                 "  {\"wav\": \"b.wav\", \"labels\": \"cat,bird\"}\n ]\n}\n"),
            expected);
  EXPECT_EQ(told("list.json",
                 "[\n{\"wav\": \"a.wav\", \"labels\": \"dog\"},\n{\"wav\": \"b.wav\", \"labels\": \"cat,bird\"}]"),
            expected);
  EXPECT_EQ(
      told("list.jsonl", "[{\"wav\": \"a.wav\", \"labels\": \"dog\"}, {\"wav\": \"b.wav\", \"labels\": \"cat,bird\"}]"),
      expected);
  EXPECT_EQ(
      told("list.json", "{\"wav\": \"a.wav\", \"labels\": \"dog\"}\n{\"wav\": \"b.wav\", \"labels\": \"cat,bird\"}\n"),
      expected);
  EXPECT_EQ(
      told("list.txt", "{\"wav\": \"a.wav\", \"labels\": \"dog\"}\n{\"wav\": \"b.wav\", \"labels\": \"cat,bird\"}\n"),
      expected);
  EXPECT_EQ(told("list.json", R"({"one": {"wav": "a.wav"}, "two": {"wav": "b.wav", "id": "2"}})"),
            (Texts{"one=a.wav", "2=b.wav"}));
  EXPECT_EQ(told("list.json", R"(["a.wav", "b.wav"])"), (Texts{"a.wav", "b.wav"}));
  EXPECT_EQ(told("list.json", R"({"path": "a.wav", "label": ["x", 3]})"), Texts{"a.wav x,3"});
  EXPECT_EQ(told("list.jsonl", R"({"audio": {"path": "a.wav", "sampling_rate": 16000}, "label": "x"})"),
            Texts{"a.wav x"});
  EXPECT_EQ(told("list.json", R"({"audio": {"path": "a.wav", "sampling_rate": 16000}, "label": "x"})"),
            Texts{"a.wav x"});
}

TEST_F(ListTest, ErrorsOfJsonDocumentsNameTheEntry) {
  expect_rejected("list.json", R"({"data": [{"wav": "a.wav"}, {"wav": "b.wav", "duration": 0}]})",
                  {"entry 2", "duration is 0"});
  expect_rejected("list.json", R"({"data": [{"wav": "a.wav"}, {"text": "b"}]})", {"entry 2", "'text'"});
  expect_rejected("list.json", R"({"train": [{"wav": "a.wav"}], "test": [{"wav": "b.wav"}]})", {"'train' and 'test'"});
  expect_rejected("list.json", R"({"one": {"wav": "a.wav"}, "two": {"text": "b"}})", {"'two' names no file"});
  expect_rejected("list.json", R"(["a.wav", 7])", {"entry 2"});
  expect_rejected("list.json", R"({"data": [{"wav": "a.wav"})", {"is no JSON"});
  expect_rejected("list.json", "[" + std::string(200, '['), {"100 levels"});
  expect_rejected("list.json", "[]", {"names no clip"});
}

TEST_F(ListTest, LhotsesCutsAndRecordingsAreRead) {
  const std::string recording =
      R"({"id": "rec", "sources": [{"type": "file", "channels": [0], "source": "/d/rec.wav"}], "sampling_rate": 16000, "num_samples": 160000, "duration": 10.0, "channel_ids": [0]})";
  const std::string cut =
      R"({"id": "cut-1", "start": 2.5, "duration": 4.0, "channel": 0, "supervisions": [{"id": "s", "recording_id": "rec", "start": 0.0, "duration": 4.0, "channel": 0, "text": "hi"}], "recording": )" +
      recording + R"(, "type": "MonoCut"})";
  EXPECT_EQ(told("cuts.jsonl", cut + "\n" + cut + "\n"), (Texts{"cut-1=/d/rec.wav 2.5+4", "cut-1=/d/rec.wav 2.5+4"}));
  EXPECT_EQ(told("cuts.json", "[" + cut + "]"), Texts{"cut-1=/d/rec.wav 2.5+4"});
  EXPECT_EQ(told("cuts.json", cut), Texts{"cut-1=/d/rec.wav 2.5+4"});
  EXPECT_EQ(told("recordings.jsonl", recording + "\n"), Texts{"rec=/d/rec.wav"});
  const auto changed = [](std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
  };
  expect_rejected("cuts.jsonl", changed(cut, "MonoCut", "MixedCut"), {"cuts.jsonl:1", "MixedCut"});
  expect_rejected("cuts.jsonl", changed(cut, "\"file\"", "\"command\""), {"cuts.jsonl:1", "'command'"});
  expect_rejected("cuts.jsonl",
                  changed(cut, "\"sampling_rate\"", "\"transforms\": [{\"name\": \"Speed\"}], \"sampling_rate\""),
                  {"cuts.jsonl:1", "transforms"});
  expect_rejected("cuts.jsonl",
                  R"({"id": "c", "start": 0, "duration": 1, "features": {"type": "fbank"}, "type": "MonoCut"})",
                  {"cuts.jsonl:1", "'features'"});
}

TEST_F(ListTest, NemosManifestsMayBeCalledJson) {
  EXPECT_EQ(told("train_manifest.json",
                 "{\"audio_filepath\": \"a.wav\", \"duration\": 2.5, \"text\": \"hi\"}\n"
                 "{\"audio_filepath\": \"b.wav\", \"offset\": 1.0, \"duration\": 3, \"text\": \"\"}\n"),
            (Texts{"a.wav 0+2.5", "b.wav 1+3"}));
}

TEST_F(ListTest, KaldisListsAreReadWithTheirSegments) {
  EXPECT_EQ(told("k/wav.scp", "utt1 audio/one 1.wav\nutt2\t/abs/two.flac\n"),
            (Texts{"utt1=k/audio/one 1.wav", "utt2=/abs/two.flac"}));
  folder_.write("k/segments", "utt1-a utt1 0.5 2.5\nutt2-b utt2 1 -1\n");
  const Texts segments{"utt1-a=k/audio/one 1.wav 0.5+2", "utt2-b=/abs/two.flac 1+-1"};
  EXPECT_EQ(told(load(folder_.path() / "k/wav.scp")), segments);
  EXPECT_EQ(told(load(folder_.path() / "k")), segments);  // the data directory
  EXPECT_EQ(told("k/other.scp", "utt1 a.wav\n"), Texts{"utt1=k/a.wav"});
  EXPECT_EQ(told("k/wav.scp", "utt1 a.wav\nutt2 b.wav\n", "audio"),
            (Texts{"utt1-a=audio/a.wav 0.5+2", "utt2-b=audio/b.wav 1+-1"}));
  expect_rejected("k/wav.scp", "utt1 a.wav\n", {"segments:2", "'utt2'"});
  expect_rejected("p/wav.scp", "utt1 a.wav\nutt2 flac -c -d -s b.flac |\n", {"wav.scp:2", "command", "wav-copy"});
  expect_rejected("p/wav.scp", "utt1 a.ark:1234\n", {"wav.scp:1", "archive of Kaldi"});
  expect_rejected("p/wav.scp", "utt1 a.wav\nutt1 b.wav\n", {"wav.scp:2", "twice"});
  folder_.write("empty/x.txt", "");
  test::expect_usage_error([&] { load(folder_.path() / "empty"); }, {"empty", "wav.scp", "data.root"});
}

TEST_F(ListTest, ListsOfYouTubeIdsFindTheirFiles) {
  for (const char* name : {"v/--4gqARaEJE_000000.wav", "v/Y--BfvyPmVMo.flac", "v/64760.wav"}) folder_.write(name, "x");
  const Texts expected{"--4gqARaEJE=v/--4gqARaEJE_000000.wav dogs, howling"};
  EXPECT_EQ(told("vggsound.csv", "--4gqARaEJE,0,\"dogs, howling\",test\nzzzzzzzzzzz,30,\"x\",train\n", "v"), expected);
  EXPECT_EQ(told("a.csv", "YTID,start_seconds,end_seconds,positive_labels\n--4gqARaEJE,0,10,\"dogs, howling\"\n", "v"),
            expected);
  EXPECT_EQ(told("a.csv", "--4gqARaEJE, 0.000, 10.000, \"dogs, howling\"\n", "v"), expected);
  EXPECT_EQ(told("a.csv", "audiocap_id,youtube_id,start_time,caption\n1,--BfvyPmVMo,20,A dog\n", "v"),
            Texts{"--BfvyPmVMo=v/Y--BfvyPmVMo.flac"});
  EXPECT_EQ(told("dev.csv", "fname,labels,mids,split\n64760,\"Dog,Animal\",\"/m/1\",train\n", "v"),
            Texts{"64760=v/64760.wav Dog,Animal"});
  EXPECT_EQ(read("vggsound.csv", "--4gqARaEJE,0,x,test\nzzzzzzzzzzz,30,x,train\n", "v").unmatched,
            Texts{"zzzzzzzzzzz"});
  expect_rejected("vggsound.csv", "--4gqARaEJE,0,x,test\n", {"data.root"});
}

TEST_F(ListTest, FairseqsListsBeginAtTheirFolder) {
  folder_.write("audio/a.wav", "x");
  const std::string root = (folder_.path() / "audio").string();
  EXPECT_EQ(told("train.tsv", root + "\na.wav\t16000\nb/c.flac\t0\n"),
            (Texts{"a.wav=audio/a.wav", "b/c.flac=audio/b/c.flac"}));
  EXPECT_EQ(told("train.tsv", "/elsewhere\na.wav\t16000\n", "audio"), Texts{"a.wav=audio/a.wav"});
  test::expect_usage_error([&] { read("train.tsv", "/elsewhere\na.wav\t16000\n"); },
                           {"train.tsv:1", "/elsewhere", "data.root"});
  expect_rejected("train.tsv", root + "\na.wav\t16000\nb.wav\n", {"train.tsv:3"});
}

std::string compressed(const std::string& text, int (*filter)(archive*)) {
  std::string bytes(text.size() + 4096, '\0');
  std::size_t used = 0;
  const std::unique_ptr<archive, decltype(&archive_write_free)> writer(archive_write_new(), &archive_write_free);
  filter(writer.get());
  archive_write_set_format_raw(writer.get());
  archive_write_set_bytes_in_last_block(writer.get(), 1);
  archive_write_open_memory(writer.get(), bytes.data(), bytes.size(), &used);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_write_header(writer.get(), entry);
  archive_write_data(writer.get(), text.data(), text.size());
  archive_entry_free(entry);
  archive_write_close(writer.get());
  return bytes.substr(0, used);
}

TEST_F(ListTest, CompressedListsAreUnpacked) {
  const std::string rows = "{\"wav\": \"a.wav\"}\n{\"wav\": \"b.wav\"}\n", table = "path\na.wav\nb.wav\n";
  const Texts expected{"a.wav", "b.wav"};
  EXPECT_EQ(told("l.jsonl.gz", compressed(rows, archive_write_add_filter_gzip)), expected);
  EXPECT_EQ(told("l.csv.gz", compressed(table, archive_write_add_filter_gzip)), expected);
  EXPECT_EQ(told("l.csv.bz2", compressed(table, archive_write_add_filter_bzip2)), expected);
  EXPECT_EQ(told("l.txt.xz", compressed("a.wav\nb.wav\n", archive_write_add_filter_xz)), expected);
  EXPECT_EQ(told("l.jsonl.zst", compressed(rows, archive_write_add_filter_zstd)), expected);
  EXPECT_EQ(told("two.csv.gz", compressed("path\na.wav\n", archive_write_add_filter_gzip) +
                                   compressed("b.wav\n", archive_write_add_filter_gzip)),
            expected);
  const std::string whole = compressed(table + std::string(3000, 'x'), archive_write_add_filter_gzip);
  expect_rejected("cut.csv.gz", whole.substr(0, whole.size() / 2), {"cut.csv.gz", "cannot be unpacked"});
}

}  // namespace
}  // namespace axlstm::data
