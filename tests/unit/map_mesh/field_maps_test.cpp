// Fixed maps on light: values, gradients, dark samples, refusals.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/field_maps.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "support/expect_error.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

template <class S>
Matrix<S> outputs(const ForwardMap<S>& map, const Matrix<S>& x) {
  Matrix<S> y(x.rows(), map.output_shape().size());
  map.forward({}, x, y);
  return y;
}

std::vector<std::unique_ptr<AdjointMap<double>>> all_maps(Index ports) {
  std::vector<std::unique_ptr<AdjointMap<double>>> maps;
  maps.push_back(
      std::make_unique<ElectroOptic<double>>(ports, ElectroOptic<double>::Options{.tapped = 0.2, .phase_gain_rad = 0.8, .bias_rad = 1.0}));
  maps.push_back(std::make_unique<Detect<double>>(ports));
  maps.push_back(std::make_unique<Intensity<double>>(ports));
  maps.push_back(std::make_unique<Gain<double>>(Gain<double>::unit_power(ports)));
  maps.push_back(std::make_unique<Gain<double>>(Gain<double>::fixed(ports, 2.5)));
  return maps;
}

TEST(FieldMaps, PullBackTheirDerivatives) {
  const Matrix<double> x = normal_matrix(3, 10, 1);
  for (const auto& map : all_maps(5)) {
    const Matrix<double> gy = normal_matrix(3, map->output_shape().size(), 2);
    Matrix<double> gx(3, 10);
    MatrixRef<double> gx_ref = gx;
    map->pullback({}, x, outputs(*map, x), gy, {}, &gx_ref);
    expect_matrix_gradient([&](const Matrix<double>& v) { return outputs(*map, v).cwiseProduct(gy).sum(); }, x, gx, map->kind());
    map->pullback({}, x, outputs(*map, x), gy, {}, nullptr);
  }
}

TEST(FieldMaps, KeepDarkSamplesDark) {
  Matrix<double> x = normal_matrix(3, 10, 3);
  x.row(1).setZero();
  for (const auto& map : all_maps(5)) {
    const Matrix<double> y = outputs(*map, x);
    EXPECT_EQ(y.row(1).cwiseAbs().maxCoeff(), 0.0) << map->kind();
    EXPECT_GT(y.row(0).norm(), 0.0) << map->kind();
    Matrix<double> gx(3, 10);
    MatrixRef<double> gx_ref = gx;
    map->pullback({}, x, y, y, {}, &gx_ref);
    EXPECT_TRUE(gx.allFinite()) << map->kind();
    EXPECT_TRUE(map->independent_rows());
    EXPECT_EQ(map->parameter_count(), 0);
  }
}

TEST(ElectroOptic, TransmitsAtMostTheUntappedPower) {
  const ElectroOptic<double> map(5);
  const Matrix<double> x = normal_matrix(40, 10, 4);
  const Matrix<double> y = outputs(map, x);
  for (Index b = 0; b < 40; ++b) EXPECT_LE(y.row(b).squaredNorm(), 0.9 * x.row(b).squaredNorm());
}

TEST(Detect, EmitsPowersWithPhaseZero) {
  Matrix<double> x(1, 4);
  x << 3.0, 1.0, 4.0, -2.0;
  Matrix<double> expected(1, 4);
  expected << 25.0, 5.0, 0.0, 0.0;
  EXPECT_EQ(outputs(Detect<double>(2), x), expected);
  EXPECT_EQ(outputs(Intensity<double>(2), x), expected.leftCols(2));
}

TEST(Gain, GivesEverySampleUnitPower) {
  Matrix<float> x = normal_matrix<float>(4, 8, 5);
  x.row(1) *= 1e-30F;  // its power is no float
  x.row(2) *= 1e+30F;
  const Matrix<float> y = outputs(Gain<float>::unit_power(4), x);
  for (Index b = 0; b < 4; ++b) EXPECT_NEAR(y.row(b).cast<double>().squaredNorm(), 1.0, 1e-6);
}

TEST(Gain, MultipliesPowersByItsFactor) {
  const Matrix<double> x = normal_matrix(2, 8, 6);
  EXPECT_NEAR(outputs(Gain<double>::fixed(4, 9.0), x).squaredNorm(), 9.0 * x.squaredNorm(), 1e-12);
}

TEST(Gain, RefusesFactorsThatAreNotPositive) {
  EXPECT_EQ(message_of<ConfigError>([] { static_cast<void>(Gain<float>::fixed(4, -1.0)); }),
            "model.mesh.gain: must be none, unit_power or a positive power factor; got -1.000000");
  EXPECT_THROW(static_cast<void>(Gain<float>::fixed(4, 0.0)), ConfigError);
  EXPECT_THROW(static_cast<void>(Gain<float>::fixed(4, std::nan(""))), ConfigError);
}

TEST(ElectroOptic, RefusesToTapAllOfTheLight) {
  EXPECT_THROW(ElectroOptic<float>(4, {.tapped = 1.0}), ConfigError);
  EXPECT_THROW(ElectroOptic<float>(4, {.tapped = -0.1}), ConfigError);
}

TEST(FieldMaps, NameWrongSizes) {
  EXPECT_EQ(message_of<ShapeError>([] { outputs<float>(Detect<float>(4), Matrix<float>::Zero(2, 6)); }),
            "Detect: x must have 8 columns; got 2 x 6");
}

}  // namespace
}  // namespace ffzero::test
