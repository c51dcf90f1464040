// Data of a user's own: tables on any scale.
// SPDX-License-Identifier: MIT
#include "compare_runs.hpp"
#include "refusal.hpp"

namespace ffzero::test {
namespace {

using json = nlohmann::ordered_json;

// The same features, each in a unit of its own.
NpzArchive on_other_scales() {
  NpzArchive archive = sample_archive();
  for (const char* name : {"x_train", "x_test"}) {
    auto values = archive.at(name).to<float>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1000.0F + std::ldexp(values[i], static_cast<int>(i % 20));
    archive[name] = NpyArray::of<float>(values, archive.at(name).shape);
  }
  return archive;
}

TEST(Table, IsStandardisedAndTheScaleIsPartOfTheCheckpoint) {
  Workplace place;
  const json summary = json_of(
      succeed(place, train_on(place, on_other_scales()) + kSmall + Arguments{"--set", "training.epochs=60", "--json", "--out", "run"}).out);
  const double test = summary.at("final").at("test").get<double>();
  EXPECT_GT(test, 0.9) << "as it is, the largest feature would hide all others";
  EXPECT_NE(read_file(place.path("run/config.toml")).find("scale = \"sphere\""), std::string::npos);
  const NpzArchive checkpoint = read_npz(place.path("run/checkpoint.npz"));
  EXPECT_EQ(checkpoint.at("encoder.offset").size(), 20);
  EXPECT_EQ(checkpoint.at("encoder.factor").size(), 20);
  EXPECT_EQ(json_of(succeed(place, {"eval", "run", "--json"}).out).at("final"), test);
  // One sample alone is scaled by the train set, not by itself.
  NpzArchive one = read_npz(place.path("data.npz"));
  const auto x = one.at("x_test").to<float>();
  write_npz(place.path("one.npz"), {{"x", NpyArray::of<float>(std::span(x).first(20), {1, 20})}});
  const json all = json_of(succeed(place, {"predict", "run", "data.npz", "--json"}).out);
  const json single = json_of(succeed(place, {"predict", "run", "one.npz", "--json"}).out);
  EXPECT_EQ(single.at(0).at("similarities"), all.at(0).at("similarities"));
}

TEST(Table, ContinuesBitForBitWithItsScale) {
  Workplace place;
  const Arguments train = train_on(place, on_other_scales()) + kSmall;
  auto process = place.start(train + Arguments{"--set", "training.epochs=60", "--out", "long"});
  EXPECT_TRUE(
      eventually([&] { return fs::exists(place.path("long/metrics.jsonl")) && fs::file_size(place.path("long/metrics.jsonl")) > 0; }));
  process.signal(SIGINT);
  EXPECT_EQ(process.wait().code, 130);
  succeed(place, {"train", "--quiet", "--no-report", "--resume", "long"});
  succeed(place, train + Arguments{"--set", "training.epochs=60", "--out", "long_whole"});
  expect_same_run(place.path("long"), place.path("long_whole"));
}

TEST(Table, RunsOfVersionOneKeepTheirFeaturesAsTheyAre) {
  Workplace place;
  const Arguments train = train_on(place, on_other_scales()) + kSmall;
  succeed(place, train + Arguments{"--set", "dataset.scale=none", "--out", "run"});
  const json now = json_of(succeed(place, {"eval", "run", "--json"}).out);
  // As it was written before the key existed: in the settings of the folder and in those of the checkpoint.
  const auto without = [](std::string text, const std::string& line) {
    EXPECT_NE(text.find(line), std::string::npos);
    return text.erase(text.find(line), line.size());
  };
  place.write("old.toml", without(read_file(place.path("run/config.toml")), "scale = \"none\"\n"));
  NpzArchive checkpoint = read_npz(place.path("run/checkpoint.npz"));
  auto meta = checkpoint.at("meta").to<std::uint8_t>();
  const std::string text = without(std::string(meta.begin(), meta.end()), "scale = \\\"none\\\"\\n");
  checkpoint["meta"] = NpyArray::of<std::uint8_t>(std::vector<std::uint8_t>(text.begin(), text.end()), {isize(text.size())});
  write_npz(place.path("run/checkpoint.npz"), checkpoint);
  EXPECT_EQ(json_of(succeed(place, {"eval", "run", "--json"}).out), now);
  succeed(place, {"train", "old.toml", "--quiet", "--no-report", "--out", "again"});
  expect_same_arrays(place.path("run"), place.path("again"));
  fs::remove(place.path("run/summary.json"));
  succeed(place, {"train", "--quiet", "--no-report", "--resume", "run"});
  expect_same_arrays(place.path("run"), place.path("again"));
}

TEST(Table, ConstantFeaturesAreNoFeatures) {
  Workplace place;
  NpzArchive archive = sample_archive();
  for (const char* name : {"x_train", "x_test"}) {
    auto values = archive.at(name).to<float>();
    for (std::size_t i = 0; i < values.size(); i += 20) values[i] = 0.1F;
    archive[name] = NpyArray::of<float>(values, archive.at(name).shape);
  }
  const json summary =
      json_of(succeed(place, train_on(place, archive) + kSmall + Arguments{"--set", "training.epochs=60", "--json", "--out", "run"}).out);
  EXPECT_GT(summary.at("final").at("test").get<double>(), 0.9);
  EXPECT_EQ(read_npz(place.path("run/checkpoint.npz")).at("encoder.factor").to<double>()[0], 0.0);
}

}  // namespace
}  // namespace ffzero::test
