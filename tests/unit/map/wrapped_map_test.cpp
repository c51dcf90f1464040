// What a wrapper keeps of the map that it wraps, and what it says anew.
// SPDX-License-Identifier: MIT
#include "ffzero/map/wrapped_map.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "ffzero/map/adjoint_map.hpp"
#include "ffzero/map/dense.hpp"
#include "ffzero/map/instrument.hpp"
#include "ffzero/map/linear_map.hpp"
#include "support/expect_error.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

/// Parameters are halved, outputs are squared; as many readings as there were are noted.
template <class S>
class HalfAndSquare final : public MapEffects<S> {
 public:
  bool parameters = true, outputs = true, repeats = true;
  mutable std::vector<std::uint64_t> numbers{};

  [[nodiscard]] bool of_parameters() const override { return parameters; }
  [[nodiscard]] bool of_outputs() const override { return outputs; }
  [[nodiscard]] bool repeatable() const override { return repeats; }
  void set(const Reading& reading, Index /*rows*/, std::span<const S> theta, std::span<S> standing) const override {
    numbers.push_back(reading.number);
    as_vector(standing) = S{0.5} * as_vector(theta);
  }
  void read(const Reading& /*reading*/, MatrixRef<S> y) const override { y.array() = y.array().square(); }
  void pull_set(std::span<const S> /*theta*/, std::span<S> gradient) const override { as_vector(gradient) *= S{0.5}; }
  void pull_read(const ConstMatrixRef<S>& y, MatrixRef<S> gy) const override { gy.array() *= S{2} * y.array(); }
};

/// A map with everything that may be kept.
class Bench final : public ForwardMap<float>, public StatefulMap<float>, public AddressedReadings, public Instrument<float> {
 public:
  [[nodiscard]] Shape input_shape() const override { return {1, 2, 2}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = 3}; }
  [[nodiscard]] Index parameter_count() const override { return 2; }
  [[nodiscard]] ParameterLayout parameter_layout() const override {
    return {.groups = 1, .units = {Unit{.group = 0, .segments = {{0, 1}}}, Unit{.group = 0, .segments = {{1, 1}}}}};
  }
  void initialise(std::span<float> theta, const RandomStream& /*random*/) const override { theta[0] = theta[1] = 7.0F; }
  [[nodiscard]] std::string kind() const override { return "bench"; }
  void forward(std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) const override {
    for (Index k = 0; k < 3; ++k) y.col(k) = theta[0] * x.col(k);
  }
  void infer(std::span<const float> /*theta*/, const ConstMatrixRef<float>& /*x*/, MatrixRef<float> y) const override {
    y.setConstant(3.0F);
  }
  [[nodiscard]] bool infers_rows_apart() const override { return true; }
  void begin_statistics() override { statistics = 1; }
  void absorb(std::span<const float> theta, const ConstMatrixRef<float>& /*x*/) override { absorbed = theta[0]; }
  void finish_statistics() override { statistics = 2; }
  [[nodiscard]] std::span<const float> state() const override { return {&number, 1}; }
  [[nodiscard]] std::span<float> state() override { return {&number, 1}; }
  void begin_series(const ReadingSeries& series) const override { step = series.step; }
  [[nodiscard]] bool smooth() const override { return false; }
  [[nodiscard]] InstrumentInfo info() const override { return {.address = "here", .identity = "it", .noise = 0.5}; }
  [[nodiscard]] DeviceReceipt receipt() const override { return {.rows = rows}; }
  [[nodiscard]] std::vector<std::string> log() const override { return {"said"}; }
  void safe() const override { step = 99; }
  void begin_readings(std::uint64_t stream, std::uint64_t /*step*/, bool /*lasting*/) const override { readings = stream; }
  [[nodiscard]] bool keeps_readings() const override { return true; }
  void read_many(std::span<const std::span<const float>> thetas, const ConstMatrixRef<float>& x, std::span<Matrix<float>> ys,
                 bool may_miss) const override {
    calls += 1;
    missed = may_miss;
    for (std::size_t i = 0; i < thetas.size(); ++i) {
      ys[i].resize(x.rows(), 3);
      forward(thetas[i], x, ys[i]);
    }
  }
  [[nodiscard]] Matrix<float> reference_readings(std::span<const float> theta, Index repeats) const override {
    return Matrix<float>::Constant(repeats, 3, theta[0]);
  }
  void keep_inside(std::span<float> theta, double /*margin*/) const override { theta[0] = 1.0F; }
  [[nodiscard]] double resolution() const override { return 0.25; }

  float number = 5.0F, absorbed = 0.0F;
  int statistics = 0;
  std::int64_t rows = 40;
  mutable std::uint64_t step = 0, readings = 0;
  mutable int calls = 0;
  mutable bool missed = false;
};

TEST(WrappedMap, WithoutEffectsIsTheMapItself) {
  const auto map = std::make_shared<Dense<float>>(Shape{.width = 3}, 2);
  EXPECT_EQ(wrapped_map<float>(map, std::make_shared<MapEffects<float>>()), map);
  EXPECT_EQ(&innermost<float>(std::as_const(*map)), map.get());
}

TEST(WrappedMap, KeepsWhatTheMapIs) {
  const auto bench = std::make_shared<Bench>();
  const auto map = wrapped_map<float>(bench, std::make_shared<HalfAndSquare<float>>());
  EXPECT_EQ(map->input_shape(), bench->input_shape());
  EXPECT_EQ(map->output_shape(), bench->output_shape());
  EXPECT_EQ(map->parameter_count(), 2);
  EXPECT_EQ(map->parameter_layout().units.size(), 2U);
  EXPECT_EQ(map->kind(), "bench");
  EXPECT_FALSE(map->independent_rows());
  std::vector<float> theta(2);
  map->initialise(theta, RandomStream(1, Stream::test));
  EXPECT_EQ(theta, std::vector<float>({7.0F, 7.0F}));
  EXPECT_EQ(&innermost<float>(std::as_const(*map)), bench.get());
  EXPECT_EQ(&innermost<float>(*wrapped_map<float>(map, std::make_shared<HalfAndSquare<float>>())), bench.get());
  EXPECT_EQ(dynamic_cast<const AdjointMap<float>*>(map.get()), nullptr);

  auto& stateful = dynamic_cast<StatefulMap<float>&>(*map);
  EXPECT_EQ(stateful.state().data(), &bench->number);
  EXPECT_TRUE(stateful.needs_statistics());
  EXPECT_TRUE(stateful.infers_rows_apart());
  stateful.begin_statistics();
  const Matrix<float> x = Matrix<float>::Ones(2, 4);
  stateful.absorb(theta, x);
  stateful.finish_statistics();
  EXPECT_EQ(bench->absorbed, 3.5F);
  EXPECT_EQ(bench->statistics, 2);
  Matrix<float> y(2, 3);
  stateful.infer(theta, x, y);
  EXPECT_EQ(y(1, 2), 9.0F);

  const auto& addressed = dynamic_cast<const AddressedReadings&>(*map);
  addressed.begin_series({.stream = 1, .step = 12});
  EXPECT_EQ(bench->step, 12U);
  EXPECT_FALSE(addressed.smooth());

  const auto& instrument = dynamic_cast<const Instrument<float>&>(*map);
  EXPECT_EQ(instrument.info().address, "here");
  EXPECT_EQ(instrument.receipt().rows, 40);
  EXPECT_EQ(instrument.log(), std::vector<std::string>{"said"});
  EXPECT_TRUE(instrument.keeps_readings());
  instrument.begin_readings(4, 0, false);
  EXPECT_EQ(bench->readings, 4U);
  EXPECT_EQ(instrument.resolution(), 0.25);
  EXPECT_EQ(instrument.reference_readings(theta, 2)(1, 0), 3.5F * 3.5F);
  instrument.keep_inside(theta, 0.0);
  EXPECT_EQ(theta[0], 1.0F);
  instrument.safe();
  EXPECT_EQ(bench->step, 99U);
}

TEST(WrappedMap, ReadsManyInOneCallWhereTheMapDoes) {
  const auto bench = std::make_shared<Bench>();
  const auto effects = std::make_shared<HalfAndSquare<float>>();
  const auto map = wrapped_map<float>(bench, effects);
  const std::vector<float> a{2.0F, 0.0F}, b{6.0F, 0.0F};
  const std::vector<std::span<const float>> thetas{a, b};
  const Matrix<float> x = Matrix<float>::Ones(2, 4);
  std::vector<Matrix<float>> ys(2);
  dynamic_cast<const ManyReadings<float>&>(*map).read_many(thetas, x, ys, true);
  EXPECT_EQ(bench->calls, 1);
  EXPECT_TRUE(bench->missed);
  EXPECT_EQ(ys[0], (Matrix<float>::Constant(2, 3, 1.0F)));
  EXPECT_EQ(ys[1], (Matrix<float>::Constant(2, 3, 9.0F)));
  Matrix<float> y(2, 3);
  map->forward(b, x, y);
  EXPECT_EQ(y, ys[1]);
  EXPECT_EQ(effects->numbers, std::vector<std::uint64_t>({0, 1, 2}));

  const auto plain = wrapped_map<float>(std::make_shared<Dense<float>>(Shape{.width = 4}, 1), effects);
  const std::vector<float> w{2.0F, 2.0F, 2.0F, 2.0F, 0.0F};
  const std::vector<std::span<const float>> one{w};
  dynamic_cast<const ManyReadings<float>&>(*plain).read_many(one, x, std::span(ys).first(1), false);
  EXPECT_EQ(ys[0], (Matrix<float>::Constant(2, 1, 16.0F)));
  EXPECT_EQ(dynamic_cast<const Instrument<float>*>(plain.get()), nullptr);
  EXPECT_EQ(dynamic_cast<const LinearMap<float>*>(plain.get()), nullptr) << "its outputs are not affine in the parameters";
}

TEST(WrappedMap, RowsStayIndependentWhereAnswersRepeat) {
  const auto dense = std::make_shared<Dense<float>>(Shape{.width = 3}, 2);
  const auto effects = std::make_shared<HalfAndSquare<float>>();
  EXPECT_TRUE(wrapped_map<float>(dense, effects)->independent_rows());
  EXPECT_FALSE(wrapped_map<float>(dense, effects, {.probability = 0.1})->independent_rows());
  const auto noisy = std::make_shared<HalfAndSquare<float>>();
  noisy->repeats = false;
  const auto map = wrapped_map<float>(dense, noisy);
  EXPECT_FALSE(map->independent_rows());
  EXPECT_FALSE(dynamic_cast<const StatefulMap<float>&>(*map).infers_rows_apart());
  EXPECT_FALSE(dynamic_cast<const StatefulMap<float>&>(*map).needs_statistics());
  EXPECT_TRUE(dynamic_cast<const FixedState<float>&>(*map).state().empty());
}

TEST(WrappedMap, PullbackIsTheGradientThroughTheEffects) {
  for (const bool parameters : {true, false})
    for (const bool outputs : {true, false}) {
      if (!parameters && !outputs) continue;
      const auto effects = std::make_shared<HalfAndSquare<double>>();
      effects->parameters = parameters;
      effects->outputs = outputs;
      const auto map = wrapped_map<double>(std::make_shared<Dense<double>>(Shape{.width = 5}, 4), effects);
      const auto& adjoint = dynamic_cast<const AdjointMap<double>&>(*map);
      const Vector<double> theta = test::normal_matrix(24, 1, 1);
      const Matrix<double> x = test::normal_matrix(3, 5, 2), gy = test::normal_matrix(3, 4, 4);
      Matrix<double> y(3, 4), gx(3, 5);
      map->forward(as_span(theta), x, y);
      Vector<double> g = Vector<double>::Ones(24);
      MatrixRef<double> gx_view(gx);
      adjoint.pullback(as_span(theta), x, y, gy, as_span(g), &gx_view);
      const auto loss = [&](const Vector<double>& t, const Matrix<double>& at) {
        Matrix<double> z(3, 4);
        map->forward(as_span(t), at, z);
        return z.cwiseProduct(gy).sum();
      };
      test::expect_gradient([&](const Vector<double>& t) { return loss(t, x); }, theta, g - Vector<double>::Ones(24), "theta");
      test::expect_matrix_gradient([&](const Matrix<double>& at) { return loss(theta, at); }, x, gx, "x");
    }
}

TEST(WrappedMap, RepeatsReadingsThatFailAndGivesThemUp) {
  const auto dense = std::make_shared<Dense<float>>(Shape{.width = 2}, 1);
  const std::vector<float> theta{1.0F, 1.0F, 0.0F};
  const Matrix<float> x = Matrix<float>::Ones(4, 2);
  Matrix<float> y(4, 1);
  const auto none = std::make_shared<MapEffects<float>>();

  const auto dead = wrapped_map<float>(dense, none, {.probability = 1.0, .retries = 2});
  EXPECT_EQ(test::message_of<DeviceError>([&] { dead->forward(theta, x, y); }),
            "dense with failing readings: a reading must come back; got none in 3 attempts; repeat it more often (device.retries), or do "
            "without (device.on_failure)");
  const auto& bill = dynamic_cast<const Instrument<float>&>(*dead);
  EXPECT_EQ(bill.receipt().failed, 1);
  EXPECT_EQ(bill.receipt().retries, 2);
  EXPECT_EQ(bill.receipt().evaluations, 3);
  EXPECT_EQ(bill.receipt().rows, 0);
  EXPECT_EQ(bill.info().identity, "simulated dense");

  // Half of all attempts fail: with 20 of them every reading comes back, and is what it would have been.
  const auto moody = wrapped_map<float>(dense, none, {.probability = 0.5, .retries = 20});
  for (int i = 0; i < 200; ++i) {
    moody->forward(theta, x, y);
    ASSERT_EQ(y, (Matrix<float>::Constant(4, 1, 2.0F)));
  }
  const DeviceReceipt receipt = dynamic_cast<const Instrument<float>&>(*moody).receipt();
  EXPECT_EQ(receipt.rows, 800);
  EXPECT_EQ(receipt.evaluations, 200 + receipt.retries);
  EXPECT_NEAR(static_cast<double>(receipt.retries), 200.0, 4.0 * 20.0);

  // A caller that can do without gets NaN; which readings these are follows from their address.
  const auto dropping = [&] { return wrapped_map<float>(dense, none, {.probability = 0.5, .retries = 0, .drop = true}); };
  const std::vector<std::span<const float>> thetas(64, theta);
  std::vector<Matrix<float>> first(64), again(64);
  const auto map = dropping();
  dynamic_cast<const ManyReadings<float>&>(*map).read_many(thetas, x, first, true);
  dynamic_cast<const ManyReadings<float>&>(*dropping()).read_many(thetas, x, again, true);
  Index missing = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(first[i].allFinite(), again[i].allFinite());
    EXPECT_NE(first[i].allFinite(), first[i].hasNaN());
    missing += first[i].allFinite() ? 0 : 1;
  }
  EXPECT_GT(missing, 16);
  EXPECT_LT(missing, 48);
  EXPECT_EQ(dynamic_cast<const Instrument<float>&>(*map).receipt().dropped, 4 * missing);
  EXPECT_THROW(dynamic_cast<const ManyReadings<float>&>(*map).read_many(thetas, x, first, false), DeviceError);
}

TEST(WrappedMap, AReadingThatWasGivenUpMayComeBackLater) {
  const std::vector<float> theta{1.0F, 1.0F, 0.0F};
  const Matrix<float> x = Matrix<float>::Ones(1, 2);
  Matrix<float> y(1, 1);
  const auto map = wrapped_map<float>(std::make_shared<Dense<float>>(Shape{.width = 2}, 1), std::make_shared<MapEffects<float>>(),
                                      {.probability = 0.9, .retries = 0});
  int came = 0;
  for (int attempt = 0; attempt < 200; ++attempt) {
    dynamic_cast<const AddressedReadings&>(*map).begin_series({.stream = 1, .step = 5});
    try {
      map->forward(theta, x, y);
      ++came;
    } catch (const DeviceError&) {
      // expected of most
    }
  }
  EXPECT_GT(came, 5);
  EXPECT_LT(came, 40);
}

TEST(WrappedMap, RefusesWhatDoesNotFit) {
  const auto dense = std::make_shared<Dense<float>>(Shape{.width = 2}, 1);
  const auto effects = std::make_shared<HalfAndSquare<float>>();
  EXPECT_EQ(test::message_of<ConfigError>([&] { static_cast<void>(wrapped_map<float>(dense, effects, {.probability = 1.5})); }),
            "ReadingFailures: the probability must lie in 0 .. 1; got 1.500000");
  EXPECT_EQ(test::message_of<ConfigError>([&] { static_cast<void>(wrapped_map<float>(dense, effects, {.retries = -1})); }),
            "ReadingFailures: retries must be at least 0; got -1");
  const auto map = wrapped_map<float>(dense, effects);
  Matrix<float> y(1, 1);
  EXPECT_THROW(map->forward(std::vector<float>(2), Matrix<float>::Ones(1, 2), y), ShapeError);
  EXPECT_THROW(map->forward(std::vector<float>(3), Matrix<float>::Ones(1, 3), y), ShapeError);
  std::vector<Matrix<float>> ys(1);
  EXPECT_THROW(dynamic_cast<const ManyReadings<float>&>(*map).read_many({}, Matrix<float>::Ones(1, 2), ys, false), ShapeError);
}

}  // namespace
}  // namespace ffzero
