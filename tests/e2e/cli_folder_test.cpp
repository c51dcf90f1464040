// Run folders: never overwritten, never half there, resumed only if they are whole.
// SPDX-License-Identifier: MIT
#include "refusal.hpp"

namespace ffzero::test {
namespace {

TEST(RunFolder, ThatExistsIsNotTouched) {
  Workplace place;
  place.write("run/notes.txt", "mine");
  expect_refused(place, train_on(place) + kSmall + Arguments{"--out", "run"}, 2, {"run", "must not exist", "--resume run"});
  EXPECT_EQ(read_file(place.path("run/notes.txt")), "mine");
  EXPECT_EQ(std::distance(fs::directory_iterator(place.path("run")), fs::directory_iterator()), 1);
}

TEST(RunFolder, BelowAFileIsRefusedBeforeTheDataAreLoaded) {
  Workplace place;
  place.write("file", "mine");
  expect_refused(place, {"train", "--dataset", "mnist", "--out", "file/run"}, 8, {"file/run", "creatable", "not a folder", "--out"});
  EXPECT_EQ(read_file(place.path("file")), "mine");
}

TEST(RunFolder, ThatCannotBeMadeIsAnOutputError) {
  Workplace place;
  expect_refused(place, train_on(place) + kSmall + Arguments{"--out", "/proc/ffzero/run"}, 8, {"/proc/ffzero/run", "creatable", "--out"});
}

TEST(RunFolder, InAReadOnlyFolderIsRefused) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  Workplace place;
  fs::create_directory(place.path("locked"));
  fs::permissions(place.path("locked"), fs::perms::owner_read | fs::perms::owner_exec);
  expect_refused(place, {"train", "--dataset", "mnist", "--out", "locked/run"}, 8, {"locked/run", "read-only", "--out"});
  fs::permissions(place.path("locked"), fs::perms::owner_all);
}

// Principal components of constant features: only looking at the samples shows that there are none.
TEST(RunFolder, OfSamplesThatCannotBeTrainedOnDoesNotStay) {
  Workplace place;
  NpzArchive archive = sample_archive();
  for (const char* name : {"x_train", "x_test"}) {
    const auto shape = archive.at(name).shape;
    archive[name] = NpyArray::of<float>(std::vector<float>(archive.at(name).to<float>().size(), 0.5F), shape);
  }
  const Arguments constant = train_on(place, archive) + Arguments{"--solver", "ff_dd", "--layers", "12", "--set", "model.pca=[2]"};
  expect_no_run(place, constant, 4, {"model.pca", "differ", "the same for all samples"});
  // A folder that was there before the command stays, without what the command put there.
  fs::create_directory(place.path("mine"));
  expect_refused(place, constant + Arguments{"--out", "mine"}, 4, {"model.pca"});
  EXPECT_FALSE(fs::exists(place.path("mine/checkpoint.npz")));
  // Without --out: the next number is free again.
  expect_refused(place, constant, 4, {"model.pca"});
  EXPECT_FALSE(fs::exists(place.path("runs/npz-ff_dd")));
}

TEST(RunFolder, OnAFullDiskIsAnOutputErrorAndLeavesNothing) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall + Arguments{"--out", "run"};
  const Outcome outcome = place.start(train, 4096).wait();  // the checkpoint alone is larger
  EXPECT_EQ(outcome.code, 8) << outcome.err;
  EXPECT_NE(outcome.err.find("checkpoint.npz"), std::string::npos) << outcome.err;
  EXPECT_EQ(lines_of(outcome.err).size(), 1U) << outcome.err;
  EXPECT_FALSE(fs::exists(place.path("run")));
}

TEST(StandardOutput, ThatIsFullIsAnOutputError) {
  Workplace place;
  const Outcome outcome = place.start({"keys"}, 0, "/dev/full").wait();
  EXPECT_EQ(outcome.code, 8);
  EXPECT_NE(outcome.err.find("standard output"), std::string::npos) << outcome.err;
}

TEST(Resume, OfAFinishedRunSaysSoAndChangesNothing) {
  Workplace place;
  const auto whole = succeed(place, train_on(place) + kSmall + Arguments{"--out", "run", "--json"});
  const auto before = fs::last_write_time(place.path("run/checkpoint.npz"));
  const auto again = succeed(place, {"train", "--resume", "run", "--json"});
  EXPECT_EQ(again.out, whole.out);
  EXPECT_NE(again.err.find("finished"), std::string::npos) << again.err;
  EXPECT_EQ(fs::last_write_time(place.path("run/checkpoint.npz")), before);
}

TEST(Resume, TakesNoFurtherSettings) {
  Workplace place;
  expect_refused(place, {"train", "--resume", "run", "--lr", "1e-3"}, 2, {"--resume", "further settings", "start a new run"});
}

// A run that was stopped, so that resuming it reads everything.
class StoppedRun : public ::testing::Test {
 protected:
  void SetUp() override {
    succeed(place_, train_on(place_) + kSmall + Arguments{"--out", "run"});
    fs::remove(place_.path("run/summary.json"));
    whole_ = read_npz(place_.path("run/checkpoint.npz"));
  }
  nlohmann::json meta() const {
    const auto bytes = whole_.at("meta").to<std::uint8_t>();
    return nlohmann::json::parse(bytes.begin(), bytes.end());
  }
  void write(NpzArchive archive, const nlohmann::json& meta) const {
    const std::string text = meta.dump();
    archive["meta"] = NpyArray::of<std::uint8_t>({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, {isize(text.size())});
    write_npz(place_.path("run/checkpoint.npz"), archive);
  }
  // Every command that reads a checkpoint refuses it in the same way.
  void expect_bad_checkpoint(const std::vector<std::string>& parts) {
    for (const Arguments& command : {Arguments{"train", "--resume", "run"}, Arguments{"eval", "run"}, Arguments{"inspect", "run"},
                                     Arguments{"predict", "run", "data.npz"}})
      expect_refused(place_, command, 4, parts + std::vector<std::string>{"run"});
  }
  Workplace place_;
  NpzArchive whole_;
};

TEST_F(StoppedRun, IsRefusedWithoutACheckpoint) {
  fs::remove(place_.path("run/checkpoint.npz"));
  expect_bad_checkpoint({"checkpoint"});
  expect_refused(place_, {"train", "--resume", "nowhere"}, 4, {"nowhere", "run folder"});
}

TEST_F(StoppedRun, IsRefusedWithATruncatedCheckpoint) {
  const std::string bytes = read_file(place_.path("run/checkpoint.npz"));
  place_.write("run/checkpoint.npz", bytes.substr(0, bytes.size() - 100));
  expect_bad_checkpoint({"checkpoint.npz"});
}

TEST_F(StoppedRun, IsRefusedWithAnotherArchitecture) {
  whole_["layer0.theta"] = NpyArray::of<float>(std::vector<float>(7, 1.0F), {7});
  write(whole_, meta());
  expect_bad_checkpoint({"layer0.theta", "7", "architecture"});
}

TEST_F(StoppedRun, IsRefusedWithAMissingArray) {
  whole_.erase("layer1.theta");
  write(whole_, meta());
  expect_bad_checkpoint({"layer1.theta", "architecture"});
}

TEST_F(StoppedRun, IsRefusedWithAnotherVersion) {
  nlohmann::json other = meta();
  other["format"] = 99;
  write(whole_, other);
  expect_bad_checkpoint({"format", "99", "version"});
}

TEST_F(StoppedRun, IsRefusedWithSettingsOfAnotherVersion) {
  nlohmann::json other = meta();
  other["config"] = "[training]\nwarp = 9\n";
  write(whole_, other);
  expect_bad_checkpoint({"training.warp", "version"});
}

TEST_F(StoppedRun, IsRefusedWithAnyMemberOfItsMetaGoneOrOfAnotherType) {
  const nlohmann::json whole = meta();
  for (const auto& [name, value] : whole.items()) {
    nlohmann::json without = whole, wrong = whole;
    without.erase(name);
    wrong[name] = nlohmann::json::object({{"not", "this"}});
    for (const auto& spoilt : {without, wrong}) {
      // Checkpoints of before have neither: then the last layer decides, and nobody knows what computed it.
      if ((name == "deciding_layer" || name == "arithmetic") && spoilt == without) continue;
      write(whole_, spoilt);
      expect_refused(place_, {"train", "--resume", "run"}, 4, {"checkpoint.npz"});
    }
  }
}

TEST_F(StoppedRun, IsRefusedWhenItsDataHaveChanged) {
  train_on(place_, sample_archive({.train = 330}));
  expect_refused(place_, {"train", "--resume", "run"}, 4, {"320 samples", "330"});
}

// Losses that do not see the length of the parameters stay finite.
TEST(Divergence, IsSeenWithTheDefaultPresetToo) {
  Workplace place;
  expect_refused(place, train_on(place) + kSmall + Arguments{"--lr", "1e9", "--out", "run"}, 7,
                 {"dense0", "times their first length", "update.lr", "1e+09", "checkpoint"});
  EXPECT_FALSE(fs::exists(place.path("run/summary.json")));
  succeed(place, {"eval", "run"});
}

TEST(Divergence, StopsAtOnceNamesTheKeyAndKeepsTheCheckpoint) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall +
                          Arguments{"--solver", "bp_ad", "--preset", "paper", "--set", "update.rule=sgd", "--lr", "1e9", "--out", "run"};
  expect_refused(place, train, 7, {"finite", "update.lr", "1e+09", "checkpoint"});
  EXPECT_FALSE(fs::exists(place.path("run/summary.json")));
  for (const auto& [name, array] : read_npz(place.path("run/checkpoint.npz"))) {
    if (!name.starts_with("layer")) continue;
    for (const float v : array.to<float>()) ASSERT_TRUE(std::isfinite(v)) << name;
  }
  EXPECT_NE(read_file(place.path("run/log.txt")).find("update.lr"), std::string::npos);
  succeed(place, {"inspect", "run"});
}

}  // namespace
}  // namespace ffzero::test
