#include "../src/embed/embedding_pieces.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>

#include "axlstm/core/files.h"
#include "support/tmpdir.h"

namespace axlstm::embed {
namespace {

namespace fs = std::filesystem;

using Damage = std::function<void(std::string&)>;

class EmbeddingPiecesTest : public testing::Test {
 protected:
  /// Three files: of two frames, of one, of two.
  void SetUp() override { save(); }

  void save() const {
    std::vector<FileEmbedding> embedded;
    for (const std::int64_t frames : {2, 1, 2}) {
      FileEmbedding file{torch::full({frames, 4}, 0.1 + static_cast<double>(frames)), {}};
      for (std::int64_t frame = 0; frame < frames; ++frame)
        file.timestamps_ms.push_back(100.5 * static_cast<double>(frame));
      embedded.push_back(std::move(file));
    }
    pieces_.save("train", 0, embedded);
  }

  /// Replaces the piece by a damaged one, and expects that it is passed over with a warning of file and `reason`.
  void expect_passed_over(const std::string& name, const Damage& damage, const std::string& reason) const {
    save();
    const fs::path file = folder_.path() / name;
    std::string bytes = read_file(file);
    damage(bytes);
    write_file_atomic(file, bytes);
    expect_warning(file.string(), reason);
  }

  void expect_warning(const std::string& file, const std::string& reason) const {
    testing::internal::CaptureStderr();
    const auto loaded = pieces_.load("train", 0, 3);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_FALSE(loaded) << reason;
    for (const std::string& part : {file, reason, std::string("3 files are embedded again")}) {
      EXPECT_NE(said.find(part), std::string::npos) << "'" << said << "' lacks '" << part << "'";
    }
  }

  test::TemporaryFolder folder_;
  EmbeddingPieces pieces_{folder_.path()};
  const std::string index_ = "train.0.json", floats_ = "train.0.floats";
};

TEST_F(EmbeddingPiecesTest, WhatIsSavedIsLoaded) {
  const auto loaded = pieces_.load("train", 0, 3);
  ASSERT_TRUE(loaded);
  ASSERT_EQ(loaded->size(), 3U);
  EXPECT_TRUE((*loaded)[1].embedding.equal(torch::full({1, 4}, 1.1)));
  EXPECT_TRUE((*loaded)[2].embedding.equal(torch::full({2, 4}, 2.1)));
  EXPECT_EQ((*loaded)[2].timestamps_ms, (std::vector<double>{0.0, 100.5}));
  EXPECT_FALSE(pieces_.load("train", 1, 3));
  EXPECT_FALSE(pieces_.load("valid", 0, 3));
}

TEST_F(EmbeddingPiecesTest, ADamagedIndexIsNamed) {
  const std::vector<std::pair<std::string, Damage>> damages{
      {"not valid JSON", [](std::string& bytes) { bytes.clear(); }},
      {"not valid JSON", [](std::string& bytes) { bytes.resize(bytes.size() / 2); }},
      {"not valid JSON", [](std::string& bytes) { bytes.assign(200, '\xff'); }},
      {"an object is needed", [](std::string& bytes) { bytes = "[1, 2, 3]"; }},
      {"lacks what a piece has", [](std::string& bytes) { bytes = "{}"; }},
      {"lacks what a piece has", [](std::string& bytes) { bytes = R"({"files": [], "files_fnv1a64": 7})"; }},
      {"checksum", [](std::string& bytes) { bytes.replace(bytes.find("100.5"), 5, "101.5"); }}};
  for (const auto& [reason, damage] : damages) expect_passed_over(index_, damage, reason);
}

TEST_F(EmbeddingPiecesTest, AnIndexThatClaimsTooMuchGetsNoMemory) {
  const auto claim = [](const std::string& files) -> Damage {
    return [files](std::string& bytes) {
      bytes = R"({"files":)" + files + R"(,"files_fnv1a64":")" + fnv1a64_hex(files) + R"(","floats_fnv1a64":""})";
    };
  };
  const std::string small = R"({"shape":[1],"timestamps_ms":[]})";
  const auto with = [&](const std::string& shape) {
    return claim("[" + small + "," + small + R"(,{"shape":)" + shape + R"(,"timestamps_ms":[]}])");
  };
  expect_passed_over(index_, claim("[" + small + "]"), "is of 1 files, 3 are needed");
  expect_passed_over(index_, with("[-3,2]"), "claims a size of -3");
  expect_passed_over(index_, with("[4294967296,4294967296]"), "claims a size of 4294967296");
  expect_passed_over(index_, with("[9223372036854775807]"), "claims too many values");
  expect_passed_over(index_, with("[]"), "without a size");
  save();
  const fs::path index = folder_.path() / index_;
  std::string bytes = read_file(index);
  with("[1000000000000]")(bytes);
  write_file_atomic(index, bytes);
  expect_warning((folder_.path() / floats_).string(), "float32 values are expected");
}

TEST_F(EmbeddingPiecesTest, DamagedFloatsAreNamed) {
  const auto flip = [](std::string& bytes) { bytes[bytes.size() / 2] ^= 1; };
  expect_passed_over(
      floats_, [](std::string& bytes) { bytes.clear(); }, "float32 values are expected");
  expect_passed_over(
      floats_, [](std::string& bytes) { bytes.resize(bytes.size() - 4); }, "float32 values are expected");
  expect_passed_over(floats_, flip, "checksum");
  save();
  fs::remove(folder_.path() / floats_);
  expect_warning((folder_.path() / floats_).string(), "No such file");
  save();  // a new piece takes the place of the damaged one
  EXPECT_TRUE(pieces_.load("train", 0, 3));
}

}  // namespace
}  // namespace axlstm::embed
