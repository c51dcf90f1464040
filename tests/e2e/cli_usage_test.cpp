// The command line itself.
// SPDX-License-Identifier: MIT
#include <regex>

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

// The manual and the help take them from one place.
TEST(Usage, EveryCommandHasExamples) {
  Workplace place;
  const std::string manual = succeed(place, {"manual"}).out;
  int seen = 0;
  for (auto at = manual.find("## ffzero"); at != std::string::npos; ++seen) {
    const auto next = manual.find("## ffzero", at + 1);
    const std::string section = manual.substr(at, next - at);
    EXPECT_NE(section.find("\n* `"), std::string::npos) << section;
    at = next;
  }
  EXPECT_GT(seen, 20);
  const std::string help = succeed(place, {"eval", "--help"}).out;
  EXPECT_NE(help.find("Examples:\n  ffzero eval runs/first  # "), std::string::npos) << help;
}

TEST(Usage, VersionNamesTheCommitIfThereIsOne) {
  Workplace place;
  const std::string version = succeed(place, {"--version"}).out;
  EXPECT_TRUE(std::regex_match(version, std::regex("0\\.[0-9]+\\.[0-9]+( \\(commit [0-9a-f]{7,40}(, modified)?\\))?\n"))) << version;
  EXPECT_EQ(lines_of(succeed(place, {"version"}).out).at(0) + "\n", "ffzero " + version);
}

// What bash offers for each line of words, the last of which is being typed.
TEST(Completion, OffersInBashWhatMayStandThere) {
  const Workplace place;
  const std::vector<std::pair<std::string, std::string>> lines{{"ffzero tr", "train"},
                                                               {"ffzero device in", "info"},
                                                               {"ffzero train --sol", "--solver"},
                                                               {"ffzero train --solver bp", "bp_dd bp_ad"},
                                                               {"ffzero train --solver = bp", "bp_dd bp_ad"},
                                                               {"ffzero train --set gradient.est", "gradient.estimator="},
                                                               {"ffzero train --set gradient.estimator = tw", "twin"},
                                                               {"ffzero train --out ''", ""},
                                                               {"ffzero device serve --model ''", "dense conv mesh"},
                                                               {"ffzero datasets fetch ''", "mnist fashion-mnist"},
                                                               {"ffzero eval --out train --solv", ""},
                                                               {"ffzero completion z", "zsh"},
                                                               {"ffzero help dev", "device"},
                                                               {"ffzero keys gradient.direc", "gradient.directions"}};
  std::string script =
      "$P completion bash >completion && bash -n completion && . ./completion\n"
      "offer() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _ffzero; echo \"${COMPREPLY[*]}\"; }\n";
  for (const auto& line : lines) script += "offer " + line.first + "\n";
  place.write("script", script);
  const Outcome outcome = shell(place, "P=$P bash script");
  EXPECT_EQ(outcome.err, "");
  const auto offered = lines_of(outcome.out);
  ASSERT_EQ(offered.size(), lines.size()) << outcome.out;
  for (std::size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(offered[i], lines[i].second) << lines[i].first;
}

TEST(Completion, IsWrittenInTheLanguageOfZsh) {
  const Workplace place;
  const Outcome outcome = shell(place, "$P completion zsh >_ffzero && ! command -v zsh >/dev/null || zsh -n _ffzero");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const std::string script = read_file(place.path("_ffzero"));
  EXPECT_TRUE(script.starts_with("#compdef ffzero\n"));
  EXPECT_NE(script.find("--solver'[ff_dd | ff_ad | bp_dd | bp_ad | ff_activity | ff_coordinate]:value:(ff_dd ff_ad "), std::string::npos);
}

TEST(Manual, PagesForManAreSetWithoutWarnings) {
  const Workplace place;
  for (const auto& [page, command, word] : {std::tuple{"ffzero.1", "manual --man", ".SS ffzero device check"},
                                            std::tuple{"ffzero-settings.5", "keys --man", ".BR gradient.eps "}}) {
    const std::string file = page;
    const Outcome written = shell(place, std::string("$P ") + command + " >" + file);
    EXPECT_EQ(written.code, 0) << written.err;
    EXPECT_NE(read_file(place.path(file)).find(word), std::string::npos) << file;
    const Outcome set = shell(place, "! command -v man >/dev/null || ! command -v groff >/dev/null || man --warnings -l ./" + file);
    EXPECT_EQ(set.err, "") << file;
  }
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
