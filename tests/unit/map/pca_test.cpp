// Principal components against the eigenvectors of the covariance.
// SPDX-License-Identifier: MIT
#include "ffzero/map/pca.hpp"

#include <gtest/gtest.h>
#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ffzero/base/error.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

constexpr Index kRows = 500, kWidth = 8;

/// Correlated columns far from the origin.
Matrix<double> samples() {
  const Matrix<double> mix = test::normal_matrix(kWidth, kWidth, 2);
  return (test::normal_matrix(kRows, kWidth, 1) * mix).array() + 50.0;
}

template <class S>
void fit(Pca<S>& pca, const Matrix<S>& x, Index batch) {
  pca.begin_statistics();
  for (Index first = 0; first < x.rows(); first += batch) pca.absorb({}, x.middleRows(first, std::min(batch, x.rows() - first)));
  pca.finish_statistics();
}

template <class S>
Matrix<S> apply(const Pca<S>& pca, const Matrix<S>& x) {
  Matrix<S> y(x.rows(), pca.output_shape().size());
  pca.forward({}, x, y);
  return y;
}

TEST(Pca, ProjectsOnTheEigenvectorsOfTheCovariance) {
  const Matrix<double> x = samples();
  const Matrix<double> centred = x.rowwise() - x.colwise().mean();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(centred.transpose() * centred / static_cast<double>(kRows));
  for (const double power : {0.0, 0.5, 1.0}) {
    Pca<double> pca({.width = kWidth}, 5, power);
    fit(pca, x, 64);
    const Matrix<double> y = apply(pca, x);
    for (Index c = 0; c < 5; ++c) {
      const double variance = solver.eigenvalues()(kWidth - 1 - c);
      Vector<double> axis = solver.eigenvectors().col(kWidth - 1 - c);
      Index largest = 0;
      axis.cwiseAbs().maxCoeff(&largest);
      if (axis(largest) < 0.0) axis = -axis;
      EXPECT_LT((y.col(c) - centred * axis / std::pow(variance, power / 2.0)).cwiseAbs().maxCoeff(), 1e-9)
          << "power " << power << " component " << c;
      EXPECT_NEAR(y.col(c).mean(), 0.0, 1e-10);
      EXPECT_NEAR(y.col(c).squaredNorm() / static_cast<double>(kRows), std::pow(variance, 1.0 - power), 1e-8 * (1.0 + variance));
    }
  }
}

TEST(Pca, InFloatAgreesWithDouble) {
  const Matrix<float> x = samples().cast<float>();
  Pca<float> single({.width = kWidth}, 4, 0.5);
  Pca<double> exact({.width = kWidth}, 4, 0.5);
  fit(single, x, 100);
  fit<double>(exact, x.cast<double>(), 100);
  EXPECT_LT((apply(single, x).cast<double>() - apply<double>(exact, x.cast<double>())).cwiseAbs().maxCoeff(), 1e-3);
}

TEST(Pca, StateCarriesTheFit) {
  const Matrix<double> x = samples();
  Pca<double> fitted({.width = kWidth}, 3, 1.0), copy({.width = kWidth}, 3, 1.0);
  fit(fitted, x, 500);
  ASSERT_EQ(fitted.state().size(), copy.state().size());
  std::copy(fitted.state().begin(), fitted.state().end(), copy.state().begin());
  EXPECT_TRUE(apply(fitted, x) == apply(copy, x));
}

TEST(Pca, FitsAgainFromTheStart) {
  const Matrix<double> x = samples();
  Pca<double> once({.width = kWidth}, 3, 0.5), twice({.width = kWidth}, 3, 0.5);
  fit(once, x, 128);
  fit(twice, Matrix<double>(3.0 * x.topRows(100)), 128);
  fit(twice, x, 128);
  EXPECT_TRUE(apply(once, x) == apply(twice, x));
}

// As many batches at once as there are threads, whole and short ones, and one without samples: the same bits as one after another.
TEST(Pca, FitsBatchesSideBySideToTheSameBits) {
  for (const Index width : {Index{1}, Index{7}, kWidth, Index{33}, Index{70}}) {
    const Matrix<float> x = ((test::normal_matrix(kRows, width, 3) * test::normal_matrix(width, width, 4)).array() + 50.0).cast<float>();
    Pca<float> in_turn({.width = width}, std::min<Index>(3, width), 0.5);
    fit(in_turn, x, 40);
    for (const int threads : {1, 2, 3, 5}) {
      const Executor executor(threads);
      Pca<float> together({.width = width}, std::min<Index>(3, width), 0.5);
      together.begin_statistics();
      std::vector<Matrix<float>> batches;
      for (Index first = 0; first < kRows; first += 40) {
        if (batches.empty()) batches.emplace_back(0, width);
        batches.emplace_back(x.middleRows(first, std::min<Index>(40, kRows - first)));
        if (isize(batches.size()) <= threads) continue;
        together.absorb_many(batches, executor);
        batches.clear();
      }
      together.absorb_many(batches, executor);
      together.finish_statistics();
      EXPECT_TRUE(std::ranges::equal(together.state(), in_turn.state())) << "width " << width << ", threads " << threads;
    }
  }
}

TEST(Pca, LeavesDegenerateDirectionsFinite) {
  Matrix<double> x = samples();
  x.col(3) = x.col(2);
  x.col(4).setConstant(2.0);
  Pca<double> pca({.width = kWidth}, kWidth, 1.0);
  fit(pca, x, 200);
  EXPECT_TRUE(apply(pca, x).allFinite());
}

// As many as the inputs vary along; the rest is 0 in training and for samples that nobody has seen.
TEST(Pca, GivesZerosWhereThereIsNoComponentLeft) {
  Matrix<float> x = samples().cast<float>();
  x.rightCols(kWidth - 3).setConstant(1e6F);
  for (const double power : {0.0, 0.5, 1.0}) {
    Pca<float> pca({.width = kWidth}, 6, power);
    fit(pca, x, 200);
    const Matrix<float> y = apply(pca, x), other = apply<float>(pca, Matrix<float>(test::normal_matrix<float>(20, kWidth, 9)));
    EXPECT_TRUE(y.allFinite());
    for (Index c = 0; c < 6; ++c) EXPECT_EQ(y.col(c).isZero(0.0F) && other.col(c).isZero(0.0F), c >= 3) << "power " << power << " " << c;
  }
}

TEST(Pca, RefusesInputsThatDoNotVary) {
  for (const float value : {0.0F, 0.1F, 1e9F}) {
    Pca<float> pca({.width = kWidth}, 2, 0.5);
    const std::string line = test::message_of<DataError>([&] { fit(pca, Matrix<float>(Matrix<float>::Constant(50, kWidth, value)), 20); });
    EXPECT_NE(line.find("model.pca: needs inputs that differ"), std::string::npos) << line;
  }
  // What rounding leaves of a constant is not a component either.
  Matrix<float> x = Matrix<float>::Constant(50, kWidth, 0.1F);
  x(7, 2) = std::nextafter(0.1F, 1.0F);
  Pca<float> pca({.width = kWidth}, 2, 0.5);
  EXPECT_THROW(fit(pca, x, 50), DataError);
  Pca<float> one({.width = kWidth}, 2, 0.5);
  EXPECT_THROW(fit(one, Matrix<float>(samples().topRows(1).cast<float>()), 50), DataError);
}

TEST(Pca, RefusesMoreComponentsThanInputs) {
  EXPECT_THROW(Pca<float>({.width = 4}, 5, 0.5), ConfigError);
  EXPECT_THROW(Pca<float>({.width = 4}, 0, 0.5), ConfigError);
  Pca<float> empty({.width = 4}, 2, 0.5);
  empty.begin_statistics();
  EXPECT_THROW(empty.finish_statistics(), DataError);
}

}  // namespace
}  // namespace ffzero
