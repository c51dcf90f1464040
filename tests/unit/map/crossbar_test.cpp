// Crossbars: converters and bounds against a second way to write them down, noise and drift against their laws.
// SPDX-License-Identifier: MIT
#include "ffzero/map/crossbar.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "ffzero/map/dense.hpp"
#include "ffzero/map/map_registry.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

/// Nothing between the weights and the outputs.
CrossbarOptions exact() {
  return {.input_bits = 0, .input_bound = 1e6, .noise_management = 0, .output_noise = 0.0, .output_bits = 0, .output_bound = 1e6};
}

Matrix<double> outputs_of(const Crossbar<double>& map, const Vector<double>& theta, const Matrix<double>& x,
                          const ReadingSeries& series = {}) {
  Matrix<double> y(x.rows(), map.output_shape().size());
  map.begin_series(series);
  map.forward(as_span(theta), x, y);
  return y;
}

/// W of one row of `count` cells with the same weight, which is the range.
Vector<double> equal_cells(Index count, double weight) {
  Vector<double> theta = Vector<double>::Constant(count + 1, weight);
  theta[count] = 0.0;
  return theta;
}

TEST(Crossbar, WithoutErrorsIsADenseLayer) {
  test::expect_property("the same sums, whatever the scales", [] {
    const auto inputs = *rc::gen::inRange<Index>(1, 20), outputs = *rc::gen::inRange<Index>(1, 20), rows = *rc::gen::inRange<Index>(0, 9);
    CrossbarOptions options = exact();
    options.noise_management = *rc::gen::inRange<Index>(0, 2);
    options.weight_range = static_cast<double>(*rc::gen::inRange(0, 2)) * 100.0;
    const Crossbar<double> map({.width = inputs}, outputs, options);
    const Dense<double> dense({.width = inputs}, outputs);
    RC_ASSERT(map.parameter_count() == dense.parameter_count());
    const Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1);
    Matrix<double> x = test::normal_matrix(rows, inputs, 2), y(rows, outputs);
    if (rows > 1) x.row(1).setZero();
    dense.forward(as_span(theta), x, y);
    RC_ASSERT((outputs_of(map, theta, x) - y).cwiseAbs().sum() < 1e-9 * (1.0 + y.cwiseAbs().sum()));
  });
}

TEST(Crossbar, AWideLayerIsTheSameHoweverItsBatchIsCut) {
  for (const auto& [inputs, outputs] : {std::pair<Index, Index>{257, 33}, {784, 10}, {300, 640}}) {
    SCOPED_TRACE(testing::Message() << inputs << " inputs, " << outputs << " outputs");
    const Crossbar<float> map({.width = inputs}, outputs, exact());
    const Dense<double> dense({.width = inputs}, outputs);
    const Vector<float> theta = test::normal_matrix<float>(map.parameter_count(), 1, 1);
    const Matrix<float> x = test::normal_matrix<float>(300, inputs, 2);
    Matrix<float> whole(x.rows(), outputs), part(7, outputs);
    Matrix<double> want(x.rows(), outputs);
    map.forward(as_span(theta), x, whole);
    const Vector<double> wide_theta = theta.cast<double>();
    dense.forward(as_span(wide_theta), Matrix<double>(x.cast<double>()), want);
    EXPECT_LE((whole.cast<double>() - want).cwiseAbs().maxCoeff(), 1e-3);
    for (const Index first : {0, 5, 293}) {
      map.forward(as_span(theta), x.middleRows(first, part.rows()), part);
      EXPECT_EQ(part, whole.middleRows(first, part.rows())) << first;
    }
  }
}

TEST(Crossbar, ConvertersHaveTheirSteps) {
  // One input of 1 x weight 1: the input alone decides. 3 bits: -1, -2/3, -1/3, 0 ..; 0.45 goes to 1/3.
  CrossbarOptions options = exact();
  options.input_bits = 3;
  options.input_bound = 1.0;
  const Vector<double> one = equal_cells(1, 1.0);
  const Matrix<double> x = (Matrix<double>(4, 1) << 0.45, -0.55, 0.1, 7.0).finished();
  const Matrix<double> y = outputs_of(Crossbar<double>({.width = 1}, 1, options), one, x);
  EXPECT_LT((y - (Matrix<double>(4, 1) << 1.0 / 3.0, -2.0 / 3.0, 0.0, 1.0).finished()).cwiseAbs().maxCoeff(), 1e-12);
  // Outputs: 2 bits of 3: -3, 0, 3, clipped where no bound management halves the inputs.
  options = exact();
  options.output_bits = 2;
  options.output_bound = 3.0;
  options.bound_management = 0;
  const Matrix<double> read =
      outputs_of(Crossbar<double>({.width = 1}, 1, options), one, (Matrix<double>(3, 1) << 1.4, 1.6, -9.0).finished());
  EXPECT_LT((read - (Matrix<double>(3, 1) << 0.0, 3.0, -3.0).finished()).cwiseAbs().maxCoeff(), 1e-12);
  // Weights: 2 bits of the range.
  options = exact();
  options.weight_bits = 2;
  options.weight_range = 0.5;
  const Vector<double> theta = (Vector<double>(4) << 0.2, 0.3, -0.9, 10.0).finished();
  const Matrix<double> w = Crossbar<double>({.width = 3}, 1, options).weights({}, as_span(theta));
  EXPECT_EQ(w, (Matrix<double>(1, 3) << 0.0, 0.5, -0.5).finished());
  // The bias is digital.
  EXPECT_NEAR(outputs_of(Crossbar<double>({.width = 3}, 1, options), theta, Matrix<double>::Zero(1, 3))(0, 0), 10.0, 1e-12);
}

TEST(Crossbar, ManagesNoiseAndBounds) {
  // Inputs of any size use all steps: with noise management the outputs of 1000 x are 1000 times those of x.
  CrossbarOptions options = crossbar_io();
  options.output_noise = 0.0;
  const Crossbar<double> map({.width = 5}, 4, options);
  Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1);
  theta.tail(4).setZero();
  const Matrix<double> x = test::normal_matrix(6, 5, 2), y = outputs_of(map, theta, x);
  EXPECT_LT((outputs_of(map, theta, 1024.0 * x) - 1024.0 * y).cwiseAbs().maxCoeff(), 1e-9);
  EXPECT_LT((outputs_of(map, theta, x / 1024.0) * 1024.0 - y).cwiseAbs().maxCoeff(), 1e-9);
  // 100 cells of the largest weight and inputs of 1: 100 is above the bound of 12 until the inputs are an eighth.
  CrossbarOptions bound = exact();
  bound.output_bound = 12.0;
  const Vector<double> cells = equal_cells(100, 0.7);
  const Matrix<double> ones = Matrix<double>::Ones(1, 100);
  const auto read = [&](Index attempts) {
    bound.bound_management = attempts;
    return outputs_of(Crossbar<double>({.width = 100}, 1, bound), cells, ones)(0, 0);
  };
  EXPECT_NEAR(read(0), 12.0 * 0.7, 1e-9);
  EXPECT_NEAR(read(3), 24.0 * 4.0 * 0.7, 1e-9) << "12.5 is still at the bound";
  EXPECT_NEAR(read(4), 100.0 * 0.7, 1e-9);
  EXPECT_NEAR(read(10), 100.0 * 0.7, 1e-9);
}

TEST(Crossbar, NoiseOfOutputsIsAShareOfTheLargestInputAndWeight) {
  CrossbarOptions options = exact();
  options.output_noise = 0.06;
  options.noise_management = 1;
  const Crossbar<double> map({.width = 2}, 1000, options);
  Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1);
  const double range = theta.head(2000).cwiseAbs().maxCoeff();
  const Matrix<double> x = (Matrix<double>(2, 2) << 0.5, -4.0, 0.01, 0.02).finished();
  options.output_noise = 0.0;
  const Matrix<double> clean = outputs_of(Crossbar<double>({.width = 2}, 1000, options), theta, x);
  const Matrix<double> noise = outputs_of(map, theta, x) - clean;
  EXPECT_NEAR(test::rms(noise.row(0).array()), 0.06 * 4.0 * range, 0.06 * 4.0 * range * 0.12);
  EXPECT_NEAR(test::rms(noise.row(1).array()), 0.06 * 0.02 * range, 0.06 * 0.02 * range * 0.12);
  EXPECT_LT(std::abs((noise.row(0) / 4.0).dot(noise.row(1) / 0.02)) / (1000.0 * 0.06 * 0.06 * range * range), 0.16);
}

TEST(PhaseChangeMemory, HasItsPublishedLaws) {
  EXPECT_NEAR(pcm::programming_noise(0.0), 0.26348 / 25.0, 1e-12);
  EXPECT_NEAR(pcm::programming_noise(1.0), (0.26348 + 1.965 - 1.1731) / 25.0, 1e-12);
  EXPECT_NEAR(pcm::drift_mean(1.0), 0.049, 1e-12);  // clamped: 0.0244
  EXPECT_NEAR(pcm::drift_mean(0.1), -0.0155 * std::log(0.1) + 0.0244, 1e-12);
  EXPECT_NEAR(pcm::drift_mean(0.0), 0.1, 1e-12);
  EXPECT_NEAR(pcm::drift_spread(1.0), 0.008, 1e-12);
  EXPECT_NEAR(pcm::drift_spread(0.1), -0.0125 * std::log(0.1) - 0.0059, 1e-12);
  EXPECT_NEAR(pcm::drift_spread(0.0), 0.045, 1e-12);
  EXPECT_NEAR(pcm::read_noise(1.0, 0.0), 0.0088 * std::sqrt(std::log((20.0 + 250e-9) / 500e-9)), 1e-9);
  EXPECT_NEAR(pcm::read_noise(0.0, 0.0), 0.2 * std::sqrt(std::log((20.0 + 250e-9) / 500e-9)), 1e-9);
  EXPECT_NEAR(pcm::drifted(0.05, 180.0), std::pow(10.0, -0.05), 1e-12);
  EXPECT_EQ(pcm::drifted(0.05, 0.0), 1.0);
}

TEST(PhaseChangeMemory, StandsWithTheseLawsInTheCells) {
  constexpr Index kCells = 20000;
  const auto weights = [&](const CrossbarOptions& options, double weight) {
    const Vector<double> theta = equal_cells(kCells, weight);
    return Vector<double>(Crossbar<double>({.width = kCells}, 1, options).weights({}, as_span(theta)).row(0).transpose());
  };
  CrossbarOptions options = exact();
  options.weight_range = 2.0;
  // A weight of 1 of 2: one cell at 0.5, the other at 0, where noise below 0 is cut: half of it is left, with a mean of sigma / sqrt(2 pi).
  options.programming = 1.0;
  const double full = pcm::programming_noise(0.5), none = pcm::programming_noise(0.0);
  const Vector<double> programmed = weights(options, 1.0) / 2.0;
  EXPECT_NEAR(programmed.mean(), 0.5 - none / std::sqrt(2.0 * 3.141592653589793), 4.0 * full / std::sqrt(double(kCells)));
  const double variance = full * full + none * none * (0.5 - 0.5 / 3.141592653589793);
  EXPECT_NEAR((programmed.array() - programmed.mean()).square().mean() / variance, 1.0, 0.05);
  EXPECT_NEAR(weights(options, -1.0).mean() / 2.0, -programmed.mean(), 8.0 * full / std::sqrt(double(kCells)));
  // Drift alone: 180 s after programming the exponents are log10 of the weights.
  options.programming = 0.0;
  options.drift = 1.0;
  options.seconds = 180.0;
  const Vector<double> exponents = -(weights(options, 1.0).array()).log10();
  EXPECT_NEAR(exponents.mean(), pcm::drift_mean(0.5), 3e-4);
  EXPECT_NEAR(test::rms((exponents.array() - exponents.mean())), pcm::drift_spread(0.5), 3e-4);
  options.seconds = 0.0;
  EXPECT_EQ(weights(options, 1.0), Vector<double>::Ones(kCells));
  // Reading alone.
  options.drift = 0.0;
  options.read = 1.0;
  options.seconds = 1000.0;
  const Vector<double> read = weights(options, 1.0);
  EXPECT_NEAR(read.mean(), 1.0, 0.002);
  EXPECT_NEAR(test::rms((read.array() - 1.0)) / pcm::read_noise(0.5, 1000.0), 1.0, 0.03);
}

TEST(Crossbar, TheSameReadingIsTheSameAgain) {
  const Crossbar<double> map({.width = 6}, 5, crossbar_pcm()), other({.width = 6}, 5, crossbar_pcm());
  const Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1);
  const Matrix<double> x = test::normal_matrix(7, 6, 2);
  const ReadingSeries series{.stream = 3, .step = 17};
  map.begin_series(series);
  Matrix<double> first(7, 5), second(7, 5);
  map.forward(as_span(theta), x, first);
  map.forward(as_span(theta), x, second);
  EXPECT_NE(first, second);
  EXPECT_EQ(outputs_of(other, theta, x, series), first);
  EXPECT_NE(outputs_of(other, theta, x, {.stream = 4, .step = 17}), first);
  EXPECT_NE(outputs_of(other, theta, x, {.stream = 3, .step = 18}), first);
  // Several at once are those one after the other; a batch in parts is the batch.
  other.begin_series(series);
  const std::vector<std::span<const double>> thetas{as_span(theta), as_span(theta)};
  std::vector<Matrix<double>> ys(2);
  other.read_many(thetas, x, ys, false);
  EXPECT_EQ(ys[0], first);
  EXPECT_EQ(ys[1], second);
  const Matrix<double> part = outputs_of(other, theta, x.middleRows(2, 3), {.stream = 3, .step = 17, .first_row = 2});
  EXPECT_LT((part - first.middleRows(2, 3)).cwiseAbs().maxCoeff(), 1e-12);
  // What is programmed stands; other weights, and another series, are programmed anew.
  CrossbarOptions options = exact();
  options.programming = 1.0;
  const Crossbar<double> cells({.width = 6}, 5, options);
  const auto stand = [&](std::uint64_t step, std::uint64_t number, const Vector<double>& set) {
    return cells.weights({.series = {.stream = 3, .step = step}, .number = number}, as_span(set));
  };
  Vector<double> near = theta;
  near[3] += 1e-9;
  EXPECT_EQ(stand(1, 0, theta), stand(1, 5, theta));
  EXPECT_NE(stand(1, 0, theta), stand(2, 0, theta));
  EXPECT_GT((stand(1, 0, theta) - stand(1, 0, near)).cwiseAbs().minCoeff(), 1e-8);
}

constexpr double kMonth = 2.6e6;  // seconds

TEST(DriftCompensation, RescalesOutputsByWhatUnitInputsHaveLost) {
  CrossbarOptions options = exact();
  options.drift = 1.0;
  options.seconds = kMonth;
  const Crossbar<double> alone({.width = 6}, 5, options);
  options.compensation = 1;
  const Crossbar<double> map({.width = 6}, 5, options);
  const Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1);
  const Matrix<double> x = test::normal_matrix(7, 6, 2), now = map.weights({}, as_span(theta));
  const auto set = as_vector(as_span(theta)).head(30);
  const double alpha = set.cwiseAbs().sum() / now.cwiseAbs().sum();
  EXPECT_GT(alpha, 1.5);
  EXPECT_NEAR(map.compensation({}, as_span(theta)), alpha, 1e-12);
  EXPECT_EQ(alone.compensation({}, as_span(theta)), 1.0);
  const Matrix<double> expected = (alpha * x * now.transpose()).rowwise() + theta.tail(5).transpose();
  EXPECT_LT((outputs_of(map, theta, x) - expected).cwiseAbs().maxCoeff(), 1e-9) << "biases are digital and do not drift";
  // Nothing has drifted; nothing is there.
  options.seconds = 0.0;
  EXPECT_NEAR((Crossbar<double>({.width = 6}, 5, options).compensation({}, as_span(theta))), 1.0, 1e-12);
  const Vector<double> none = Vector<double>::Zero(35);
  EXPECT_EQ(map.compensation({}, as_span(none)), 1.0);
}

TEST(DriftCompensation, IsReadOnceForWhatWasProgrammedOnceAndCounted) {
  CrossbarOptions options = crossbar_pcm();
  options.seconds = kMonth;
  options.compensation = 1;
  options.bound_management = 0;
  const Crossbar<double> map({.width = 6}, 5, options);
  const Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1), other = test::normal_matrix(map.parameter_count(), 1, 7);
  const Matrix<double> x = test::normal_matrix(7, 6, 2);
  const ReadingSeries series{.stream = 3, .step = 17};
  const Matrix<double> first = outputs_of(map, theta, x, series);
  EXPECT_EQ(map.repeated_rows(), 12) << "six unit inputs then, and six now";
  const Matrix<double> part = outputs_of(map, theta, x.middleRows(2, 3), {.stream = 3, .step = 17, .first_row = 2});
  EXPECT_LT((part - first.middleRows(2, 3)).cwiseAbs().maxCoeff(), 1e-12);
  EXPECT_EQ(map.repeated_rows(), 12);
  outputs_of(map, other, x, series);
  EXPECT_EQ(map.repeated_rows(), 24);
  outputs_of(map, other, x, {.stream = 3, .step = 18});
  EXPECT_EQ(map.repeated_rows(), 36);
  // Readings have noise, and those of another programming have other noise.
  const Reading at{.series = series}, again{.series = series, .number = 5}, next{.series = {.stream = 3, .step = 18}};
  const double alpha = map.compensation(at, as_span(theta));
  EXPECT_EQ(map.compensation(again, as_span(theta)), alpha);
  EXPECT_NE(map.compensation(next, as_span(theta)), alpha);
  options.bound_management = 2;
  options.output_bound = 1e-6;
  const Crossbar<double> bound({.width = 6}, 5, options);
  outputs_of(bound, theta, x, series);
  EXPECT_EQ(bound.repeated_rows(), 3 * 12 + 2 * 7) << "bound management repeats these readings as well";
}

TEST(DriftCompensation, BringsAMonthBackToTheFirstSecond) {
  CrossbarOptions options = crossbar_pcm();
  const auto miss = [&](double seconds, Index compensation) {
    options.seconds = seconds;
    options.compensation = compensation;
    const Crossbar<double> map({.width = 60}, 50, options);
    const Dense<double> dense({.width = 60}, 50);
    const Vector<double> theta = test::normal_matrix(map.parameter_count(), 1, 1);
    const Matrix<double> x = test::normal_matrix(20, 60, 2);
    Matrix<double> y(20, 50);
    dense.forward(as_span(theta), x, y);
    return (outputs_of(map, theta, x) - y).norm() / y.norm();
  };
  EXPECT_GT(miss(kMonth, 0), 0.45);
  EXPECT_LT(miss(kMonth, 1), 0.35);
  EXPECT_LT(std::abs(miss(1.0, 1) - miss(1.0, 0)), 0.02);
}

TEST(Crossbar, GroupsShareOneReading) {
  const Crossbar<double> whole({.width = 6}, 12, crossbar_pcm()), grouped({.width = 6}, 12, crossbar_pcm(), 3);
  const Vector<double> theta = test::normal_matrix(whole.parameter_count(), 1, 1);
  const Matrix<double> x = test::normal_matrix(7, 6, 2);
  EXPECT_EQ(outputs_of(whole, theta, x), outputs_of(grouped, theta, x)) << "groups are a matter of parameters";
  // A group's parameters move its outputs and no others.
  const Crossbar<double> clean({.width = 6}, 12, exact(), 3);
  const ParameterLayout layout = clean.parameter_layout();
  EXPECT_EQ(layout.groups, 3);
  Index covered = 0;
  for (const Unit& unit : layout.units) {
    Vector<double> moved = theta;
    for (const Segment& s : unit.segments) moved.segment(s.begin, s.size).array() *= 0.5;
    covered += unit.size();
    const Matrix<double> change = (outputs_of(clean, moved, x) - outputs_of(clean, theta, x)).cwiseAbs();
    EXPECT_GT(change.middleCols(4 * unit.group, 4).minCoeff(), 1e-6);
    EXPECT_NEAR(change.sum(), change.middleCols(4 * unit.group, 4).sum(), 1e-9);
  }
  EXPECT_EQ(covered, clean.parameter_count());
  EXPECT_EQ(test::message_of<ConfigError>([] { Crossbar<double>({.width = 6}, 12, {}, 5); }),
            "model.groups: the number of groups must divide the width 12; got 5; choose a divisor of the width");
}

TEST(Crossbar, IsAMapByName) {
  for (const char* name : {"crossbar_io", "crossbar_pcm"}) {
    const NamedNumbers numbers = layer_maps().numbers(name, {{"output_noise", 0.2}});
    const auto map = layer_maps().at(name).make(numbers, {.width = 6}, 5);
    EXPECT_EQ(map->kind(), "crossbar");
    EXPECT_FALSE(map->independent_rows());
    EXPECT_EQ(map->parameter_layout().groups, 1);
    EXPECT_EQ(layer_maps().at(name).make(numbers, {.width = 6}, 6, 2)->parameter_layout().groups, 2);
  }
  EXPECT_EQ(crossbar_options(crossbar_numbers(crossbar_pcm())).programming, 1.0);
  EXPECT_EQ(crossbar_options(crossbar_numbers(crossbar_io())).programming, 0.0);
  const auto refused = [](NamedNumbers numbers) {
    return test::message_of<ConfigError>([&] {
      const NamedNumbers all = layer_maps().numbers("crossbar_io", numbers);
      static_cast<void>(layer_maps().at("crossbar_io").make(all, {.width = 6}, 5));
    });
  };
  EXPECT_EQ(refused({{"output_noise", -1.0}}), "model.map_options: output_noise: must lie in 0 .. 1e+09; got -1");
  EXPECT_EQ(refused({{"input_bits", 1.0}}),
            "model.map_options: input_bits: must be 0 (no steps) or at least 2: one bit has no step on either side of 0; got 1");
  EXPECT_EQ(refused({{"input_bits", 6.5}}), "model.map_options: input_bits: must be a whole number; got 6.5");
  EXPECT_NE(refused({{"noise", 1.0}}).find("noise"), std::string::npos);
  EXPECT_THROW((Crossbar<float>({.width = 0}, 1, {})), ConfigError);
}

TEST(MapFactory, KnowsWhetherItsFunctionTakesGroups) {
  const MapFactory alone = [](const NamedNumbers&, const Shape& input, Index outputs) {
    return std::make_shared<Dense<float>>(input, outputs);
  };
  EXPECT_FALSE(alone.takes_groups());
  EXPECT_EQ(alone({}, {.width = 6}, 4)->parameter_layout().groups, 1);
  for (const char* name : {"dense", "crossbar_io", "crossbar_pcm"}) EXPECT_TRUE(layer_maps().at(name).make.takes_groups());
}

}  // namespace
}  // namespace ffzero
