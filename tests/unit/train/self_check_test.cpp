// The check of the first step: what it sees, what it costs, and that training does not notice it.
// SPDX-License-Identifier: MIT
#include "ffzero/train/self_check.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "ffzero/base/error.hpp"
#include "ffzero/head/prototypes.hpp"
#include "ffzero/map/dense.hpp"
#include "small_runs.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

/// A dense layer whose derivative is wrong by a factor.
class Misled final : public AdjointMap<float> {
 public:
  Misled(Index inputs, Index outputs, float factor) : inner_({.width = inputs}, outputs), factor_(factor) {}
  [[nodiscard]] Shape input_shape() const override { return inner_.input_shape(); }
  [[nodiscard]] Shape output_shape() const override { return inner_.output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return inner_.parameter_count(); }
  [[nodiscard]] std::string kind() const override { return "misled"; }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    inner_.forward(theta, x, y);
  }
  void pullback(std::span<const float> theta, const ConstMatrixRef<float>& x, const ConstMatrixRef<float>& y,
                const ConstMatrixRef<float>& gy, std::span<float> gtheta, MatrixRef<float>* gx) const override {
    inner_.pullback(theta, x, y, Matrix<float>(factor_ * gy), gtheta, gx);
  }

 private:
  Dense<float> inner_;
  float factor_;
};

Layer<float> misled_layer(float factor) {
  Layer<float> layer;
  layer.map = std::make_shared<Misled>(6, 12, factor);
  layer.head = std::make_shared<PrototypeHead<float>>(std::vector{simplex_prototypes(4, 12, RandomStream(3, Stream::prototype))});
  return layer;
}

void train_misled(float factor) {
  const Splits splits = small_splits(50, 20, 6, 4);
  const Config config = resolved(
      {{"gradient.estimator", "adjoint"}, {"training.epochs", "1"}, {"training.batch_size", "16"}, {"model.layers", "[12]"}}, splits);
  const auto executor = std::make_shared<const Executor>(1);
  std::vector<Layer<float>> layers;
  layers.push_back(misled_layer(factor));
  Network<float> network({.input = {.width = 6}, .classes = 4, .layers = std::move(layers)}, executor);
  auto trainer = make_trainer<float>(config, std::move(network), splits, executor);
  static_cast<void>(trainer.run());
}

TEST(SelfCheck, StopsARunWhoseGradientIsNotThatOfItsLoss) {
  EXPECT_NO_THROW(train_misled(1.0F));
  for (const float factor : {-1.0F, 0.0F, 3.0F, 300.0F}) {
    const std::string line = message_of<DefectError>([&] { train_misled(factor); });
    EXPECT_EQ(line.find("layer0, first step: the loss must change as its exact gradient promises; got slopes of "), 0U) << line;
    EXPECT_NE(line.find("please report this line"), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
  }
}

TEST(SelfCheck, SeesOutputGradientsThatAreWrong) {
  for (const ActivitySpace space : {ActivitySpace::prototypes, ActivitySpace::span, ActivitySpace::full})
    for (const Index groups : {1, 3}) {
      std::vector<Matrix<double>> prototypes;
      for (Index g = 0; g < groups; ++g)
        prototypes.push_back(simplex_prototypes(5, 9, RandomStream(3, Stream::prototype, static_cast<std::uint32_t>(g))));
      const PrototypeHead<float> head(prototypes);
      const auto exact_loss = make_cross_entropy_loss<double>(0.05);
      const auto same = make_cross_entropy_loss<float>(0.05), other = make_cross_entropy_loss<float>(0.5);
      Matrix<float> z = normal_matrix<float>(20, head.input_size(), 4);
      z.row(3).setZero();
      z.row(4) *= 1e-5F;
      z.row(5) *= 1e5F;
      const auto labels = random_labels(20, 5, 6);
      const Targets targets{.labels = labels, .values = {}};
      const ActivityOptions<float> options{.head = head, .loss = *exact_loss, .perturbation = {.space = space}};
      const RandomStream random(1, Stream::direction);
      const OutputCheck sound = check_output_gradient<float>(options, *same, z, targets, random);
      EXPECT_EQ(sound.wrong, 0);
      EXPECT_GT(sound.judged, 10);
      EXPECT_NEAR(sound.length, 1.0, 1e-2);
      EXPECT_FALSE(sound.contradicts());
      const OutputCheck wrong = check_output_gradient<float>(options, *other, z, targets, random);
      EXPECT_TRUE(wrong.contradicts()) << wrong.wrong << " of " << wrong.judged;
    }
}

// Outputs that do not move, kinks at the very point, all samples dark: nothing to be said.
TEST(SelfCheck, SaysNothingAboutRunsWithoutAGradient) {
  const Splits splits = small_splits(50, 20, 6, 4);
  for (const char* scale : {"0", "1e-30", "1e-6", "1e6"}) {
    Splits scaled = splits;
    std::vector<float> samples(usize(splits.train.size() * 6));
    for (Index i = 0; i < splits.train.size(); ++i)
      for (Index k = 0; k < 6; ++k) samples[usize(i * 6 + k)] = std::strtof(scale, nullptr) * splits.train.values(i)[usize(k)];
    scaled.train = Dataset(splits.train.info(), std::move(samples),
                           std::vector<std::int32_t>(splits.train.labels().begin(), splits.train.labels().end()));
    for (const char* estimator : {"adjoint", "directional", "activity"})
      for (const char* loss : {"margin", "cross_entropy"})
        for (const char* batch : {"1", "50"})
          EXPECT_NO_THROW(static_cast<void>(run<float>(resolved({{"preset", "paper"},
                                                                 {"gradient.estimator", estimator},
                                                                 {"objective.loss", loss},
                                                                 {"training.epochs", "1"},
                                                                 {"training.batch_size", batch},
                                                                 {"update.lr", "1e-9"},
                                                                 {"model.layers", "[12]"}},
                                                                scaled),
                                                       scaled)))
              << scale << " " << estimator << " " << loss << " batch " << batch;
  }
}

TEST(SelfCheck, WarnsOfALayerAtChanceThatHasNotLearned) {
  const FirstEpoch bad{
      .layer = "dense0", .estimator = "directional", .first_loss = 2.0, .mean_loss = 2.01, .value = 0.26, .chance = 0.25, .samples = 1000};
  const std::string line = first_epoch_warning(bad);
  EXPECT_NE(line.find("dense0 is at chance"), std::string::npos) << line;
  EXPECT_NE(line.find("ffzero probe"), std::string::npos) << line;
  EXPECT_NE(line.find("update.lr and gradient.directions"), std::string::npos) << line;
  FirstEpoch better = bad;
  better.value = 0.31;
  EXPECT_EQ(first_epoch_warning(better), "");
  better = bad;
  better.mean_loss = 1.9;
  EXPECT_EQ(first_epoch_warning(better), "");
  FirstEpoch regression = bad;
  regression.regression = true;
  regression.chance = 0.0;
  regression.value = -0.1;
  EXPECT_NE(first_epoch_warning(regression).find("R^2 -0.100"), std::string::npos);

  const Splits splits = small_splits(200, 20, 6, 4);
  const auto warnings_of = [&](const char* lr, const char* seed) {
    std::vector<std::string> lines;
    TrainEvents events;
    events.message = [&](const std::string& text) { lines.push_back(text); };
    static_cast<void>(run<float>(resolved({{"gradient.estimator", "adjoint"},
                                           {"training.epochs", "2"},
                                           {"update.lr", lr},
                                           {"seed", seed},
                                           {"training.batch_size", "16"},
                                           {"model.layers", "[12]"}},
                                          splits),
                                 splits, 1, events));
    return lines;
  };
  EXPECT_EQ(warnings_of("1e-2", "0").size(), 0U);
  // A rate that moves nothing: chance, or what luck makes of it. Each layer is told of once.
  std::size_t warned = 0;
  for (const char* seed : {"0", "1", "2", "3", "4", "5"}) {
    const auto lines = warnings_of("1e-12", seed);
    EXPECT_LE(lines.size(), 1U);
    warned += lines.size();
  }
  EXPECT_GT(warned, 0U);
}

}  // namespace
}  // namespace ffzero::test
