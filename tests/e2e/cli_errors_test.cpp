// Bad settings and bad data: refused in one line, with the documented exit code, and nothing is left behind.
// SPDX-License-Identifier: MIT
#include <cmath>

#include "refusal.hpp"

namespace ffzero::test {
namespace {

struct BadSetting {
  std::string name;
  Arguments arguments;
  std::vector<std::string> parts;
  friend void PrintTo(const BadSetting& bad, std::ostream* out) { *out << bad.name; }
};

class Settings : public ::testing::TestWithParam<BadSetting> {};

TEST_P(Settings, AreRefusedInOneLine) {
  Workplace place;
  expect_no_run(place, train_on(place) + GetParam().arguments, 3, GetParam().parts);
}

INSTANTIATE_TEST_SUITE_P(
    Cli, Settings,
    ::testing::Values(
        BadSetting{"UnknownKey", {"--set", "speed=3"}, {"command line", "unknown key", "\"speed\"", "did you mean"}},
        BadSetting{"MisspeltKey", {"--set", "training.epoch=3"}, {"command line", "\"training.epoch\"", "\"training.epochs\""}},
        BadSetting{"MisspeltChoice", {"--set", "update.rule=sdg"}, {"update.rule", "must be one of", "\"sdg\""}},
        BadSetting{"UnusedKey", {"--set", "model.mesh.parallel=2"}, {"model.mesh.parallel", "no effect", "photonic", "remove it"}},
        BadSetting{"UnusedWithThisEstimator",
                   {"--solver", "ff_ad", "--directions", "4"},
                   {"gradient.directions", "no effect", "directional", "4", "remove it"}},
        BadSetting{"WidthsOfAMesh", {"--model", "photonic", "--set", "model.layers=[10]"}, {"model.layers", "model.mesh.layers"}},
        BadSetting{"OutOfRange", {"--epochs", "-1"}, {"training.epochs", "at least 0", "-1"}},
        BadSetting{"RateOutOfRange", {"--lr", "1e30"}, {"update.lr", "at most 1e+09", "1e+30"}},
        BadSetting{"Fraction", {"--set", "training.epochs=2.5"}, {"training.epochs", "integer", "2.5"}},
        BadSetting{"TextForANumber", {"--eps", "small"}, {"gradient.eps", "number", "\"small\""}},
        BadSetting{"NumberForAList", {"--set", "model.layers=10"}, {"model.layers", "list", "10"}},
        BadSetting{"NumberForAFlag", {"--set", "baseline.untrained=1"}, {"baseline.untrained", "true or false", "1"}},
        BadSetting{
            "GroupsThatDoNotDivide", {"--layers", "12,12", "--set", "model.groups=5"}, {"model.groups", "divide", "12", "5", "divisor"}},
        BadSetting{"GroupsTooSmallForTheClasses",
                   {"--layers", "12,12", "--set", "model.groups=6"},
                   {"model.groups", "K = 3", "2", "fewer groups"}},
        BadSetting{"FewerOutputsThanClasses", {"--layers", "12,2"}, {"model.layers", "dense1", "K = 3", "2", "widen"}},
        BadSetting{"BatchLargerThanTheSet", {"--batch-size", "321"}, {"training.batch_size", "320 training samples", "321", "smaller"}},
        BadSetting{"MoreClassesThanThereAre", {"--classes", "4"}, {"dataset.classes", "3 classes", "4"}},
        BadSetting{"ValidationThatLeavesNothing", {"--set", "dataset.validation=320"}, {"dataset.validation", "320"}},
        BadSetting{"LossOfAnotherTask", {"--set", "objective.loss=squared"}, {"objective.loss", "regression", "squared"}},
        BadSetting{"CoordinatesOfADenseNetwork", {"--solver", "ff_coordinate"}, {"gradient.estimator", "mesh", "coordinate"}},
        BadSetting{"NoLayers", {"--layers", ""}, {"model.layers", "at least one", "[]"}},
        BadSetting{"NotANumber", {"--lr", "nan"}, {"update.lr", "at least", "got nan"}},
        BadSetting{"ControlOfASingleLayer", {"--control", "--layers", "10"}, {"baseline.untrained", "in front of the head", "--baseline"}},
        BadSetting{"ControlEndToEnd", {"--control", "--solver", "bp_ad"}, {"baseline.untrained", "local losses", "--baseline"}},
        BadSetting{"UnknownSolver", {"--solver", "ff_xy"}, {"--solver", "ff_dd", "\"ff_xy\""}}),
    [](const auto& parameter) { return parameter.param.name; });

struct BadArchive {
  std::string name;
  std::function<void(NpzArchive&)> spoil;
  std::vector<std::string> parts;
  friend void PrintTo(const BadArchive& bad, std::ostream* out) { *out << bad.name; }
};

// Overwrites one number of an array.
template <class T>
void put(NpyArray& array, std::size_t position, T value) {
  std::vector<T> values = array.to<T>();
  values.at(position) = value;
  array = NpyArray::of<T>(values, array.shape);
}

class Archives : public ::testing::TestWithParam<BadArchive> {};

TEST_P(Archives, AreRefusedInOneLine) {
  Workplace place;
  NpzArchive archive = sample_archive();
  GetParam().spoil(archive);
  expect_no_run(place, train_on(place, archive) + kSmall, 4, GetParam().parts + std::vector<std::string>{"data.npz"});
}

INSTANTIATE_TEST_SUITE_P(
    Cli, Archives,
    ::testing::Values(
        BadArchive{"WithoutLabels", [](NpzArchive& a) { a.erase("y_train"); }, {"y_train"}},
        BadArchive{"WithNaN", [](NpzArchive& a) { put(a["x_train"], 45, std::nanf("")); }, {"x_train", "nan", "2"}},
        BadArchive{"WithInfinity", [](NpzArchive& a) { put(a["x_test"], 3, HUGE_VALF); }, {"x_test", "inf"}},
        BadArchive{"WithANegativeLabel", [](NpzArchive& a) { put(a["y_train"], 7, std::int32_t{-2}); }, {"y_train", "-2", "7"}},
        BadArchive{"WithATestLabelBeyondTheClasses", [](NpzArchive& a) { put(a["y_test"], 7, std::int32_t{5}); }, {"5"}},
        BadArchive{"WithAnEmptyClass", [](NpzArchive& a) { put(a["y_train"], 7, std::int32_t{4}); }, {"class", "3"}},
        BadArchive{"WithFewerLabels", [](NpzArchive& a) { a["y_train"] = labels_of_samples(319, 3); }, {"y_train", "319", "320"}},
        BadArchive{"WithOtherTestSamples", [](NpzArchive& a) { a["x_test"] = samples_of({.shape = {21}}, 80, 2); }, {"x_test", "21"}}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(Archive, DamagedOnTheDiskIsRefused) {
  Workplace place;
  const Arguments train = train_on(place) + kSmall;
  const std::string whole = read_file(place.path("data.npz"));
  place.write("data.npz", whole.substr(0, whole.size() / 2));
  expect_no_run(place, train, 4, {"data.npz"});
  std::string flipped = whole;
  flipped[whole.size() / 3] = static_cast<char>(flipped[whole.size() / 3] ^ 0x40);
  place.write("data.npz", flipped);
  expect_no_run(place, train, 4, {"data.npz"});
  place.write("data.npz", "no archive at all");
  expect_no_run(place, train, 4, {"data.npz"});
  fs::remove(place.path("data.npz"));
  expect_no_run(place, train, 4, {"data.npz"});
}

// The four IDX files of the smallest possible data set: 20 images of 4 x 4 in two classes.
class IdxFiles : public ::testing::Test {
 protected:
  static std::string number(std::uint32_t n) {
    return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
  }
  static std::string images(std::uint32_t count) {
    return number(2051) + number(count) + number(4) + number(4) + std::string(count * 16, '\x05');
  }
  static std::string labels(std::uint32_t count) {
    std::string text = number(2049) + number(count);
    for (std::uint32_t i = 0; i < count; ++i) text += static_cast<char>(i % 2);
    return text;
  }
  void SetUp() override {
    place_.write("idx/train-images-idx3-ubyte", images(20));
    place_.write("idx/train-labels-idx1-ubyte", labels(20));
    place_.write("idx/t10k-images-idx3-ubyte", images(10));
    place_.write("idx/t10k-labels-idx1-ubyte", labels(10));
  }
  Arguments train() const {
    return {"train",    "--quiet", "--dataset", "idx", "--data-dir",   place_.path("idx").string(),
            "--layers", "4",       "--epochs",  "1",   "--batch-size", "5"};
  }
  Workplace place_;
};

TEST_F(IdxFiles, TrainWhenTheyAreRight) { succeed(place_, train() + Arguments{"--out", "run"}); }

TEST_F(IdxFiles, AreRefusedWhenTruncated) {
  place_.write("idx/train-images-idx3-ubyte", images(20).substr(0, 100));
  expect_no_run(place_, train(), 4, {"train-images-idx3-ubyte"});
}

TEST_F(IdxFiles, AreRefusedWhenLabelsStandInForImages) {
  place_.write("idx/train-images-idx3-ubyte", labels(20));
  expect_no_run(place_, train(), 4, {"train-images-idx3-ubyte", "2049"});
}

TEST_F(IdxFiles, AreRefusedWhenTheCountsDiffer) {
  place_.write("idx/train-labels-idx1-ubyte", labels(19));
  expect_no_run(place_, train(), 4, {"train-labels-idx1-ubyte", "20", "19"});
}

TEST_F(IdxFiles, AreRefusedWhenTheGzipStreamIsCorrupt) {
  place_.write("idx/train-images-idx3-ubyte",
               std::string("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 10) + "garbage that is no deflate stream");
  expect_no_run(place_, train(), 4, {"train-images-idx3-ubyte"});
}

TEST_F(IdxFiles, AreRefusedWhenOneIsMissing) {
  fs::remove(place_.path("idx/t10k-labels-idx1-ubyte"));
  expect_no_run(place_, train(), 4, {"t10k-labels-idx1-ubyte", "dataset.dir"});
}

TEST_F(IdxFiles, AreRefusedAsMnistWhenTheSizeIsWrong) {
  expect_no_run(place_, {"train", "--dataset", "mnist", "--data-dir", place_.path("idx").string()}, 4, {"28 x 28", "4 x 4", "idx"});
}

TEST(Dataset, OfTheUsersOwnNeedsAFile) {
  Workplace place;
  expect_no_run(place, {"train", "--dataset", "npz"}, 3, {"dataset.dir", "file", "none", "--data-dir"});
}

TEST(Dataset, ThatIsMisspeltNamesTheChoices) {
  Workplace place;
  expect_no_run(place, {"train", "--dataset", "mnits"}, 3, {"dataset.name", "fashion-mnist", "\"mnits\""});
}

TEST(Dataset, ThatIsNotThereNamesTheAlternatives) {
  Workplace place;
  expect_no_run(place, {"train", "--dataset", "mnist"}, 4, {"train-images-idx3-ubyte", "ffzero datasets fetch mnist", "glyphs"});
}

}  // namespace
}  // namespace ffzero::test
