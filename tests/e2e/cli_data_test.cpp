// Data of a user's own: tables on any scale, from npz and csv.
// SPDX-License-Identifier: MIT
#include <cmath>
#include <sstream>

#include "compare_runs.hpp"
#include "refusal.hpp"

namespace ffzero::test {
namespace {

using json = nlohmann::ordered_json;

// Values of a row of a table.
template <class... Values>
std::string fmt_row(const Values&... values) {
  std::ostringstream row;
  const char* separator = "";
  ((row << separator << values, separator = ","), ...);
  return row.str() + "\r\n";
}

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

// Two classes that one feature tells apart, four of five samples in the first; a column of no use and one of weights.
std::string flowers(int rows) {
  std::string text = "id,petal,sepal,weight,kind\r\n";
  for (int i = 0; i < rows; ++i) {
    const bool rare = i % 5 == 0;
    text +=
        fmt_row(i, (rare ? 3000.0 : 1000.0) + 40.0 * (i % 7), 0.001 * (i % 3), rare ? 4.0 : 1.0, rare ? "\"rose, \"\"red\"\"\"" : "daisy");
  }
  return text;
}

const Arguments kFlowers{
    "--dataset", "csv",  "--set", "dataset.ignore=id", "--set", "dataset.weights=weight", "--layers", "12,6", "--batch-size",
    "16",        "--lr", "0.02",  "--threads",         "1"};

TEST(Csv, TrainsAndIsEvaluatedAndPredictsByName) {
  Workplace place;
  place.write("flowers.csv", flowers(200));
  const Arguments train = Arguments{"train", "--quiet", "--data-dir", place.path("flowers.csv").string()} + kFlowers;
  const json summary = json_of(succeed(place, train + Arguments{"--epochs", "20", "--json", "--out", "run"}).out);
  EXPECT_GT(summary.at("final").at("test").get<double>(), 0.95);
  EXPECT_GT(summary.at("final").at("balanced_accuracy").get<double>(), 0.9);
  ASSERT_EQ(summary.at("classes").size(), 2U);
  EXPECT_EQ(summary.at("classes")[0].at("name"), "daisy");
  EXPECT_EQ(summary.at("classes")[0].at("samples"), 32);
  EXPECT_EQ(summary.at("classes")[1].at("name"), "rose, \"red\"");
  EXPECT_EQ(summary.at("classes")[1].at("samples"), 8);

  const json e = json_of(succeed(place, {"eval", "run", "--json"}).out);
  EXPECT_EQ(e.at("final"), summary.at("final").at("test"));
  EXPECT_EQ(e.at("samples"), 40);
  EXPECT_EQ(e.at("classes"), (json{"daisy", "rose, \"red\""}));
  EXPECT_EQ(e.at("balanced_accuracy"), summary.at("final").at("balanced_accuracy"));
  EXPECT_EQ(e.at("recall")[1], summary.at("classes")[1].at("recall"));
  const std::string table = succeed(place, {"eval", "run"}).out;
  for (const char* word : {"daisy", "rose, \"red\"", "recall", "balanced accuracy"}) EXPECT_NE(table.find(word), std::string::npos) << word;
  EXPECT_EQ(json_of(succeed(place, {"eval", "run", "--data-dir", place.path("flowers.csv").string(), "--json"}).out).at("samples"), 200);

  // Without labels, in another order of columns.
  place.write("new.csv", "sepal,petal\n0.001,3100\n0.002,1050\n");
  const json predicted = json_of(succeed(place, {"predict", "run", "new.csv", "--json"}).out);
  ASSERT_EQ(predicted.size(), 2U);
  EXPECT_EQ(predicted[0].at("class"), "rose, \"red\"");
  EXPECT_EQ(predicted[1].at("class"), "daisy");
  EXPECT_NE(succeed(place, {"predict", "run", "new.csv"}).out.find("new.csv[1]  class daisy"), std::string::npos);
  place.write("short.csv", "sepal\n0.001\n");
  expect_refused(place, {"predict", "run", "short.csv"}, 4, {"short.csv", "column \"petal\"", "only sepal"});

  const std::string page = read_file(place.path("run/report.html"));
  EXPECT_NE(page.find("balanced accuracy"), std::string::npos);
  EXPECT_NE(page.find("daisy"), std::string::npos);
}

TEST(Csv, ContinuesBitForBit) {
  Workplace place;
  place.write("flowers.csv", flowers(200));
  const Arguments train = Arguments{"train", "--quiet", "--no-report", "--data-dir", place.path("flowers.csv").string()} + kFlowers +
                          Arguments{"--epochs", "150"};
  auto process = place.start(train + Arguments{"--out", "part"});
  EXPECT_TRUE(
      eventually([&] { return fs::exists(place.path("part/metrics.jsonl")) && fs::file_size(place.path("part/metrics.jsonl")) > 0; }));
  process.signal(SIGINT);
  static_cast<void>(process.wait());
  succeed(place, {"train", "--quiet", "--no-report", "--resume", "part"});
  succeed(place, train + Arguments{"--out", "whole"});
  expect_same_run(place.path("part"), place.path("whole"));
}

TEST(Csv, IsRefusedByLineAndColumn) {
  Workplace place;
  const auto train = [&](const std::string& text, const Arguments& more = {}) {
    place.write("t.csv", text);
    return Arguments{"train", "--quiet", "--no-report", "--dataset", "csv", "--data-dir", place.path("t.csv").string()} + kSmall + more;
  };
  expect_no_run(place, train("a,y\n1,u\n,v\n"), 4, {"t.csv: line 3, column \"a\"", "nothing"});
  expect_no_run(place, train("a,y\n1,u\n2,v\n", {"--set", "dataset.label=z"}), 4, {"t.csv", "column \"z\"", "dataset.label"});
  expect_no_run(place, {"train", "--dataset", "csv"}, 3, {"dataset.dir", "csv", "--data-dir"});
  expect_no_run(place, {"train", "--dataset", "csv", "--data-dir", place.path("none.csv").string()}, 4, {"none.csv", "no such file"});
  expect_no_run(place, train_on(place) + kSmall + Arguments{"--set", "dataset.label=y"}, 3, {"dataset.label", "csv"});
}

TEST(Csv, RegressesSeveralTargets) {
  Workplace place;
  std::string text = "x,z,up,down\n";
  for (int i = 0; i < 300; ++i) {
    const double x = 0.01 * i - 1.5;
    text += fmt_row(x, 100.0 * ((i * 37) % 100), 5000.0 + 1000.0 * std::tanh(x), -0.5 * x);
  }
  place.write("t.csv", text);
  const Arguments train{"train",        "--quiet",
                        "--dataset",    "csv",
                        "--data-dir",   place.path("t.csv").string(),
                        "--set",        "dataset.label=up,down",
                        "--solver",     "ff_ad",
                        "--layers",     "40,20",
                        "--epochs",     "60",
                        "--batch-size", "16",
                        "--threads",    "1"};
  const json summary = json_of(succeed(place, train + Arguments{"--json", "--out", "run"}).out);
  ASSERT_EQ(summary.at("outputs").size(), 2U);
  double sum = 0.0;
  for (const auto& output : summary.at("outputs")) sum += output.at("r2").get<double>();
  EXPECT_GT(sum / 2, 0.7);
  EXPECT_NEAR(summary.at("final").at("test").get<double>(), sum / 2, 1e-12);
  EXPECT_EQ(summary.at("outputs")[1].at("name"), "down");
  const json e = json_of(succeed(place, {"eval", "run", "--json"}).out);
  EXPECT_NEAR(e.at("final").get<double>(), sum / 2, 1e-5);
  EXPECT_EQ(e.at("outputs")[0].at("name"), "up");
  place.write("new.csv", "x,z\n0.8,500\n-0.8,500\n");
  const json predicted = json_of(succeed(place, {"predict", "run", "new.csv", "--json"}).out);
  EXPECT_GT(predicted[0].at("values")[0].get<double>(), predicted[1].at("values")[0].get<double>() + 500.0) << "in the units of the file";
  EXPECT_NE(read_file(place.path("run/report.html")).find("Targets one by one"), std::string::npos);
}

TEST(Npz, NamesClassesByTheirTexts) {
  Workplace place;
  NpzArchive archive = sample_archive();
  for (const char* name : {"y_train", "y_test"}) {
    const auto labels = archive.at(name).to<std::int32_t>();
    NpyArray texts{NpyArray::Type::text, {isize(labels.size())}, std::vector<std::byte>(labels.size() * 16), 4};
    for (std::size_t i = 0; i < labels.size(); ++i)
      for (std::size_t k = 0; k < 3; ++k)
        texts.bytes[16 * i + 4 * k] = static_cast<std::byte>(
            "bat"
            "cow"
            "elk"[static_cast<std::size_t>(3 * labels[i]) + k]);
    archive[name] = texts;
  }
  const json summary = json_of(succeed(place, train_on(place, archive) + kSmall + Arguments{"--json", "--out", "run"}).out);
  EXPECT_EQ(summary.at("classes")[1].at("name"), "cow");
  EXPECT_EQ(json_of(succeed(place, {"eval", "run", "--json"}).out).at("classes"), (json{"bat", "cow", "elk"}));
  EXPECT_EQ(json_of(succeed(place, {"predict", "run", "data.npz", "--json"}).out).size(), 80U);
  for (const char* name : {"y_train", "y_test"})
    for (std::size_t at = 0; at < archive[name].bytes.size(); at += 16)
      if (archive[name].bytes[at] == static_cast<std::byte>('e')) archive[name].bytes[at] = static_cast<std::byte>('a');
  write_npz(place.path("other.npz"), archive);
  expect_refused(place, {"eval", "run", "--data-dir", "other.npz"}, 4, {"npz", "classes of the same names", "bat, cow, elk"});
}

TEST(Npz, WeightsChangeWhatIsLearnt) {
  Workplace place;
  NpzArchive archive = sample_archive();
  std::vector<float> weights(320);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = i % 3 == 0 ? 0.0F : 1.0F;  // nothing of class 0
  archive["w_train"] = NpyArray::of<float>(weights, {320});
  const Arguments train =
      train_on(place, archive) + Arguments{"--layers", "12,6", "--batch-size", "32", "--epochs", "30", "--lr", "0.02", "--threads", "1"};
  const json plain = json_of(succeed(place, train + Arguments{"--json", "--out", "plain"}).out);
  const json weighted = json_of(succeed(place, train + Arguments{"--set", "dataset.weights=w_train", "--json", "--out", "weighted"}).out);
  EXPECT_GT(plain.at("classes")[0].at("recall").get<double>(), 0.8);
  EXPECT_LT(weighted.at("classes")[0].at("recall").get<double>(), 0.5);
  expect_no_run(place, train + Arguments{"--set", "dataset.weights=none"}, 4, {"data.npz", "'none'"});
}

}  // namespace
}  // namespace ffzero::test
