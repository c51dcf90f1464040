// eval, predict, inspect, datasets.
// SPDX-License-Identifier: MIT
#include "compare_runs.hpp"
#include "ffzero/dataset/image_file.hpp"
#include "refusal.hpp"

namespace ffzero::test {
namespace {

using json = nlohmann::ordered_json;

class FinishedRun : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    summary_ = json_of(succeed(place_, train_on(place_, sample_archive(GetParam().data)) + GetParam().arguments +
                                           Arguments{"--epochs", "2", "--json", "--out", "run"})
                           .out);
  }
  Workplace place_;
  json summary_;
};

TEST_P(FinishedRun, IsEvaluatedToWhatItsSummarySays) {
  const json e = json_of(succeed(place_, {"eval", "run", "--json"}).out);
  EXPECT_EQ(e.at("final"), summary_.at("final").at("test"));
  ASSERT_EQ(e.at("layers").size(), summary_.at("layers").size());
  for (std::size_t i = 0; i < e.at("layers").size(); ++i) {
    EXPECT_EQ(e.at("layers")[i].at("name"), summary_.at("layers")[i].at("name"));
    EXPECT_EQ(e.at("layers")[i].at("value"), summary_.at("layers")[i].at("test").at("value"));
  }
  if (!summary_.at("vote").is_null()) {
    EXPECT_EQ(e.at("vote").at("value"), summary_.at("vote").at("test"));
  }
  int total = 0;
  for (const auto& row : e.at("confusion"))
    for (const auto& count : row) total += count.get<int>();
  EXPECT_EQ(total, e.at("samples"));
  const std::string table = succeed(place_, {"eval", "run"}).out;
  for (const char* word : {"layer", "parameters", "accuracy", "confusion matrix"}) EXPECT_NE(table.find(word), std::string::npos) << word;
}

TEST_P(FinishedRun, PredictsAsItWasEvaluated) {
  const json predictions = json_of(succeed(place_, {"predict", "run", "data.npz", "--json"}).out);
  const auto labels = read_npz(place_.path("data.npz")).at("y_test").to<std::int32_t>();
  ASSERT_EQ(predictions.size(), labels.size());
  double right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    right += predictions[i].at("class") == labels[i] ? 1 : 0;
    EXPECT_EQ(predictions[i].at("index"), i);
    EXPECT_EQ(predictions[i].contains("similarities") ? predictions[i].at("similarities").size() : predictions[i].at("scores").size(), 3U);
  }
  EXPECT_NEAR(right / static_cast<double>(labels.size()), summary_.at("final").at("test").get<double>(), 1e-12);
  EXPECT_EQ(lines_of(succeed(place_, {"predict", "run", "data.npz"}).out).size(), labels.size());
}

TEST_P(FinishedRun, IsInspected) {
  const json run = json_of(succeed(place_, {"inspect", "run", "--json"}).out);
  EXPECT_EQ(run.at("solver"), summary_.at("solver"));
  EXPECT_TRUE(run.at("finished").get<bool>());
  EXPECT_TRUE(run.at("go_on").is_null());
  EXPECT_EQ(run.at("forward_evals").at("training"), summary_.at("forward_evals").at("training"));
  EXPECT_GE(run.at("layers").size(), 2U);
  for (const auto& layer : run.at("layers")) EXPECT_GT(layer.at("norm").get<double>(), 0.0);
  const std::string text = succeed(place_, {"inspect", "run"}).out;
  for (const char* word : {"layer", "parameters", "norm", "forward evaluations", "finished"})
    EXPECT_NE(text.find(word), std::string::npos) << word;
}

TEST_P(FinishedRun, IsProbed) {
  const std::string before = read_file(place_.path("run") / "checkpoint.npz");
  const json probe = json_of(succeed(place_, {"probe", "run", "--draws", "4", "--json"}).out);
  EXPECT_EQ(probe.at("blocks").size(), summary_.at("layers").size());
  EXPECT_GT(probe.at("forward_evals").get<std::int64_t>(), 0);
  for (const auto& block : probe.at("blocks")) {
    ASSERT_EQ(block.at("at").size(), 2U);
    for (const auto& at : block.at("at")) {
      EXPECT_LE(std::abs(at.at("cosine").at("mean").get<double>()), 1.0 + 1e-6);
      EXPECT_GT(at.at("suggested").at("eps").get<double>(), 0.0);
      EXPECT_EQ(at.at("noise"), 0.0) << "a simulation repeats exactly";
    }
  }
  const std::string table = succeed(place_, {"probe", "run", "--draws", "4", "--layer", "0"}).out;
  for (const char* word : {"cosine with the gradient", "between two batches", "mismatch", "update.lr", "billed to no run"})
    EXPECT_NE(table.find(word), std::string::npos) << word;
  EXPECT_EQ(read_file(place_.path("run") / "checkpoint.npz"), before);
}

INSTANTIATE_TEST_SUITE_P(
    Cli, FinishedRun,
    ::testing::Values(Variant{"Dense", kFeatures, {"--layers", "12,6", "--set", "vote.rule=majority"}},
                      Variant{"DenseGroups", kFeatures, {"--layers", "12,8", "--set", "model.groups=2", "--set", "vote.rule=sum"}},
                      Variant{"EndToEnd", kFeatures, {"--layers", "12,3", "--solver", "bp_ad"}},
                      Variant{"Conv", kImages, kConvolutions + kProjections},
                      Variant{"Mesh", kFields, {"--model", "photonic", "--layers", "2"}}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(Eval, TriesARunOnAnotherMap) {
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--preset", "opaque", "--set", "model.map=crossbar_io", "--out", "run"});
  const auto value = [&](const Arguments& sets) {
    return json_of(succeed(place, Arguments{"eval", "run", "--json"} + sets).out).at("final").get<double>();
  };
  EXPECT_GE(value({}), 0.0);
  EXPECT_GE(value({"--set", "model.map=dense"}), 0.0);
  EXPECT_GE(value({"--set", "model.map=crossbar_pcm", "--set", "model.map_options=\"seconds = 3600\""}), 0.0);
}

TEST(Probe, FindsTheCosineThatTheoryExpectsAndRefusesWhatIsNotThere) {
  Workplace place;
  succeed(place, train_on(place) + Arguments{"--preset", "opaque", "--layers", "12,6", "--epochs", "1", "--out", "run"});
  const json probe = json_of(succeed(place, {"probe", "run", "--draws", "200", "--layer", "1", "--json"}).out);
  ASSERT_EQ(probe.at("blocks").size(), 1U);
  const json& block = probe.at("blocks").at(0);
  EXPECT_EQ(block.at("name"), "dense1");
  EXPECT_EQ(block.at("information"), "opaque");
  const json& first = block.at("at").at(0);
  EXPECT_NEAR(first.at("cosine").at("mean").get<double>(), first.at("expected_cosine").get<double>(), 0.1);
  const Outcome layer = place.run({"probe", "run", "--layer", "2"});
  EXPECT_EQ(layer.code, 2);
  EXPECT_NE(layer.err.find("--layer: the run has layers 0 .. 1; got 2"), std::string::npos) << layer.err;
  EXPECT_EQ(place.run({"probe", "nowhere"}).code, 4);
  fs::remove(place.path("data.npz"));
  EXPECT_EQ(place.run({"probe", "run"}).code, 4);
}

TEST(Inspect, SaysWhereAnUnfinishedRunStandsAndHowToGoOn) {
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--out", "run"});
  fs::remove(place.path("run/summary.json"));
  const std::string text = succeed(place, {"inspect", "run"}).out;
  EXPECT_NE(text.find("not finished"), std::string::npos) << text;
  EXPECT_NE(text.find("ffzero train --resume run"), std::string::npos) << text;
}

// A network for byte images of 12 x 12, and files of several kinds to ask it about.
class Pictures : public ::testing::Test {
 protected:
  void SetUp() override {
    succeed(place_, train_on(place_, sample_archive({.train = 60, .test = 30, .shape = {12, 12}, .bytes = true})) +
                        Arguments{"--layers", "8", "--epochs", "1", "--batch-size", "16", "--out", "run"});
    const auto pixels = read_npz(place_.path("data.npz")).at("x_test").to<std::uint8_t>();
    picture_.assign(pixels.begin(), pixels.begin() + 144);
  }
  json only(const std::string& file) {
    const json all = json_of(succeed(place_, {"predict", "run", file, "--json"}).out);
    EXPECT_EQ(all.size(), 1U);
    return all.at(0).at("similarities");
  }
  Workplace place_;
  std::string picture_;
};

TEST_F(Pictures, OfEveryKindGiveTheSameSimilarities) {
  place_.write("a.pgm", "P5\n12 12\n255\n" + picture_);
  write_png(place_.path("a.png"), {.height = 12, .width = 12, .pixels = {picture_.begin(), picture_.end()}});
  place_.write("a-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\x01\0\0\0\x0c\0\0\0\x0c", 16) + picture_);
  const json expected = json_of(succeed(place_, {"predict", "run", "data.npz", "--json"}).out).at(0).at("similarities");
  EXPECT_EQ(only("a.pgm"), expected);
  EXPECT_EQ(only("a.png"), expected);
  EXPECT_EQ(only("a-idx3-ubyte"), expected);
  const std::string line = succeed(place_, {"predict", "run", "a.pgm", "a.png"}).out;
  EXPECT_EQ(lines_of(line).size(), 2U);
  EXPECT_NE(line.find("a.pgm  class "), std::string::npos) << line;
}

TEST_F(Pictures, ThatDoNotFitAreRefused) {
  place_.write("small.pgm", "P5\n11 12\n255\n" + picture_.substr(0, 132));
  expect_refused(place_, {"predict", "run", "small.pgm"}, 4, {"small.pgm", "1x12x12", "1x12x11", "resize"});
  place_.write("text.txt", "hello, world");
  expect_refused(place_, {"predict", "run", "text.txt"}, 4, {"text.txt", "PGM"});
  place_.write("cut.pgm", "P5\n12 12\n255\n" + picture_.substr(0, 10));
  expect_refused(place_, {"predict", "run", "cut.pgm"}, 4, {"cut.pgm"});
  expect_refused(place_, {"predict", "run", "absent.png"}, 4, {"absent.png"});
  write_npz(place_.path("real.npz"), {{"x", samples_of({.shape = {12, 12}}, 2, 1)}});
  expect_refused(place_, {"predict", "run", "real.npz"}, 4, {"real.npz", "bytes", "real numbers"});
  write_npz(place_.path("other.npz"), {{"z", samples_of({}, 2, 1)}});
  expect_refused(place_, {"predict", "run", "other.npz"}, 4, {"other.npz", "x_test"});
}

TEST_F(Pictures, AreEvaluatedOnCompatibleDataOnly) {
  expect_refused(place_, {"eval", "run", "--dataset", "glyphs"}, 4, {"glyphs", "3 classes", "10"});
  write_npz(place_.path("more.npz"), sample_archive({.train = 30, .test = 15, .shape = {12, 12}, .bytes = true}));
  EXPECT_EQ(json_of(succeed(place_, {"eval", "run", "--data-dir", place_.path("more.npz").string(), "--json"}).out).at("samples"), 15);
}

TEST(Predict, RefusesNaN) {
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--out", "run"});
  const std::vector<float> values(40, std::nanf(""));
  write_npz(place.path("nan.npz"), {{"x", NpyArray::of<float>(values, {2, 20})}});
  expect_refused(place, {"predict", "run", "nan.npz"}, 4, {"nan.npz: x", "finite", "nan in sample 0"});
}

TEST(ClassNames, AreThoseOfTheData) {
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--classes", "2,0", "--out", "run"});
  const json e = json_of(succeed(place, {"eval", "run", "--json"}).out);
  EXPECT_EQ(e.at("classes"), json::array({2, 0}));
  for (const auto& sample : json_of(succeed(place, {"predict", "run", "data.npz", "--json"}).out))
    EXPECT_TRUE(sample.at("class") == 2 || sample.at("class") == 0) << sample.dump();
}

TEST(Datasets, AreListedVerifiedAndExported) {
  Workplace place;
  const std::string list = succeed(place, {"datasets", "list"}).out;
  for (const char* name : {"glyphs", "mnist", "fashion-mnist", "function1", "function2", "npz", "csv", "idx"})
    EXPECT_NE(list.find(name), std::string::npos) << name;
  EXPECT_EQ(json_of(succeed(place, {"datasets", "list", "--json"}).out).size(), 8U);
  const Outcome missing = place.run({"datasets", "verify", "mnist"});
  EXPECT_EQ(missing.code, 6);
  EXPECT_NE(missing.out.find("train-images-idx3-ubyte"), std::string::npos);
  EXPECT_NE(missing.err.find("ffzero datasets fetch mnist"), std::string::npos) << missing.err;
  expect_refused(place, {"datasets", "verify", "minst"}, 3, {"minst", "fashion-mnist"});
  expect_refused(place, {"datasets", "export", "function1", "--dir", "out"}, 3, {"grey images"});
  succeed(place, {"datasets", "export", "glyphs", "--dir", "out/glyphs"});
  EXPECT_EQ(fs::file_size(place.path("out/glyphs/t10k-images-idx3-ubyte")), 16U + 2000U * 784U);
  const json s = json_of(succeed(place, {"train", "--quiet", "--no-report", "--json", "--dataset", "idx", "--data-dir", "out/glyphs",
                                         "--layers", "10", "--epochs", "1", "--out", "run"})
                             .out);
  const json g =
      json_of(succeed(place, {"train", "--quiet", "--no-report", "--json", "--layers", "10", "--epochs", "1", "--out", "glyphs"}).out);
  EXPECT_EQ(s.at("final"), g.at("final"));
}

}  // namespace
}  // namespace ffzero::test
