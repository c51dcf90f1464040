// Low frequencies against the transform written out.
// SPDX-License-Identifier: MIT
#include "ffzero/map/cosines.hpp"

#include <gtest/gtest.h>
#include <numbers>

#include "ffzero/base/error.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

constexpr Shape kMaps{.channels = 2, .height = 4, .width = 6};

template <class S>
Matrix<S> fitted_outputs(Cosines<S>& map, const Matrix<S>& x, Index batch) {
  map.begin_statistics();
  for (Index first = 0; first < x.rows(); first += batch) map.absorb({}, x.middleRows(first, std::min(batch, x.rows() - first)));
  map.finish_statistics();
  Matrix<S> y(x.rows(), map.output_shape().size());
  map.forward({}, x, y);
  return y;
}

TEST(Cosines, AllOfThemRotateTheCentredInputs) {
  const Matrix<double> x = test::normal_matrix(50, kMaps.size(), 1).array() + 20.0;
  const Matrix<double> centred = x.rowwise() - x.colwise().mean();
  Cosines<double> map(kMaps, kMaps.size(), 0.0);
  const Matrix<double> y = fitted_outputs(map, x, 16);
  EXPECT_LT((y * y.transpose() - centred * centred.transpose()).cwiseAbs().maxCoeff(), 1e-9) << "orthonormal";
}

TEST(Cosines, BeginWithTheMeansOfTheChannelsThenTheSlowestWave) {
  const Matrix<double> x = test::normal_matrix(30, kMaps.size(), 2);
  const Matrix<double> centred = x.rowwise() - x.colwise().mean();
  Cosines<double> map(kMaps, 3, 0.0);
  const Matrix<double> y = fitted_outputs(map, x, 30);
  for (Index i = 0; i < x.rows(); ++i) {
    for (Index c = 0; c < 2; ++c) EXPECT_NEAR(y(i, c), centred.row(i).segment(c * 24, 24).sum() / std::sqrt(24.0), 1e-10);
    double wave = 0.0;  // half a period along the width, the longer side
    for (Index row = 0; row < 4; ++row)
      for (Index column = 0; column < 6; ++column)
        wave += centred(i, row * 6 + column) * std::cos(std::numbers::pi * (static_cast<double>(column) + 0.5) / 6.0) / std::sqrt(12.0);
    EXPECT_NEAR(y(i, 2), wave, 1e-10);
  }
}

TEST(Cosines, PowerOneMakesVariancesOne) {
  const Matrix<double> x = 3.0 * test::normal_matrix(200, kMaps.size(), 3).array() + 5.0;
  Cosines<double> map(kMaps, 10, 1.0);
  const Matrix<double> y = fitted_outputs(map, x, 64);
  for (Index c = 0; c < 10; ++c) EXPECT_NEAR(y.col(c).squaredNorm() / 200.0, 1.0, 1e-9);
}

TEST(Cosines, InFloatAgreeWithDoubleAndFitAgain) {
  const Matrix<double> x = test::normal_matrix(100, kMaps.size(), 4).array() + 50.0;
  Cosines<double> exact(kMaps, 8, 0.5);
  Cosines<float> single(kMaps, 8, 0.5);
  const Matrix<double> expected = fitted_outputs(exact, x, 40);
  static_cast<void>(fitted_outputs<float>(single, Matrix<float>(2.0F * x.cast<float>()), 40));
  const Matrix<float> y = fitted_outputs<float>(single, x.cast<float>(), 40);
  EXPECT_LT((y.cast<double>() - expected).cwiseAbs().maxCoeff(), 1e-3);
}

TEST(Cosines, OfImagesThatDoNotVaryAreRefusedAndWavesThatDoNotOccurAreZero) {
  Cosines<float> constant(kMaps, 3, 0.5);
  EXPECT_THROW(static_cast<void>(fitted_outputs<float>(constant, Matrix<float>::Constant(20, kMaps.size(), 0.3F), 7)), DataError);
  // One value for each image: no waves.
  Matrix<float> x(40, kMaps.size());
  for (Index i = 0; i < x.rows(); ++i) x.row(i).setConstant(0.1F * static_cast<float>(i));
  Cosines<float> flat(kMaps, 6, 0.5);
  const Matrix<float> y = fitted_outputs<float>(flat, x, 7);
  for (Index c = 0; c < 6; ++c) EXPECT_EQ(y.col(c).isZero(0.0F), c >= 2) << c;
}

TEST(Cosines, RefuseMoreThanThereAre) {
  EXPECT_THROW(Cosines<float>(kMaps, 49, 0.5), ConfigError);
  Cosines<float> empty(kMaps, 2, 0.5);
  empty.begin_statistics();
  EXPECT_THROW(empty.finish_statistics(), DataError);
}

}  // namespace
}  // namespace ffzero
