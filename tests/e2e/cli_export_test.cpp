// ffzero export: what was written computes what ffzero predicts.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "compare_runs.hpp"
#include "refusal.hpp"
#include "support/expect_error.hpp"
#ifdef FFZERO_WITH_ONNX
#include "ffzero/export/onnx/onnx_model.hpp"
#endif

namespace ffzero::test {
namespace {

#ifdef FFZERO_WITH_ONNX
TEST(Export, WritesNoDigitalReadoutAsOnnx) {
  GraphLayer layer;
  layer.name = "mesh0";
  layer.scoring = ReadoutScoring{.weight = Matrix<float>::Ones(2, 4), .bias = Vector<float>::Zero(2)};
  NetworkGraph graph;
  graph.layers.push_back(layer);
  const std::string message = message_of<ConfigError>([&] { (void)onnx_model(graph); });
  EXPECT_EQ(message, "export --format onnx: mesh0: scores must be prototypes or outputs; got a digital readout; --format c writes it");
}

constexpr bool kWithOnnx = true;
#else
constexpr bool kWithOnnx = false;
#endif

struct ExportCase {
  std::string name;
  Arguments arguments;
  SampleData data = {};
  Index targets = 0;  ///< more than 0: regression
  friend void PrintTo(const ExportCase& c, std::ostream* out) { *out << c.name; }
};

Arguments sets(const std::vector<std::string>& keys) {
  Arguments list;
  for (const auto& key : keys) list.insert(list.end(), {"--set", key});
  return list;
}

const Arguments kNarrow{"--layers", "12,6", "--epochs", "2", "--batch-size", "32"};

const std::vector<ExportCase>& cases() {
  static const SampleData odd{.train = 160, .test = 60, .shape = {1, 13, 11}, .bytes = true};
  static const SampleData colour{.train = 120, .test = 40, .classes = 4, .shape = {3, 12, 12}, .bytes = true};
  static const std::vector<ExportCase> list{
      {"Default", kNarrow},
      {"Last", kNarrow + sets({"vote.rule=last", "vote.layer=last"})},
      {"Best", kNarrow + sets({"vote.rule=last", "vote.layer=best"})},
      {"Sum", kNarrow + sets({"vote.rule=sum"})},
      {"Majority", Arguments{"--layers", "12,12,6", "--epochs", "2"} + sets({"vote.rule=majority"})},
      {"MajorityEarly", Arguments{"--layers", "12,12,6", "--epochs", "2"} + sets({"vote.rule=majority_early"})},
      {"SumLogSoftmax", kNarrow + sets({"vote.rule=sum_log_softmax"})},
      {"Groups",
       Arguments{"--layers", "12,12", "--epochs", "2"} + sets({"model.groups=2", "model.normalise=length", "model.activation=tanh"})},
      {"Centred", kNarrow + sets({"model.normalise=centre_length", "model.local_loss_at=post", "dataset.scale=standardise"})},
      {"Axes", kNarrow + sets({"model.pca=[5,4]"})},
      {"Cosines", kNarrow + sets({"model.pca=[5,4]", "model.front_end=dct", "dataset.scale=unit"})},
      {"EndToEnd", kNarrow + Arguments{"--solver", "bp_ad"}},
      {"Blocks", Arguments{"--layers", "12,12,6", "--epochs", "2"} + sets({"objective.scope=blocks"})},
      {"Images", kNarrow, kImages},
      {"CutAndPooled", kNarrow + sets({"dataset.crop=9", "dataset.downsample=4"}), odd},
      {"Convolutions", kConvolutions + kProjections, kImages},
      {"OverlappingPools", kConvolutions + kProjections + sets({"model.conv.pool=[3]", "model.conv.pool_stride=[2]"}), kImages},
      {"Colour",
       kConvolutions + sets({"model.conv.stride=[2]", "model.conv.pool=[2]", "model.conv.pool_stride=[1]", "model.conv.projection_pool=2"}),
       colour},
      {"ConvolutionsEndToEnd", kConvolutions + Arguments{"--solver", "bp_ad"}, kImages},
      {"Target", kNarrow + sets({"dataset.task=regression"}), kFeatures, 1},
      {"Targets", kNarrow + sets({"dataset.task=regression"}), kFeatures, 2}};
  return list;
}

NpzArchive archive_of(const ExportCase& c) {
  NpzArchive archive = sample_archive(c.data);
  if (c.targets == 0) return archive;
  for (const char* part : {"train", "test"}) {
    const auto x = archive.at(std::string("x_") + part).to<float>();
    const Index count = archive.at(std::string("x_") + part).shape.front(), width = isize(x.size()) / count;
    std::vector<float> y;
    for (Index i = 0; i < count; ++i)
      for (Index t = 0; t < c.targets; ++t) y.push_back(3.0F + static_cast<float>(t) + 2.0F * x[usize(i * width + t)]);
    archive[std::string("y_") + part] = NpyArray::of<float>(y, {count, c.targets});
  }
  return archive;
}

// Reads samples from standard input; one line a sample: the class, and its scores; or the values.
std::string main_source(bool bytes, bool classes) {
  std::string text =
      "#include <stdio.h>\n#include \"net.h\"\nint main(void) {\n  static SAMPLE sample[NET_INPUTS];\n"
      "  static float scores[NET_OUTPUTS], workspace[NET_WORKSPACE];\n"
      "  while (fread(sample, sizeof *sample, NET_INPUTS, stdin) == NET_INPUTS) {\n";
  text += classes ? "    const int k = net_predict(sample, scores, workspace);\n    if (net_predict(sample, 0, workspace) != k) return 1;\n"
                    "    printf(\"%s\", net_class(k));\n"
                  : "    net_predict(sample, scores, workspace);\n    printf(\"-\");\n";
  text += "    for (int i = 0; i < NET_OUTPUTS; ++i) printf(\" %.9g\", (double)scores[i]);\n    printf(\"\\n\");\n  }\n  return 0;\n}\n";
  return std::string("#define SAMPLE ") + (bytes ? "unsigned char" : "float") + "\n" + text;
}

// Scores or values of a sample as `ffzero predict --json` prints them.
std::vector<double> numbers_of(const nlohmann::json& sample, const ExportCase& c) {
  if (c.targets == 1) return {sample.at("value").get<double>()};
  return sample.at(c.targets > 0 ? "values" : sample.contains("scores") ? "scores" : "similarities").get<std::vector<double>>();
}

std::string class_of(const nlohmann::json& sample) {
  const nlohmann::json& name = sample.at("class");
  return name.is_string() ? name.get<std::string>() : name.dump();
}

// Lines of a foreign program ("<class> <score> ..") against what ffzero predicts.
void expect_predictions(const std::vector<std::string>& lines, const nlohmann::json& expected, const ExportCase& c) {
  ASSERT_EQ(lines.size(), usize(c.data.test));
  ASSERT_EQ(expected.size(), lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::istringstream line(lines[i]);
    std::string name;
    line >> name;
    for (const double score : numbers_of(expected[i], c)) {
      double value = 0.0;
      EXPECT_TRUE(line >> value) << i;
      EXPECT_NEAR(value, score, 2e-5 * (1.0 + std::abs(score))) << i;
    }
    if (c.targets == 0) {
      EXPECT_EQ(name, class_of(expected[i])) << i;
    }
  }
}

class ExportC : public testing::TestWithParam<ExportCase> {};

TEST_P(ExportC, PredictsWhatTheProgramPredicts) {
  const ExportCase& c = GetParam();
  Workplace place;
  const NpzArchive archive = archive_of(c);
  succeed(place, train_on(place, archive) + c.arguments + Arguments{"--threads", "1", "--out", "run"});
  succeed(place, {"export", "run", "--format", "c", "--name", "net", "--out", "net.h"});
  place.write("main.c", main_source(c.data.bytes, c.targets == 0));
  const NpyArray& samples = archive.at("x_test");
  std::ofstream(place.path("samples"), std::ios::binary)
      .write(reinterpret_cast<const char*>(samples.bytes.data()), static_cast<std::streamsize>(samples.bytes.size()));
  const std::string folder = place.path("").string(), warnings = "-std=c99 -O1 -Wall -Wextra -Wpedantic -Wshadow -Werror";
  const std::string command =
      "cd '" + folder + "' && " + FFZERO_COMPILER + " -x c " + warnings + " main.c -o main -lm >build.log 2>&1 && ./main <samples >answers";
  ASSERT_EQ(std::system(command.c_str()), 0) << read_file(place.path("build.log"));
  const auto expected = json_of(succeed(place, {"predict", "run", "data.npz", "--json"}).out);
  expect_predictions(lines_of(read_file(place.path("answers"))), expected, c);
}

INSTANTIATE_TEST_SUITE_P(Cases, ExportC, testing::ValuesIn(cases()), [](const auto& test) { return test.param.name; });

class ExportOnnx : public testing::TestWithParam<ExportCase> {};

TEST_P(ExportOnnx, IsReadByAnotherProgramToPredictTheSame) {
  if (!kWithOnnx) GTEST_SKIP() << "this build writes no ONNX: tools/install_deps.sh --onnx";
  const ExportCase& c = GetParam();
  Workplace place;
  succeed(place, train_on(place, archive_of(c)) + c.arguments + Arguments{"--threads", "1", "--out", "run"});
  if (c.name.starts_with("Majority")) {
    expect_refused(place, {"export", "run", "--format", "onnx", "--out", "net.onnx"}, 3,
                   {"vote must be last, sum", "majority", "--format c"});
    return;
  }
  succeed(place, {"export", "run", "--format", "onnx", "--out", "net.onnx"});
  const std::string command = "cd '" + place.path("").string() + "' && " + FFZERO_SYSTEM_PYTHON + " " + FFZERO_READ_ONNX +
                              " net.onnx data.npz >answers 2>reader.log";
  const int status = std::system(command.c_str());
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "no OpenCV for Python to read it with: tools/install_deps.sh --onnx";
  ASSERT_EQ(status, 0) << read_file(place.path("reader.log"));
  expect_predictions(lines_of(read_file(place.path("answers"))), json_of(succeed(place, {"predict", "run", "data.npz", "--json"}).out), c);
}

INSTANTIATE_TEST_SUITE_P(Cases, ExportOnnx, testing::ValuesIn(cases()), [](const auto& test) { return test.param.name; });

TEST(Export, SaysHowToGetOnnxWhereItIsMissing) {
  if (kWithOnnx) GTEST_SKIP() << "this build writes ONNX";
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--out", "run"});
  expect_refused(place, {"export", "run", "--format", "onnx", "--out", "x.onnx"}, 3, {"built with libonnx", "install_deps.sh --onnx"});
}

TEST(Export, WritesTheArraysOfALayerByName) {
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--out", "run"});
  succeed(place, {"export", "run", "--format", "npz", "--out", "net.npz"});
  const NpzArchive arrays = read_npz(place.path("net.npz"));
  const NpzArchive checkpoint = read_npz(place.path("run/checkpoint.npz"));
  const auto theta = checkpoint.at("layer0.theta").to<float>();
  const auto weight = arrays.at("dense0.map.weight").to<float>(), bias = arrays.at("dense0.map.bias").to<float>();
  EXPECT_EQ(arrays.at("dense0.map.weight").shape, (std::vector<Index>{12, 20}));
  ASSERT_EQ(weight.size() + bias.size(), theta.size());
  EXPECT_TRUE(std::equal(weight.begin(), weight.end(), theta.begin()));
  EXPECT_TRUE(std::equal(bias.begin(), bias.end(), theta.end() - 12));
  EXPECT_TRUE(arrays.contains("features.offset") == arrays.contains("features.factor"));
}

TEST(Export, RefusesInOneLine) {
  Workplace place;
  succeed(place, train_on(place) + kSmall + Arguments{"--out", "run"});
  expect_refused(place, {"export", "run", "--out", "x.npz"}, 3, {"mesh"});
  expect_refused(place, {"export", "run", "--format", "c", "--name", "2d", "--out", "x.h"}, 3, {"--name", "identifier of C", "\"2d\""});
  expect_refused(place, {"export", "run", "--format", "onyx", "--out", "x.h"}, 2, {"--format", "onyx"});
  expect_refused(place, {"export", "run", "--format", "c", "--out", "missing/x.h"}, 8, {"missing/x.h"});
  succeed(place,
          train_on(place, sample_archive(kFields), "fields.npz") + Arguments{"--model", "photonic", "--epochs", "1", "--out", "chip"});
  expect_refused(place, {"export", "chip", "--format", "c", "--out", "x.h"}, 3, {"export: samples", "optical field", "--format reference"});
  if (kWithOnnx) expect_refused(place, {"export", "chip", "--format", "onnx", "--out", "x.onnx"}, 3, {"export: samples", "optical field"});
  succeed(place, train_on(place) + kSmall + Arguments{"--set", "model.imperfect.read_noise=0.01", "--out", "noisy"});
  expect_refused(place, {"export", "noisy", "--format", "npz", "--out", "x.npz"}, 3, {"export: dense0"});
}

}  // namespace
}  // namespace ffzero::test
