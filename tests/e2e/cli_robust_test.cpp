// What happens around a run: streams that are closed or full, folders of others, files that never end, hostile settings.
// SPDX-License-Identifier: MIT
#include <sys/stat.h>

#include <csignal>

#include "compare_runs.hpp"
#include "refusal.hpp"

namespace ffzero::test {
namespace {

std::string words(const Arguments& arguments) {
  std::string line;
  for (const auto& word : arguments) line += " '" + word + "'";
  return line;
}

Arguments loud(Arguments train) {
  std::erase(train, "--quiet");
  return train;
}

std::string small_study(const std::string& data) {
  return "base = { dataset.name = \"npz\", dataset.dir = \"" + data + "\", model.layers = [12, 6], training.epochs = 1 }\n";
}

TEST(Streams, ThatAreLostDoNotEndARun) {
  const Workplace place;
  const std::string train = "$P" + words(loud(train_on(place)) + kSmall) + " --out ";
  for (const auto& [name, lost] : {std::pair{"full", "2>/dev/full"}, std::pair{"closed", "2>&-"}, std::pair{"pipe", "2>&1 | true"}}) {
    shell(place, train + name + " " + lost);
    EXPECT_TRUE(fs::exists(place.path(name) / "summary.json")) << name;
  }
  EXPECT_EQ(shell(place, train + "again 2>/dev/full").code, 0);
  EXPECT_EQ(shell(place, "$P inspect nowhere 2>/dev/full").code, 4) << "errors keep their code";
  EXPECT_EQ(shell(place, "$P keys >/dev/full").code, 8);
  EXPECT_EQ(shell(place, "$P keys >&-").code, 8);
}

TEST(Streams, ThatAreLostDoNotEndAStudy) {
  const Workplace place;
  train_on(place);
  place.write("study.toml", small_study("data.npz"));
  for (const auto& [name, lost] : {std::pair{"full", "2>/dev/full"}, std::pair{"closed", "2>&-"}}) {
    EXPECT_EQ(shell(place, std::string("$P sweep study.toml --out ") + name + " " + lost).code, 0) << name;
    EXPECT_TRUE(fs::exists(place.path(name) / "table.json")) << name;
  }
}

// The tests may run under nohup themselves: what a process starts inherits that it is ignored.
class Hangup : public ::testing::Test {
 protected:
  void TearDown() override { std::signal(SIGHUP, before_); }

  // A run that is told, after its first epochs, that its terminal is gone.
  Outcome hang_up(void (*how)(int), const std::string& run, const std::string& epochs) {
    std::signal(SIGHUP, how);
    const auto running = place_.start(train_on(place_) + Arguments{"--layers", "12,6", "--threads", "1", "--epochs", epochs, "--set",
                                                                   "training.save_every_s=0", "--out", run});
    EXPECT_TRUE(eventually([&] { return fs::exists(place_.path(run) / "checkpoint.npz"); }));
    running.signal(SIGHUP);
    return running.wait();
  }

  Workplace place_;

 private:
  void (*before_)(int) = std::signal(SIGHUP, SIG_DFL);
};

TEST_F(Hangup, SavesARun) {
  const Outcome outcome = hang_up(SIG_DFL, "run", "100000");
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_NE(outcome.err.find("interrupted and saved; go on with: ffzero train --resume run"), std::string::npos) << outcome.err;
}

TEST_F(Hangup, DoesNothingToARunThatIgnoresIt) {
  EXPECT_EQ(hang_up(SIG_IGN, "run", "40").code, 0);
  EXPECT_TRUE(fs::exists(place_.path("run") / "summary.json"));
}

TEST(Study, WhoseRunFailsSaysSoThoughItIsQuiet) {
  Workplace place;
  const Outcome outcome = place.run({"sweep", place.write("study.toml", small_study("missing.npz")).string(), "--quiet", "--out", "study"});
  EXPECT_EQ(outcome.code, 6);
  EXPECT_EQ(lines_of(outcome.err).size(), 1U) << outcome.err;
  EXPECT_NE(outcome.err.find("missing.npz: must be a .npz file"), std::string::npos) << outcome.err;
}

TEST(Reproduce, SaysHowToGoOnWithTheFolderOfItsData) {
  Workplace place;
  fs::create_directory(place.path("my data"));
  const auto running = place.start({"reproduce", "--quick", "--jobs", "1", "--data-dir", "my data", "--out", "r"});
  ASSERT_TRUE(eventually([&] { return fs::exists(place.path("r/runs")) && !fs::is_empty(place.path("r/runs")); }));
  running.signal(SIGINT);
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.code, 130);
  EXPECT_NE(outcome.err.find("go on with: ffzero reproduce --quick --data-dir 'my data' --out r"), std::string::npos) << outcome.err;
}

TEST(Reproduce, GoesOnWithTheStudyOfImperfectChips) {
  Workplace place;
  const auto finished = [&] {
    int count = 0;
    if (fs::exists(place.path("r/runs")))
      for (const auto& run : fs::directory_iterator(place.path("r/runs"))) count += fs::exists(run.path() / "summary.json") ? 1 : 0;
    return count;
  };
  const auto interrupted = [&](int more) {
    const int before = finished();
    const auto running = place.start({"reproduce", "imperfect", "--quick", "--jobs", "1", "--data-dir", "none", "--out", "r"});
    EXPECT_TRUE(eventually([&] { return finished() >= before + more; }));
    running.signal(SIGINT);
    return running.wait();
  };
  const Outcome first = interrupted(1);
  EXPECT_EQ(first.code, 130);
  EXPECT_NE(first.err.find("go on with: ffzero reproduce imperfect --quick --data-dir none --out r"), std::string::npos) << first.err;
  const Outcome second = interrupted(1);
  EXPECT_NE(second.err.find("finished before"), std::string::npos) << second.err;
  test::expect_refused(place, {"reproduce", "perfect"}, 2, {"perfect"});
}

TEST(Report, IsDrawnOnResumeIfTheRunWasKilledWhileDrawing) {
  Workplace place;
  Arguments train = train_on(place) + kSmall;
  std::erase(train, "--no-report");
  const auto running = place.start(train + Arguments{"--out", "run"});
  ASSERT_TRUE(eventually([&] { return fs::exists(place.path("run/summary.json")); }));
  running.signal(SIGKILL);
  static_cast<void>(running.wait());
  // However far it came: the page is the last of it.
  fs::remove(place.path("run/report.html"));
  const std::string checkpoint = read_file(place.path("run/checkpoint.npz"));
  succeed(place, {"train", "--quiet", "--resume", "run"});
  EXPECT_TRUE(fs::exists(place.path("run/report.html")));
  EXPECT_EQ(read_file(place.path("run/checkpoint.npz")), checkpoint);
}

TEST(Folders, ThatAreChosenAtOnceAreDifferent) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall;
  std::vector<Workplace::Running> running;
  for (int i = 0; i < 4; ++i) running.push_back(place.start(train));
  for (const auto& process : running) EXPECT_EQ(process.wait().code, 0);
  int finished = 0;
  for (const auto& entry : fs::directory_iterator(place.path("runs"))) finished += fs::exists(entry.path() / "summary.json") ? 1 : 0;
  EXPECT_EQ(finished, 4);
}

TEST(Components, OfSamplesThatAreAllTheSameAreRefused) {
  Workplace place;
  for (const Index side : {Index{5}, Index{1}}) {
    NpzArchive archive = sample_archive({.shape = {side, side}, .bytes = true});
    for (const char* name : {"x_train", "x_test"}) std::fill(archive[name].bytes.begin(), archive[name].bytes.end(), std::byte{9});
    const Arguments train = train_on(place, archive) + kSmall;
    const std::string size = std::to_string(side);
    expect_refused(place, train + Arguments{"--solver", "ff_dd", "--out", "dd" + size}, 4, {"model.pca", "differ from sample to sample"});
    expect_refused(place, train + Arguments{"--set", "model.pca=[1,1]", "--out", "pca" + size}, 4, {"model.pca", "differ from sample"});
    succeed(place, train + Arguments{"--out", "run" + size});
  }
}

TEST(Toml, WithAKeyOfManyPartsIsRefused) {
  Workplace place;
  std::string key = "a";
  for (int i = 0; i < 40000; ++i) key += ".a";
  place.write("deep.toml", key + " = 1\n");
  place.write("lists.toml", "x = " + std::string(5000, '[') + "\n");
  place.write("study.toml", "[base]\n" + key + " = 1\n");
  expect_refused(place, {"train", "deep.toml"}, 3, {"deep.toml:1", "parts"});
  expect_refused(place, {"train", "lists.toml"}, 3, {"lists.toml:1", "nest"});
  expect_refused(place, {"sweep", "study.toml"}, 3, {"study.toml:2", "parts"});
}

TEST(CutOffRun, StartsOverByTheSameCommandAndByResume) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall;
  succeed(place, train + Arguments{"--out", "whole"});
  for (const char* folder : {"same", "resumed"}) {
    fs::create_directory(place.path(folder));
    fs::copy(place.path("whole/config.toml"), place.path(folder) / "config.toml");
    place.write(fs::path(folder) / "checkpoint.npz.part-1-0", "half");
  }
  succeed(place, train + Arguments{"--out", "same"});
  succeed(place, {"train", "--quiet", "--no-report", "--resume", "resumed"});
  expect_same_run(place.path("whole"), place.path("same"));
  expect_same_run(place.path("whole"), place.path("resumed"));
}

TEST(FolderOfOthers, IsNeverWrittenInto) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall;
  // Settings of one's own in the folder of the run; a log of another program; files whose names are ours by chance.
  place.write("settings/config.toml", "# mine\ntraining.epochs = 2\n");
  place.write("log/log.txt", "mine\n");
  place.write("part/notes.part-1-0", "mine\n");
  place.write("metrics/metrics.jsonl", "");
  for (const char* folder : {"settings", "log", "part", "metrics"}) {
    expect_refused(place, train + Arguments{"--out", folder}, 2, {folder, "must not exist"});
    expect_refused(place, {"train", "--resume", folder}, 4, {folder, "checkpoint"});
    EXPECT_EQ(std::distance(fs::directory_iterator(place.path(folder)), fs::directory_iterator()), 1) << folder;
  }
  EXPECT_EQ(read_file(place.path("settings/config.toml")), "# mine\ntraining.epochs = 2\n");
  fs::create_directory(place.path("empty"));
  succeed(place, train + Arguments{"--out", "empty"});
  EXPECT_TRUE(fs::exists(place.path("empty/summary.json")));
}

TEST(LastCheckpoint, IsTheSameAfterAKillBeforeTheSummary) {
  Workplace place;
  const Arguments train = train_on(place) + Arguments{"--layers", "12,6", "--batch-size", "32", "--threads", "1", "--solver", "ff_ad"};
  const Arguments plateau{"--epochs", "6", "--set", "update.schedule=plateau"}, budget{"--epochs", "3", "--budget", "500"};
  for (const auto& [name, more] : {std::pair{"plateau", plateau}, std::pair{"budget", budget}}) {
    succeed(place, train + more + Arguments{"--out", name});
    const std::string before = read_file(place.path(name) / "checkpoint.npz");
    fs::remove(place.path(name) / "summary.json");
    succeed(place, {"train", "--quiet", "--no-report", "--resume", name});
    EXPECT_EQ(read_file(place.path(name) / "checkpoint.npz"), before) << name;
    EXPECT_TRUE(fs::exists(place.path(name) / "summary.json"));
  }
}

TEST(Lock, KeepsASecondWriterOutAndEndsWithItsProcess) {
  Workplace place;
  const Arguments train = train_on(place) + Arguments{"--layers", "64,64", "--epochs", "4000", "--batch-size", "4", "--threads", "1"};
  const auto running = place.start(train + Arguments{"--out", "run"});
  ASSERT_TRUE(eventually([&] { return fs::exists(place.path("run/checkpoint.npz")); }));
  expect_refused(place, {"train", "--resume", "run"}, 2, {"run", "one process", "process ", " on host "});
  expect_refused(place, train + Arguments{"--out", "run"}, 2, {"run", "one process", "process ", " on host "});
  running.signal(SIGKILL);
  EXPECT_EQ(running.wait().code, 1000 + SIGKILL);
  const auto resumed = place.start({"train", "--quiet", "--no-report", "--resume", "run"});
  ASSERT_TRUE(eventually([&] { return read_file(place.path("run/log.txt")).find("going on with") != std::string::npos; }));
  resumed.signal(SIGINT);
  EXPECT_EQ(resumed.wait().code, 130);
  EXPECT_FALSE(fs::exists(place.path("run/.lock")));
  place.write("run/.lock", "elsewhere.example 1\n");
  expect_refused(place, {"train", "--resume", "run"}, 2, {"elsewhere.example", "remove run/.lock"});
}

TEST(Paths, ThatCannotBeUsedAreOutputErrors) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall;
  expect_refused(place, train + Arguments{"--out", std::string(300, 'a')}, 8, {"creatable"});
  fs::create_symlink("runs", place.path("runs"));
  expect_refused(place, train, 8, {"runs"});
}

TEST(Refused, CommandsWriteIntoNoFolder) {
  Workplace place;
  place.write("mine/notes.txt", "mine");
  expect_refused(place, train_on(place) + Arguments{"--out", "mine", "--set", "bogus.key=1"}, 2, {"mine", "must not exist"});
  expect_refused(place, {"train", "--resume", "mine"}, 4, {"mine", "checkpoint"});
  expect_refused(place, {"sweep", place.write("s.toml", "[base]\n").string(), "--out", "mine"}, 2, {"mine"});
  EXPECT_EQ(std::distance(fs::directory_iterator(place.path("mine")), fs::directory_iterator()), 1);
}

TEST(Files, ThatNeverEndAreRefusedAtOnce) {
  Workplace place;
  ASSERT_EQ(::mkfifo(place.path("pipe").c_str(), 0600), 0);
  expect_refused(place, {"train", "pipe"}, 3, {"pipe", "a pipe"});
  expect_refused(place, {"sweep", "pipe"}, 3, {"pipe", "a pipe"});
  expect_refused(place, {"train", "/dev/zero"}, 3, {"/dev/zero", "a device"});
  succeed(place, train_on(place) + kSmall + Arguments{"--out", "run"});
  fs::remove(place.path("run/metrics.jsonl"));
  ASSERT_EQ(::mkfifo(place.path("run/metrics.jsonl").c_str(), 0600), 0);
  expect_refused(place, {"report", "run"}, 4, {"metrics.jsonl", "a pipe"});
  expect_refused(place, {"predict", "run", "pipe"}, 4, {"pipe"});
}

TEST(Files, ThatGrowBeyondALimitAreAnOutputErrorAndLeaveNothing) {
  const Workplace place;
  const Outcome outcome = shell(place, "ulimit -f 1; $P" + words(train_on(place)) + " --layers 100,100 --out run");
  EXPECT_EQ(outcome.code, 8) << outcome.err;
  EXPECT_FALSE(fs::exists(place.path("run")));
  for (const auto& entry : fs::directory_iterator(place.path(""))) EXPECT_FALSE(entry.path().filename().string().ends_with(".unborn"));
}

TEST(Sizes, ThatNoMachineTrainsAreRefusedBeforeAnythingIsBuilt) {
  Workplace place;
  const Arguments images = train_on(place, sample_archive(kImages));
  const auto start = std::chrono::steady_clock::now();
  expect_no_run(place, images + Arguments{"--model", "cnn", "--set", "model.conv.channels=[65536,65536]"}, 3,
                {"model.conv.channels", "at most"});
  expect_no_run(place, train_on(place) + Arguments{"--layers", "1000000,1000000"}, 3, {"model.layers", "at most"});
  std::string many = "10";
  for (int i = 0; i < 2000; ++i) many += ",10";
  expect_no_run(place, train_on(place) + Arguments{"--layers", many}, 3, {"model.layers", "entries"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(AddressSpace, ThatIsLimitedEndsInAResultOrInOneLine) {
  const Workplace place;
  const std::string train = "$P" + words(train_on(place) + kSmall);
  if (shell(place, "ulimit -v 400000; $P --version").code != 0) GTEST_SKIP() << "the program needs more addresses: it is sanitized";
  for (const char* limit : {"100000", "200000", "400000"}) {
    const Outcome outcome = shell(place, std::string("ulimit -v ") + limit + "; timeout -k 1 20 " + train + " --out run" + limit);
    EXPECT_TRUE(outcome.code == 0 || (outcome.code == 3 && lines_of(outcome.err).size() == 1))
        << limit << ": " << outcome.code << outcome.err;
  }
}

TEST(Messages, HoldWhatOthersSaidInOneLineOfSomeLength) {
  Workplace place;
  expect_refused(place, train_on(place) + Arguments{"--set", "update.rule=a\x1b[31m\nb\xff"}, 3, {"\\n", "update.rule"});
  const Outcome outcome = place.run(train_on(place) + Arguments{"--set", "update.rule=" + std::string(100000, 'x')});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_LT(outcome.err.size(), 3000U);
}

TEST(Usage, EmptyValuesAndValuesOfFlagsAreRefused) {
  Workplace place;
  for (const char* option : {"--resume", "--out", "--solver"}) expect_refused(place, {"train", option, ""}, 2, {"must not be empty"});
  expect_refused(place, {"train", "--json=3"}, 2, {"--json takes no value"});
  EXPECT_FALSE(fs::exists(place.path("runs")));
}

TEST(Studies, ThatCannotRunAreRefusedBeforeTheyDo) {
  Workplace place;
  const auto study = [&](const std::string& text) { return Arguments{"sweep", place.write("s.toml", text).string(), "--out", "s"}; };
  expect_refused(place, study("seeds = [-1]\n"), 3, {"seeds", "-1"});
  expect_refused(place, study("name = \"../../x\"\n"), 3, {"name", "../../x"});
  expect_refused(place, study("name = \"a\\u001b[31mb\"\n"), 3, {"name", "without a path"});
  expect_refused(place, study("seeds = [3, 1, 3]\n"), 3, {"seeds", "each seed once", "3 twice"});
  expect_refused(place, study("name = 1\n"), 3, {"name", "text"});
  expect_refused(place, study("base = {seed = \"x\"}\n"), 3, {"seed", "x"});
  expect_refused(place, study("seeds = [1]\nbase = {seed = \"x\"}\n"), 3, {"seed", "x"});
  EXPECT_FALSE(fs::exists(place.path("s")));
  place.write("twice.toml", "[[layer]]\nindex = 0\n[[layer]]\nindex = 0\n");
  expect_refused(place, {"train", "twice.toml"}, 3, {"[[layer]]", "one table"});
}

TEST(Resume, TakesAnotherNumberOfThreads) {
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--out", "run"});
  fs::remove(place.path("run/summary.json"));
  succeed(place, {"train", "--quiet", "--no-report", "--resume", "run", "--threads", "2"});
}

TEST(Checkpoints, WithImpossibleContentsAreData) {
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--out", "run"});
  fs::remove(place.path("run/summary.json"));
  const NpzArchive whole = read_npz(place.path("run/checkpoint.npz"));
  const auto bytes = whole.at("meta").to<std::uint8_t>();
  const auto meta = nlohmann::json::parse(bytes.begin(), bytes.end());
  std::string deep = "a";
  for (int i = 0; i < 40000; ++i) deep += ".a";
  const std::vector<std::pair<const char*, nlohmann::json>> spoilt{{"class_names", {0, 1}},
                                                                   {"classes", 0},
                                                                   {"classes", 1000000000},
                                                                   {"sample_shape", {1, 1, 4000000000}},
                                                                   {"sample_shape", {0, 1, 20}},
                                                                   {"config", deep + " = 1\n"},
                                                                   {"config", "[dataset]\nname = \"npz\"\n"}};
  for (const auto& [name, value] : spoilt) {
    nlohmann::json other = meta;
    other[name] = value;
    const std::string text = other.dump();
    NpzArchive archive = whole;
    archive["meta"] = NpyArray::of<std::uint8_t>({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, {isize(text.size())});
    write_npz(place.path("run/checkpoint.npz"), archive);
    for (const Arguments& command : {Arguments{"train", "--resume", "run"}, Arguments{"eval", "run"}, Arguments{"inspect", "run"}}) {
      SCOPED_TRACE(std::string(name) + " " + value.dump().substr(0, 40) + ": " + command[0]);
      expect_refused(place, command, 4, {"checkpoint.npz"});
    }
  }
}

}  // namespace
}  // namespace ffzero::test
