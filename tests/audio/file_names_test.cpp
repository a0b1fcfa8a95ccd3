#include "axlstm/audio/file_names.h"

#include <gtest/gtest.h>

#include "support/tmpdir.h"

namespace axlstm::audio {
namespace {

namespace fs = std::filesystem;

TEST(AudioExtension, IsRecognisedInAnyCase) {
  for (const char* name : {"a.wav", "a.WAV", "b/c.flac", "x.y.opus", "a.mp3", "a.oga", "a.wave", "a.aifc", "a.caf",
                           "a.sph", "a.snd", "a.voc", "a.rf64", "a.bwf", "a.mp2"})
    EXPECT_TRUE(has_audio_extension(name)) << name;
  for (const char* name : {"wav", ".wav", "a.txt", "a.wav.part", ""}) EXPECT_FALSE(has_audio_extension(name)) << name;
}

TEST(AudioExtension, WhatIsNotDecodedIsSoundLike) {
  for (const char* name : {"a.m4a", "a.MP4", "a.webm", "a.aac"})
    EXPECT_NE(has_audio_extension(name), has_sound_like_extension(name)) << name;
  EXPECT_TRUE(has_sound_like_extension("a.mid"));
  for (const char* name : {"a.wav", "a.txt", "a.json", "a"}) EXPECT_FALSE(has_sound_like_extension(name)) << name;
}

TEST(Litter, IsWhatSystemsAndToolsLeaveBehind) {
  for (const char* name : {"._x.wav", "a/._x.wav", "__MACOSX/a/x.wav", ".git/annex/x.wav", ".Trash-1000/files/x.wav",
                           "a/@eaDir/x.wav/SYNOAUDIO", ".ipynb_checkpoints/x.wav", "$RECYCLE.BIN/x.wav", ".DS_Store"})
    EXPECT_TRUE(is_litter(name)) << name;
  for (const char* name : {"x.wav", "./x.wav", "../x.wav", "a/_x.wav", "-id_1.wav", "a.b/x.wav", "MACOSX/x.wav", ""})
    EXPECT_FALSE(is_litter(name)) << name;
}

TEST(ListAudioFiles, LeavesLitterOutAndCountsWhatItPassesOver) {
  const test::TemporaryFolder folder;
  for (const char* name : {"b.wav", "a/c.flac", "a/._c.flac", "__MACOSX/a/._b.wav", ".git/annex/k.wav", "x.mid",
                           "y.mid", "notes.txt", "._z.mid"})
    folder.write(name, "x");
  fs::create_symlink("../.git/annex/nowhere.wav", folder.path() / "a" / "lost.wav");
  fs::create_symlink("nowhere.txt", folder.path() / "lost.txt");
  const AudioFiles found = list_audio_files(folder.path());
  EXPECT_EQ(found.files, (std::vector<fs::path>{folder.path() / "a/c.flac", folder.path() / "b.wav"}));
  EXPECT_EQ(found.passed_over.by_extension, (std::map<std::string, std::int64_t>{{".mid", 2}}));
  EXPECT_EQ(found.passed_over.dead_links, std::vector<std::string>{(folder.path() / "a/lost.wav").string()});
  const std::string text = found.passed_over.description();
  for (const char* part : {"2 .mid", "1 link without a target", "lost.wav", "git annex get"})
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

TEST(ListAudioFiles, AFolderThatIsItselfHiddenIsTaken) {
  const test::TemporaryFolder folder;
  folder.write(".cache/set/x.wav", "x");
  EXPECT_EQ(list_audio_files(folder.path() / ".cache").files.size(), 1);
}

TEST(PassedOver, HasNothingToSayWhereNothingWas) {
  EXPECT_TRUE(PassedOver{}.empty());
  EXPECT_EQ(PassedOver{}.description(), "");
}

}  // namespace
}  // namespace axlstm::audio
