// Instruments that look at the same inputs, each with its own parameters and outputs.
// SPDX-License-Identifier: MIT
#include "ffzero/map/side_by_side.hpp"

#include <gmock/gmock.h>

#include <limits>

#include "ffzero/base/error.hpp"
#include "ffzero/map/dense.hpp"
#include "support/expect_error.hpp"

namespace ffzero {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// y = (sum of theta) x with as many parameters as one likes, limited to +-limit. Notes what it is asked for.
class Scale final : public ForwardMap<double>, public Instrument<double> {
 public:
  Scale(Index parameters, double limit, Index inputs = 2) : parameters_(parameters), limit_(limit), inputs_(inputs) {}
  [[nodiscard]] Shape input_shape() const override { return {.width = inputs_}; }
  [[nodiscard]] Shape output_shape() const override { return {.width = inputs_}; }
  [[nodiscard]] Index parameter_count() const override { return parameters_; }
  void forward(std::span<const double> theta, const ConstMatrixRef<double>& x, MatrixRef<double> y) const override {
    y = as_vector(theta).sum() * x;
  }
  void read_many(std::span<const std::span<const double>> thetas, const ConstMatrixRef<double>& x, std::span<Matrix<double>> ys,
                 bool may_miss) const override {
    if (broken) throw DeviceError(DeviceFailure::disconnected, "device here", "must answer", "nothing");
    for (std::size_t i = 0; i < thetas.size(); ++i) {
      sizes.push_back(isize(thetas[i].size()));
      ys[i].resize(x.rows(), inputs_);
      forward(thetas[i], x, ys[i]);
      if (may_miss && gone) ys[i].setConstant(std::numeric_limits<double>::quiet_NaN());
    }
  }
  [[nodiscard]] InstrumentInfo info() const override { return {.address = "here", .identity = "", .noise = limit_}; }
  [[nodiscard]] DeviceReceipt receipt() const override { return {}; }
  [[nodiscard]] std::vector<std::string> log() const override { return {}; }
  void safe() const override { ++made_safe; }
  void begin_readings(std::uint64_t /*stream*/, std::uint64_t /*step*/, bool /*lasting*/) const override {}
  [[nodiscard]] Matrix<double> reference_readings(std::span<const double> theta, Index repeats) const override {
    return Matrix<double>::Constant(repeats, inputs_, as_vector(theta).sum());
  }
  void keep_inside(std::span<double> theta, double margin) const override {
    sizes.push_back(isize(theta.size()));
    for (double& v : theta) v = std::min(v, limit_ - margin);
  }
  [[nodiscard]] double resolution() const override { return 0.0; }

  bool broken = false, gone = false;
  mutable std::vector<Index> sizes;
  mutable int made_safe = 0;

 private:
  Index parameters_;
  double limit_;
  Index inputs_;
};

struct Pair {
  std::shared_ptr<Scale> first = std::make_shared<Scale>(1, 1.0), second = std::make_shared<Scale>(2, 2.0);
  [[nodiscard]] std::vector<NumberedInstrument<double>> members() const {
    return {{.number = 4, .map = first, .address = "a"}, {.number = 5, .map = second, .address = "b"}};
  }
};

const std::vector<double> kTheta{3.0, 0.5, 0.25};

TEST(SideBySideMap, EachReadsTheWholeBatchWithItsOwnParameters) {
  const Pair pair;
  const SideBySideMap<double> map(pair.members());
  EXPECT_EQ(map.input_shape().size(), 2);
  EXPECT_EQ(map.output_shape().size(), 4);
  EXPECT_EQ(map.parameter_count(), 3);
  const Matrix<double> x = (Matrix<double>(2, 2) << 1.0, 2.0, 4.0, 8.0).finished();
  Matrix<double> y(2, 4), wanted(2, 4);
  map.forward(kTheta, x, y);
  wanted << 3.0 * x, 0.75 * x;
  EXPECT_EQ(y, wanted);
  EXPECT_EQ(map.reference_readings(kTheta, 1), (Matrix<double>(1, 4) << 3.0, 3.0, 0.75, 0.75).finished());
  EXPECT_THAT(pair.second->sizes, ElementsAre(2));
  const std::vector<double> longer(4);
  EXPECT_THROW(map.forward(longer, x, y), ShapeError);
}

TEST(SideBySideMap, EachIsAGroupOfItsOwn) {
  const Pair pair;
  const SideBySideMap<double> map(pair.members());
  const ParameterLayout layout = map.parameter_layout();
  EXPECT_EQ(layout.groups, 2);
  ASSERT_EQ(layout.units.size(), 2U);
  EXPECT_EQ(layout.units[1].group, 1);
  EXPECT_EQ(layout.units[1].segments[0].begin, 1);
  EXPECT_EQ(layout.units[1].size(), 2);
  EXPECT_EQ(map.parameters_of(1).begin, 1);
  std::vector<double> theta{3.0, 3.0, 0.0};
  map.keep_inside(theta, 0.25);
  EXPECT_THAT(theta, ElementsAre(0.75, 1.75, 0.0)) << "limits of its own";
  // Groups begin apart, the first one as it would alone.
  std::vector<double> alone(1);
  pair.first->initialise(alone, RandomStream(3, Stream::test));
  map.initialise(theta, RandomStream(3, Stream::test));
  EXPECT_EQ(theta[0], alone[0]);
  EXPECT_NE(theta[1], theta[0]);
}

TEST(SideBySideMap, OneThatFailsIsNamedAndTheOthersAreMadeSafe) {
  const Pair pair;
  pair.second->broken = true;
  const SideBySideMap<double> map(pair.members());
  const Matrix<double> x = Matrix<double>::Ones(2, 2);
  Matrix<double> y(2, 4);
  EXPECT_EQ(test::message_of<DeviceError>([&] { map.forward(kTheta, x, y); }),
            "device 5: device here: must answer; got nothing; the others are in their safe state; a group has no substitute: mend it and "
            "resume");
  EXPECT_EQ(pair.first->made_safe, 1);
}

TEST(SideBySideMap, AsksOneThatIsGoneInEveryCallBecauseNoRowIsWholeWithoutIt) {
  const Pair pair;
  pair.second->gone = true;
  const SideBySideMap<double> map(pair.members());
  const std::span<const double> theta(kTheta);
  for (int call = 0; call < 6; ++call) {
    Matrix<double> y;
    map.read_many(std::span(&theta, 1), Matrix<double>::Ones(3, 2), std::span(&y, 1), true);
    EXPECT_TRUE(y.leftCols(2).allFinite());
    EXPECT_FALSE(y.row(0).allFinite());
  }
  EXPECT_EQ(pair.second->sizes.size(), 6U);
}

TEST(SideBySideMap, RefusesWhatDoesNotFit) {
  auto members = Pair().members();
  members[1].map = std::make_shared<Scale>(1, 1.0, 3);
  EXPECT_THAT(test::message_of<ConfigError>([&] { SideBySideMap<double> map(members); }),
              HasSubstr("device 5: must have the inputs and outputs of device 4, [2,2], beside which it stands; got [3,3]"));
  members[1].map = nullptr;
  EXPECT_THAT(test::message_of<ConfigError>([&] { SideBySideMap<double> map(members); }), HasSubstr("one that is left out"));
  members[1].map = std::make_shared<Dense<double>>(Shape{.width = 2}, 2);
  EXPECT_THAT(test::message_of<ConfigError>([&] { SideBySideMap<double> map(members); }), HasSubstr("device 5: must be an instrument"));
}

}  // namespace
}  // namespace ffzero
