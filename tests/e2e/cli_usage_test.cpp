// The command line itself.
// SPDX-License-Identifier: MIT
#include "refusal.hpp"

namespace ffzero::test {
namespace {

TEST(Usage, ErrorsAreOneLineThatNamesTheHelp) {
  Workplace place;
  expect_refused(place, {}, 2, {"command line", "train, eval", "ffzero --help"});
  expect_refused(place, {"tarin"}, 2, {"unknown command \"tarin\"", "did you mean \"train\"?", "ffzero --help"});
  expect_refused(place, {"datasets", "ftech", "mnist"}, 2, {"\"ftech\"", "did you mean \"fetch\"?", "ffzero datasets --help"});
  expect_refused(place, {"train", "--epocs", "3"}, 2, {"\"--epocs\"", "did you mean \"--epochs\"?", "ffzero train --help"});
  expect_refused(place, {"train", "a.toml", "b.toml"}, 2, {"one argument too many", "\"b.toml\"", "ffzero train --help"});
  expect_refused(place, {"train", "--epochs"}, 2, {"--epochs", "ffzero train --help"});
  expect_refused(place, {"train", "--set", "seed"}, 2, {"--set", "key=value", "\"seed\""});
  expect_refused(place, {"eval"}, 2, {"run", "ffzero eval --help"});
  expect_refused(place, {"predict", "run"}, 2, {"files", "ffzero predict --help"});
  expect_refused(place, {"datasets"}, 2, {"ffzero datasets --help"});
  expect_refused(place, {"help", "nothing"}, 2, {"help", "\"nothing\"", "ffzero --help"});
  expect_refused(place, {"keys", "xyzzy"}, 3, {"unknown key", "\"xyzzy\"", "\"ffzero keys\" lists all"});
  expect_refused(place, {"keys", "gradient.epz"}, 3, {"unknown key", "did you mean \"gradient.eps\"?"});
}

TEST(Usage, KeysAreFoundByNameAndByMeaning) {
  Workplace place;
  const std::string by_name = succeed(place, {"keys", "BUDGET"}).out;
  EXPECT_NE(by_name.find("budget.forward_evals = 0"), std::string::npos);
  EXPECT_EQ(by_name.find("training.epochs"), std::string::npos);
  const std::string by_meaning = succeed(place, {"keys", "learning"}).out;
  EXPECT_NE(by_meaning.find("update.lr"), std::string::npos);
  EXPECT_NE(by_meaning.find("update.schedule"), std::string::npos);
  EXPECT_EQ(by_meaning.find("model.layers"), std::string::npos);
  EXPECT_NE(succeed(place, {"keys", "address"}).out.find("[[model.device]] address"), std::string::npos);
}

TEST(Usage, HelpNamesEveryFlagOfTheDesign) {
  Workplace place;
  const std::string help = succeed(place, {"train", "--help"}).out;
  for (const char* flag : {"--set",        "--solver", "--dataset", "--data-dir",   "--model",   "--layers",  "--epochs",
                           "--batch-size", "--lr",     "--eps",     "--directions", "--seed",    "--threads", "--preset",
                           "--out",        "--json",   "--quiet",   "--resume",     "--control", "--classes", "--budget"})
    EXPECT_NE(help.find(flag), std::string::npos) << flag;
  EXPECT_EQ(succeed(place, {"help", "train"}).out, help);
  for (const char* command : {"train", "eval", "predict", "inspect", "probe", "datasets", "keys", "help", "version"})
    EXPECT_NE(succeed(place, {"--help"}).out.find(command), std::string::npos) << command;
  EXPECT_NE(succeed(place, {"version"}).out.find("ffzero "), std::string::npos);
}

// What a flag is to set, and the value that the resolved configuration must show.
TEST(Usage, EveryFlagSetsItsKey) {
  Workplace place;
  const Arguments flags{"--solver", "ff_dd",  "--layers",     "9,7,6", "--epochs", "1",   "--batch-size", "40",    "--lr",     "0.002",
                        "--eps",    "0.004",  "--directions", "3",     "--seed",   "11",  "--threads",    "1",     "--preset", "paper",
                        "--budget", "100000", "--classes",    "0,2",   "--model",  "mlp", "--control",    "--out", "run"};
  succeed(place, train_on(place) + flags);
  const std::string config = read_file(place.path("run/config.toml"));
  for (const char* line : {"scope = \"local\"", "estimator = \"directional\"", "layers = [9, 7, 6]", "epochs = 1", "batch_size = 40",
                           "lr = 0.002", "eps = 0.004", "directions = 3", "seed = 11", "threads = 1", "preset = \"paper\"",
                           "forward_evals = 100000", "classes = [0, 2]", "kind = \"mlp\"", "untrained = true", "name = \"npz\""})
    EXPECT_NE(config.find(line), std::string::npos) << line << " in\n" << config;
}

TEST(Usage, WithoutOutTheFolderIsNamedAfterTheRunAndNeverReused) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall + Arguments{"--solver", "ff_dd"};
  succeed(place, train);
  succeed(place, train);
  EXPECT_TRUE(fs::exists(place.path("runs/npz-ff_dd/summary.json")));
  EXPECT_TRUE(fs::exists(place.path("runs/npz-ff_dd-2/summary.json")));
}

TEST(Usage, ProgressIsPlainLinesWhereThereIsNoTerminal) {
  Workplace place;
  Arguments train = train_on(place) + kSmall + Arguments{"--out", "run", "--json"};
  std::erase(train, "--quiet");
  const Outcome outcome = succeed(place, train);
  EXPECT_EQ(outcome.err.find('\r'), std::string::npos);
  EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos);
  const auto lines = lines_of(outcome.err);
  ASSERT_GE(lines.size(), 4U) << outcome.err;
  for (const char* word : {"dense0", "epoch", "loss", "train", "test", "evaluations"})
    EXPECT_NE(lines[0].find(word), std::string::npos) << word;
  EXPECT_EQ(outcome.out, read_file(place.path("run/summary.json")));
}

}  // namespace
}  // namespace ffzero::test
