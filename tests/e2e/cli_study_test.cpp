// Reports and studies of the program: drawn by themselves, and whole after a kill -9.
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include "program.hpp"
#include "refusal.hpp"

namespace ffzero {
namespace {

namespace fs = std::filesystem;
using test::operator+;  // NOLINT(misc-unused-using-decls): clang-tidy overlooks operators
using test::Workplace;
using testing::HasSubstr;
using testing::Not;

std::size_t finished_runs(const fs::path& study) {
  std::size_t count = 0;
  if (fs::exists(study / "runs"))
    for (const auto& run : fs::directory_iterator(study / "runs")) count += fs::exists(run.path() / "summary.json") ? 1 : 0;
  return count;
}

// Four cells and three seeds; small enough for a second, long enough to be killed in the middle.
fs::path write_study(const Workplace& place) {
  write_npz(place.path("data.npz"), test::sample_archive());
  return place.write("study.toml",
                     "name = \"four\"\nseeds = [0, 1, 2]\ncells = [\"ff_dd\", \"ff_ad\", \"bp_dd\", \"bp_ad\"]\n"
                     "[base]\ndataset.name = \"npz\"\ndataset.dir = \"" +
                         place.path("data.npz").string() +
                         "\"\nmodel.layers = [12, 6]\ntraining.epochs = 8\ntraining.batch_size = 16\ngradient.directions = 2\n");
}

TEST(Sweep, KilledHalfWayAndGoneOnWithGivesTheTableOfAnUninterruptedOne) {
  Workplace place;
  const std::string study = write_study(place).string();
  const test::Outcome whole = test::succeed(place, {"sweep", study, "--out", "whole", "--jobs", "2"});
  EXPECT_THAT(whole.err, HasSubstr("gradient.directions is dropped in ff_ad; bp_ad: "));
  EXPECT_THAT(whole.out, HasSubstr("Without derivatives, layer by layer (ff_dd): test accuracy"));

  const auto killed = place.start({"sweep", study, "--out", "parts", "--jobs", "2"});
  ASSERT_TRUE(test::eventually([&] { return finished_runs(place.path("parts")) >= 4; }));
  killed.signal(SIGKILL);
  EXPECT_EQ(killed.wait().code, 1000 + SIGKILL);
  const std::size_t before = finished_runs(place.path("parts"));
  ASSERT_LT(before, 12U) << "it was faster than its killer";

  const test::Outcome rest = test::succeed(place, {"sweep", study, "--out", "parts", "--jobs", "2"});
  std::size_t kept = 0;
  for (const auto& line : test::lines_of(rest.err)) kept += line.find("finished before") != std::string::npos ? 1 : 0;
  EXPECT_EQ(kept, before) << "finished runs are not repeated";
  for (const char* file : {"table.md", "table.csv", "table.json"})
    EXPECT_EQ(test::read_file(place.path("parts") / file), test::read_file(place.path("whole") / file)) << file;
  EXPECT_EQ(rest.out, whole.out);
  EXPECT_TRUE(fs::exists(place.path("parts") / "report.html"));
}

TEST(Sweep, TakesSettingsBesideTheStudy) {
  Workplace place;
  write_npz(place.path("data.npz"), test::sample_archive());
  const std::string study = place
                                .write("study.toml",
                                       "cells = [\"ff_dd\"]\n[base]\ndataset.name = \"npz\"\nmodel.layers = [12, 6]\n"
                                       "[grid]\nupdate.lr = [1e-3, 1e-2]\n")
                                .string();
  test::succeed(place, {"sweep", study, "--out", "s", "--data-dir", "data.npz", "--set", "training.epochs=1", "--set", "seed=4"});
  EXPECT_EQ(finished_runs(place.path("s")), 2U);
  const std::string config = test::read_file(place.path("s/configs/s00-seed4.toml"));
  EXPECT_THAT(config, HasSubstr("dataset.dir = \"" + place.path("data.npz").string() + "\""));
  EXPECT_THAT(config, HasSubstr("training.epochs = 1"));
  test::expect_refused(place, {"sweep", study, "--out", "t", "--set", "update.lr=1"}, 3, {"update.lr", "must not be listed in the study"});
  test::expect_refused(place, {"sweep", study, "--out", "t", "--set", "update.rl=1"}, 3, {"did you mean"});
  test::expect_refused(place, {"sweep", study, "--out", "t", "--set", "seed"}, 2, {"must be key=value"});
}

TEST(Sweep, SaysWhereTheBudgetLeftLayersUntrained) {
  Workplace place;
  write_npz(place.path("data.npz"), test::sample_archive());
  const std::string study =
      place
          .write("study.toml",
                 "cells = [\"ff_dd\", \"bp_dd\"]\nseeds = [0, 1]\n[base]\ndataset.name = \"npz\"\nmodel.layers = [12, 6]\n"
                 "training.epochs = 100\nbudget.forward_evals = 400\n")
          .string();
  test::succeed(place, {"sweep", study, "--out", "s", "--data-dir", "data.npz"});
  const std::string table = test::read_file(place.path("s/table.csv"));
  EXPECT_THAT(table, HasSubstr("2 with layers untrained"));
  EXPECT_EQ(table.find("untrained"), table.rfind("untrained")) << "end to end nothing is left out: " << table;
}

TEST(Sweep, InPartsGivesTheTableOfTheWhole) {
  Workplace place;
  const std::string study = write_study(place).string();
  const test::Outcome whole = test::succeed(place, {"sweep", study, "--out", "whole", "--jobs", "2"});
  // Two parts at once in one folder, as on a shared disk, and two in folders of their own.
  const auto first = place.start({"sweep", study, "--out", "shared", "--part", "1/4", "--jobs", "1"});
  const auto second = place.start({"sweep", study, "--out", "shared", "--part", "3/4", "--jobs", "1"});
  for (const auto* running : {&first, &second}) EXPECT_EQ(running->wait().code, 0);
  const test::Outcome third = test::succeed(place, {"sweep", study, "--out", "far", "--part", "2/4", "--jobs", "1"});
  EXPECT_THAT(third.err, HasSubstr("--merge far"));
  EXPECT_EQ(finished_runs(place.path("shared")), 6U);
  EXPECT_EQ(finished_runs(place.path("far")), 3U);

  const test::Outcome early = place.run({"sweep", study, "--merge", "shared", "far", "--out", "merged"});
  EXPECT_EQ(early.code, 4);
  EXPECT_THAT(early.err,
              HasSubstr("merged: every one of the 12 runs must be finished in one of the folders; got 3 that are not, the first is"));
  EXPECT_FALSE(fs::exists(place.path("merged")));

  test::succeed(place, {"sweep", study, "--out", "farther", "--part", "4/4", "--jobs", "1"});
  const test::Outcome merged = test::succeed(place, {"sweep", study, "--merge", "shared", "far", "farther", "--out", "merged"});
  EXPECT_EQ(merged.out, whole.out);
  for (const char* file : {"table.md", "table.csv", "table.json"})
    EXPECT_EQ(test::read_file(place.path("merged") / file), test::read_file(place.path("whole") / file)) << file;
  // Into one of the parts, and again.
  for (int round = 0; round < 2; ++round)
    EXPECT_EQ(test::succeed(place, {"sweep", study, "--merge", "shared", "far", "farther"}).out, whole.out);
  EXPECT_EQ(finished_runs(place.path("shared")), 12U);
  // The whole, over what parts have done, has nothing left to train.
  EXPECT_EQ(test::succeed(place, {"sweep", study, "--out", "merged", "--jobs", "1"}).out, whole.out);
}

TEST(Sweep, RefusesPartsThatAreNone) {
  Workplace place;
  const std::string study = write_study(place).string();
  for (const char* part : {"0/4", "5/4", "1", "1/", "/4", "1/0", "1/4x", "-1/4", ""}) {
    const test::Outcome refused = place.run({"sweep", study, "--out", "s", "--part", part});
    EXPECT_EQ(refused.code, 2) << part << refused.err;
    EXPECT_FALSE(fs::exists(place.path("s"))) << part;
  }
  EXPECT_EQ(place.run({"sweep", study, "--part", "1/2", "--merge", "s"}).code, 2);
  EXPECT_EQ(place.run({"sweep", study, "--merge", "nowhere"}).code, 2);
}

TEST(Sweep, RefusesTheFolderOfAnotherStudy) {
  Workplace place;
  const std::string study = write_study(place).string();
  place.write("taken/configs/s00-seed0.toml", "seed = 7\n");
  const test::Outcome outcome = place.run({"sweep", study, "--out", "taken"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("choose another --out"));
}

TEST(Train, DrawsItsReportWhichAsksForNothing) {
  Workplace place;
  write_npz(place.path("data.npz"), test::sample_archive());
  test::succeed(place, test::Arguments{"train", "--quiet", "--dataset", "npz", "--data-dir", "data.npz", "--out", "run"} + test::kSmall);
  const std::string html = test::read_file(place.path("run/report.html"));
  EXPECT_THAT(html, HasSubstr("ffzero train run/config.toml"));
  for (const char* reference : {"http://", "https://", "<script ", "<link", "@import", "src=\"", "<iframe"})
    EXPECT_THAT(html, Not(HasSubstr(reference)));
}

}  // namespace
}  // namespace ffzero
