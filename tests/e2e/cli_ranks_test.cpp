// One run on several processes: the run of one process, from any checkpoint, stopped and ended together.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cctype>
#include <cstdio>

#include "compare_runs.hpp"

namespace ffzero::test {
namespace {

using Clock = std::chrono::steady_clock;

/// mpirun as a user on a small machine starts it. Root and more processes than cores have to be allowed.
Arguments mpirun(int ranks) {
  ::setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  return {"mpirun", "-n", std::to_string(ranks)};
}

Outcome run_on(Workplace& place, int ranks, const Arguments& arguments) { return place.start(arguments, 0, nullptr, mpirun(ranks)).wait(); }

void succeed_on(Workplace& place, int ranks, const Arguments& arguments) {
  const Outcome outcome = run_on(place, ranks, arguments);
  EXPECT_EQ(outcome.code, 0) << ranks << " ranks: " << outcome.err;
}

/// What this program said; the rest is mpirun's.
std::vector<std::string> messages_in(const std::string& err) {
  std::vector<std::string> ours;
  for (const std::string& line : lines_of(err))
    if (line.starts_with("ffzero: ")) ours.push_back(line);
  return ours;
}

struct Process {
  std::string name;
  pid_t parent = 0;
};

Process process_of(pid_t pid) {
  const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  const auto open = stat.find('('), close = stat.rfind(')');
  Process found;
  char state = ' ';
  if (open == std::string::npos || close == std::string::npos ||
      std::sscanf(stat.c_str() + close + 1, " %c %d", &state, &found.parent) != 2)
    return {};
  found.name = stat.substr(open + 1, close - open - 1);
  return found;
}

/// Processes that `launcher` has started, itself (Open MPI) or by a helper (MPICH), in the order of their ranks.
std::vector<pid_t> ranks_of(pid_t launcher) {
  std::vector<pid_t> found;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
    const auto pid = static_cast<pid_t>(std::stol(name));
    const Process process = process_of(pid);
    if (process.name == "ffzero" && (process.parent == launcher || process_of(process.parent).parent == launcher)) found.push_back(pid);
  }
  std::sort(found.begin(), found.end());
  return found;
}

const Arguments kFew{"--epochs", "2", "--batch-size", "32", "--threads", "1", "--set", "training.save_every_s=0"};

std::vector<Variant> variants() {
  const Arguments directional{"--solver", "ff_dd", "--directions", "3"}, activity{"--solver", "ff_activity"};
  const Arguments photonic{"--model", "photonic"};
  return {{"MlpDirectional", kFeatures, Arguments{"--layers", "12,6"} + directional},
          {"MlpActivity", kFeatures, Arguments{"--layers", "12,6"} + activity},
          {"MlpOpaque", kFeatures, {"--layers", "12,6", "--preset", "opaque"}},
          {"CnnDirectional", kImages, kConvolutions + kProjections + directional},
          {"CnnActivity", kImages, kConvolutions + kProjections + activity},
          {"PhotonicDirectional", kFields, photonic + directional},
          {"PhotonicActivity", kFields, photonic + activity}};
}

class Ranks : public ::testing::TestWithParam<Variant> {};

TEST_P(Ranks, GiveTheRunOfOneProcess) {
  Workplace place;
  const Arguments train = train_on(place, sample_archive(GetParam().data)) + GetParam().arguments + kFew;
  succeed(place, train + Arguments{"--out", "alone"});
  for (const int ranks : {2, 3}) {
    const std::string run = "ranks-" + std::to_string(ranks);
    succeed_on(place, ranks, train + Arguments{"--out", run});
    expect_same_run(place.path("alone"), place.path(run));
    EXPECT_EQ(json_of(read_file(place.path(run) / "summary.json"))["machine"]["ranks"]["number"], ranks);
  }
}

INSTANTIATE_TEST_SUITE_P(Cli, Ranks, ::testing::ValuesIn(variants()), [](const auto& variant) { return variant.param.name; });

TEST(CliRanks, MayBeMoreThanThereIsWorkFor) {
  Workplace place;
  const Arguments train = train_on(place) + Arguments{"--layers", "12,6", "--solver", "ff_dd"} + kFew;
  succeed(place, train + Arguments{"--out", "alone"});
  for (const int ranks : {1, 4, 7}) {
    const std::string run = "ranks-" + std::to_string(ranks);
    succeed_on(place, ranks, train + Arguments{"--out", run});
    expect_same_run(place.path("alone"), place.path(run));
  }
}

/// A run that is long enough to be ended on the way.
class LongRun : public ::testing::Test {
 protected:
  void SetUp() override {
    train_ = train_on(place_) +
             Arguments{"--layers", "24,12",     "--solver", "ff_dd", "--directions",           "4", "--epochs", "30", "--batch-size",
                       "16",       "--threads", "1",        "--set", "training.save_every_s=0"};
    succeed(place_, train_ + Arguments{"--out", "whole"});
  }
  /// Starts it on three ranks, and sends one of them a signal after some epochs.
  Outcome stop(const std::string& run, std::size_t rank, int number) {
    const auto running = place_.start(train_ + Arguments{"--out", run}, 0, nullptr, mpirun(3));
    const auto epochs = [&] { return lines_of(read_file(place_.path(run) / "metrics.jsonl")).size(); };
    EXPECT_TRUE(eventually([&] { return fs::exists(place_.path(run) / "checkpoint.npz") && epochs() >= 2; }));
    const auto pids = ranks_of(running.pid());
    EXPECT_EQ(pids.size(), 3U);
    if (pids.size() == 3) ::kill(pids[rank], number);
    const auto sent = Clock::now();
    Outcome outcome = running.wait();
    EXPECT_LT(std::chrono::duration<double>(Clock::now() - sent).count(), 5.0);
    EXPECT_FALSE(fs::exists(place_.path(run) / "summary.json")) << "the run is over before it can be stopped";
    return outcome;
  }
  void expect_resumes(const std::string& run, int ranks) {
    succeed_on(place_, ranks, {"train", "--quiet", "--no-report", "--resume", run});
    expect_same_run(place_.path("whole"), place_.path(run));
  }

  Workplace place_;
  Arguments train_;
};

TEST_F(LongRun, IsStoppedAsAWholeByASignalToOneRank) {
  for (const std::size_t rank : {0U, 2U}) {
    const std::string run = "stopped-" + std::to_string(rank);
    const Outcome outcome = stop(run, rank, SIGTERM);
    EXPECT_EQ(outcome.code, 130) << outcome.err;
    EXPECT_NE(outcome.err.find("interrupted and saved; go on with: ffzero train --resume " + run), std::string::npos) << outcome.err;
    expect_resumes(run, rank == 0 ? 2 : 1);
  }
}

TEST_F(LongRun, EndsWithinSecondsOfTheDeathOfARankAndGoesOnFromItsCheckpoint) {
  for (const std::size_t rank : {0U, 1U}) {
    const std::string run = "killed-" + std::to_string(rank);
    const Outcome outcome = stop(run, rank, SIGKILL);
    EXPECT_NE(outcome.code, 0);
    // The words of Open MPI, or those of MPICH.
    EXPECT_TRUE(outcome.err.find("signal 9") != std::string::npos || outcome.out.find("EXIT CODE: 9") != std::string::npos) << outcome.err;
    expect_resumes(run, rank == 0 ? 4 : 1);
  }
}

TEST_F(LongRun, EndsWithOneMessageWhereRankZeroCannotWrite) {
  const auto running = place_.start(train_ + Arguments{"--out", "moved"}, 0, nullptr, mpirun(3));
  const fs::path metrics = place_.path("moved") / "metrics.jsonl";
  EXPECT_TRUE(eventually([&] { return fs::exists(metrics) && fs::file_size(metrics) > 0; }));
  fs::rename(place_.path("moved"), place_.path("elsewhere"));
  const Outcome outcome = running.wait();
  EXPECT_EQ(outcome.code, 8) << outcome.err;
  EXPECT_EQ(messages_in(outcome.err).size(), 1U) << outcome.err;
}

void expect_refused(const Workplace& place, const Outcome& outcome, const std::string& part) {
  EXPECT_EQ(outcome.code, 3) << outcome.err;
  const auto messages = messages_in(outcome.err);
  ASSERT_EQ(messages.size(), 1U) << outcome.err;
  EXPECT_NE(messages[0].find(part), std::string::npos) << messages[0];
  EXPECT_FALSE(fs::exists(place.path("run")));
}

TEST(CliRanks, RefuseWhatTheyCannotShareOutBeforeAnythingIsRead) {
  Workplace place;
  const Arguments nowhere{"train", "--quiet", "--dataset", "npz", "--data-dir", place.path("none.npz").string(), "--out", "run"};
  expect_refused(place, run_on(place, 2, nowhere + Arguments{"--solver", "ff_ad"}), "gradient.estimator: several ranks share out");
  expect_refused(place, run_on(place, 2, nowhere + Arguments{"--set", "model.imperfect.read_noise=0.1", "--solver", "ff_dd"}),
                 "model.imperfect.read_noise: several ranks");
  expect_refused(
      place, run_on(place, 2, nowhere + Arguments{"--model", "photonic", "--solver", "ff_dd", "--set", "model.mesh.linear_head=trained"}),
      "model.mesh.linear_head: several ranks");
}

TEST(CliRanks, RefuseRanksThatDiffer) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall + Arguments{"--out", "run"};
  const Arguments other = Arguments{":", "-n", "1", FFZERO_PROGRAM} + train;
  expect_refused(place, run_on(place, 1, train + other + Arguments{"--seed", "5"}),
                 "ranks: all must have the same settings; got \"seed = 5\" in rank 1");
  write_npz(place.path("other.npz"), sample_archive({.train = 330}));
  expect_refused(place, run_on(place, 1, train + other + Arguments{"--set", "dataset.dir=" + place.path("other.npz").string()}),
                 "ranks: all must have the same data");
  const Arguments old = Arguments{":", "-n", "1", "env", "OPENBLAS_CORETYPE=Prescott", FFZERO_PROGRAM} + train;
  expect_refused(place, run_on(place, 1, train + old), "ranks: all must have the same arithmetic");
}

}  // namespace
}  // namespace ffzero::test
