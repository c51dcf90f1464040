// Shared objects with parts of a user's own: --plugin.
// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>

#include "compare_runs.hpp"
#include "program.hpp"
#include "refusal.hpp"

namespace ffzero {
namespace {

using test::Arguments;
using test::operator+;  // NOLINT(misc-unused-using-decls): clang-tidy overlooks operators
using test::Workplace;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

Arguments train(const Workplace& place, const Arguments& more) {
  return test::train_on(place, test::sample_archive()) + Arguments{"--epochs", "2", "--layers", "8", "--threads", "1"} + more;
}

const Arguments kOwnRule{"--set", "update.rule=sign_of_gradient"};

TEST(Plugins, WhatIsNoneOfThisVersionIsRefusedInOneLine) {
  Workplace place;
  const auto refused = [&](const std::string& file, const std::vector<std::string>& parts) {
    test::expect_no_run(place, train(place, {"--plugin", file}), 4, parts);
  };
  refused("absent.so", {"absent.so: must be a plugin, a shared object; got ", "give --plugin the file that was built"});
  refused(".", {"must be a plugin, a shared object"});
  refused(place.write("text.so", "no object\n").string(),
          {"text.so: must be a shared object that can be loaded", "build it for this machine"});
  refused(FFZERO_PLUGIN_nameless, {"must have the functions ffzero_plugin_interface and ffzero_plugin_register", "FFZERO_PLUGIN"});
  refused(FFZERO_PLUGIN_version_99, {"must have version 1 of the interface, as this program has; got version 99; build it again"});
  test::expect_refused(place, {"train", "--plugin", ""}, 2, {"--plugin", "empty"});
}

#ifdef FFZERO_PLUGIN_sign_rule
const Arguments kPlugin{"--plugin", FFZERO_PLUGIN_sign_rule};

TEST(Plugins, AddNamesForOneCommand) {
  Workplace place;
  EXPECT_THAT(test::succeed(place, Arguments{"keys", "update.rule"} + kPlugin).out,
              HasSubstr("of a plugin: sign_of_gradient: Every parameter by the same length, against the sign of its slope. (scale = 1)"));
  EXPECT_THAT(test::succeed(place, Arguments{"keys", "same length"} + kPlugin).out, HasSubstr("update.rule = "));
  EXPECT_THAT(test::succeed(place, {"keys", "update.rule"}).out, testing::Not(HasSubstr("sign_of_gradient")));
  test::expect_no_run(place, train(place, kOwnRule), 3, {"update.rule: must be one of", "sign_of_gradient"});
  test::expect_no_run(place, train(place, kOwnRule + kPlugin + Arguments{"--set", "update.options=length = 2"}), 3, {"length"});
  test::expect_no_run(place, train(place, kPlugin + kPlugin), 3, {"sign_rule.so: ", "another name"});
}

TEST(Plugins, TrainARunThatNeedsThemFromThenOn) {
  Workplace place;
  test::succeed(place, train(place, kOwnRule + kPlugin + Arguments{"--out", "run"}));
  test::succeed(place, train(place, kOwnRule + kPlugin + Arguments{"--set", "update.options=scale = 0.5", "--out", "half"}));
  test::succeed(place, train(place, {"--out", "plain"}));
  const auto last = [&](const char* run) { return read_npz(place.path(run) / "checkpoint.npz").at("layer0.theta").to<float>(); };
  EXPECT_NE(last("run"), last("half"));
  EXPECT_NE(last("run"), last("plain"));
  EXPECT_FALSE(test::fs::exists(place.path("plain") / "plugins.json"));
  const Json recorded = test::json_of(test::read_file(place.path("run") / "plugins.json"));
  ASSERT_EQ(recorded.size(), 1U);
  EXPECT_EQ(recorded.at(0).at("path"), FFZERO_PLUGIN_sign_rule);
  EXPECT_EQ(recorded.at(0).at("digest").get<std::string>().size(), 16U);
  EXPECT_EQ(recorded.at(0).at("names"), (Json{{"update.rule", {"sign_of_gradient"}}}));
  // The folder names it, and loads nothing.
  const std::vector<std::string> needs{"run: needs the plugin", "sign_rule.so", recorded.at(0).at("digest"),
                                       "update.rule = sign_of_gradient", "add --plugin PATH"};
  for (const Arguments& command :
       std::vector<Arguments>{{"eval", "run"}, {"train", "--quiet", "--resume", "run"}, {"eval", "run/checkpoint.npz"}})
    test::expect_refused(place, command, 2, needs);
  const auto value = [&](const Arguments& command) {
    return test::json_of(test::succeed(place, command).out).at("layers").at(0).at("value").get<double>();
  };
  EXPECT_EQ(value(Arguments{"eval", "run", "--json"} + kPlugin),
            test::json_of(test::read_file(place.path("run") / "summary.json")).at("final").at("test").get<double>());
  test::succeed(place, Arguments{"report", "run"} + kPlugin);
  // A damaged record is a damaged file.
  place.write("half/plugins.json", "{}]");
  test::expect_refused(place, Arguments{"eval", "half"} + kPlugin, 4, {"plugins.json: must say which plugins"});
}

TEST(Plugins, LeaveNoRecordInAFolderThatStartsOverWithoutThem) {
  Workplace place;
  const Arguments with = train(place, kOwnRule + kPlugin), without = train(place, {});
  test::succeed(place, with + Arguments{"--out", "own"});
  test::succeed(place, without + Arguments{"--out", "plain"});
  // Killed before its first checkpoint.
  const auto cut_off = [&](const char* folder, const char* settings) {
    test::fs::create_directory(place.path(folder));
    test::fs::copy(place.path(settings) / "config.toml", place.path(folder) / "config.toml");
    test::fs::copy(place.path("own") / "plugins.json", place.path(folder) / "plugins.json");
  };
  cut_off("again", "own");
  cut_off("other", "plain");
  test::succeed(place, with + Arguments{"--out", "again"});
  EXPECT_EQ(test::read_file(place.path("again") / "plugins.json"), test::read_file(place.path("own") / "plugins.json"));
  test::succeed(place, without + Arguments{"--out", "other"});
  EXPECT_FALSE(test::fs::exists(place.path("other") / "plugins.json"));
  test::succeed(place, {"eval", "other"});
}

TEST(Plugins, GoOnWithARunAndSayThatTheyHaveChanged) {
  Workplace place;
  test::succeed(place, train(place, kOwnRule + kPlugin + Arguments{"--out", "whole", "--set", "training.epochs=200"}));
  const auto going = place.start(
      train(place, kOwnRule + kPlugin + Arguments{"--out", "run", "--set", "training.epochs=200", "--set", "training.save_every_s=0"}));
  ASSERT_TRUE(test::eventually([&] {
    const auto metrics = place.path("run") / "metrics.jsonl";
    return test::fs::exists(metrics) && test::lines_of(test::read_file(metrics)).size() > 1;
  }));
  going.signal(SIGKILL);
  static_cast<void>(going.wait());
  // As if it had been built again since.
  Json recorded = test::json_of(test::read_file(place.path("run") / "plugins.json"));
  recorded.at(0)["digest"] = "0000000000000000";
  place.write("run/plugins.json", recorded.dump());
  const test::Outcome resumed = test::succeed(place, Arguments{"train", "--no-report", "--resume", "run"} + kPlugin);
  EXPECT_THAT(resumed.err,
              testing::AnyOf(HasSubstr("is not the file that the run began with (digest 0000000000000000)"), HasSubstr("nothing is left")));
  EXPECT_EQ(read_npz(place.path("run") / "checkpoint.npz").at("layer0.theta").to<float>(),
            read_npz(place.path("whole") / "checkpoint.npz").at("layer0.theta").to<float>());
}

TEST(Plugins, AreUsedByAllRunsOfASweep) {
  Workplace place;
  write_npz(place.path("data.npz"), test::sample_archive());
  place.write("study.toml", "name = \"rules\"\nseeds = [0, 1]\n[base]\ndataset.name = \"npz\"\ndataset.dir = \"" +
                                place.path("data.npz").string() +
                                "\"\nmodel.layers = [8]\ntraining.epochs = 2\n[grid]\nupdate.rule = [\"sign_of_gradient\", \"sgd\"]\n");
  test::expect_refused(place, {"sweep", "study.toml", "--out", "study"}, 3, {"update.rule", "sign_of_gradient"});
  const test::Outcome swept = test::succeed(place, Arguments{"sweep", "study.toml", "--out", "study", "--jobs", "2"} + kPlugin);
  EXPECT_THAT(swept.out, HasSubstr("sign_of_gradient"));
  std::size_t recorded = 0;
  for (const auto& run : test::fs::directory_iterator(place.path("study") / "runs"))
    recorded += test::fs::exists(run.path() / "plugins.json") ? 1 : 0;
  EXPECT_EQ(recorded, 4U);
}
#endif

}  // namespace
}  // namespace ffzero
