// Rows of unit length.
// SPDX-License-Identifier: MIT
#include "ffzero/map/normalise.hpp"

#include <gtest/gtest.h>

#include "ffzero/base/error.hpp"
#include "support/expect_error.hpp"
#include "support/golden.hpp"
#include "support/gradient_check.hpp"

namespace ffzero {
namespace {

template <class S>
Matrix<S> forward(NormaliseKind kind, const Matrix<S>& x) {
  Matrix<S> y(x.rows(), x.cols());
  Normalise<S>({1, 1, x.cols()}, kind).forward({}, x, y);
  return y;
}

Matrix<double> random_matrix(Index rows, Index cols, std::uint64_t seed) {
  Matrix<double> m(rows, cols);
  RandomStream(seed, Stream::test).fill_normal(std::span<double>(m.data(), usize(m.size())));
  return m;
}

TEST(Normalise, RowsHaveUnitLengthAndTheDirectionOfTheInput) {
  const Matrix<double> x = random_matrix(4, 7, 1), y = forward(NormaliseKind::length, x);
  for (Index b = 0; b < 4; ++b) {
    EXPECT_NEAR(y.row(b).norm(), 1.0, 1e-15);
    EXPECT_NEAR(y.row(b).dot(x.row(b)), x.row(b).norm(), 1e-14);
  }
  EXPECT_EQ(forward(NormaliseKind::none, x), x);
}

TEST(Normalise, GroupsAreNormalisedApart) {
  const Matrix<double> x = random_matrix(4, 12, 6);
  Matrix<double> y(4, 12);
  Normalise<double>({1, 1, 12}, NormaliseKind::centre_length, 3).forward({}, x, y);
  for (Index g = 0; g < 3; ++g) EXPECT_EQ(y.middleCols(4 * g, 4), forward<double>(NormaliseKind::centre_length, x.middleCols(4 * g, 4)));
  EXPECT_THROW(Normalise<double>({1, 1, 12}, NormaliseKind::length, 5), ConfigError);
}

TEST(Normalise, CentredRowsHaveMeanZeroToo) {
  const Matrix<double> x = random_matrix(4, 7, 2).array() + 10.0, y = forward(NormaliseKind::centre_length, x);
  for (Index b = 0; b < 4; ++b) {
    EXPECT_NEAR(y.row(b).norm(), 1.0, 1e-14);
    EXPECT_NEAR(y.row(b).sum(), 0.0, 1e-13);
  }
  test::expect_near(forward(NormaliseKind::centre_length, Matrix<double>(x.array() + 5.0)), y, 1e-13, 0.0, "shifted");
}

TEST(Normalise, ZeroAndConstantRowsStayZeroAndHaveZeroSlope) {
  for (const auto& [kind, value] :
       {std::pair{NormaliseKind::length, 0.0}, {NormaliseKind::centre_length, 0.0}, {NormaliseKind::centre_length, 0.1}}) {
    const Matrix<double> x = Matrix<double>::Constant(2, 7, value), y = forward(kind, x);
    EXPECT_EQ(y, (Matrix<double>::Zero(2, 7)));
    EXPECT_EQ(forward(kind, Matrix<float>(x.cast<float>())), (Matrix<float>::Zero(2, 7)));
    Matrix<double> gx(2, 7);
    MatrixRef<double> view(gx);
    Normalise<double>({1, 1, 7}, kind).pullback({}, x, y, random_matrix(2, 7, 3), {}, &view);
    EXPECT_EQ(gx, (Matrix<double>::Zero(2, 7)));
  }
}

TEST(Normalise, PullsBackExactly) {
  const Matrix<double> x = random_matrix(3, 6, 4), gy = random_matrix(3, 6, 5);
  for (const NormaliseKind kind : {NormaliseKind::none, NormaliseKind::length, NormaliseKind::centre_length}) {
    const Normalise<double> map({1, 2, 3}, kind);
    Matrix<double> gx(3, 6);
    MatrixRef<double> view(gx);
    map.pullback({}, x, forward(kind, x), gy, {}, &view);
    map.pullback({}, x, forward(kind, x), gy, {}, nullptr);
    test::expect_matrix_gradient([&](const Matrix<double>& in) { return forward(kind, in).cwiseProduct(gy).sum(); }, x, gx,
                                 std::string(to_string(kind)));
  }
}

TEST(Normalise, WordsAreThoseOfTheConfiguration) {
  for (const char* word : {"none", "length", "centre_length"}) EXPECT_EQ(to_string(normalise_kind(word)), word);
  EXPECT_EQ(test::message_of<ConfigError>([] { static_cast<void>(normalise_kind("norm")); }),
            "model.normalise: must be none, length or centre_length; got \"norm\"; choose one of them");
}

TEST(Normalise, RefusesSizesThatDoNotFit) {
  Matrix<double> x(2, 4), y(2, 3);
  EXPECT_THROW(Normalise<double>({1, 1, 4}, NormaliseKind::length).forward({}, x, y), ShapeError);
}

}  // namespace
}  // namespace ffzero
