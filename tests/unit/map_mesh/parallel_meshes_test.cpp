// Meshes side by side: each is what it would be alone.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/parallel_meshes.hpp"

#include <gtest/gtest.h>

#include "ffzero/map/mesh/field_maps.hpp"
#include "support/expect_error.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

constexpr Index kPortsOfEach = 5;
constexpr Index kCount = 3;

template <class S>
struct ThreeMeshes {
  ParallelMeshes<S> meshes{MeshLayout(kPortsOfEach), kCount};
  Vector<S> theta = Vector<S>::Zero(meshes.parameter_count());
  Matrix<S> x = normal_matrix<S>(4, 2 * kPortsOfEach, 1);
  ThreeMeshes() { meshes.initialise(as_span(theta), RandomStream(7, Stream::initial)); }

  [[nodiscard]] Matrix<S> forward(const Vector<S>& at) const {
    Matrix<S> y(x.rows(), 2 * kCount * kPortsOfEach);
    meshes.forward(as_span(at), x, y);
    return y;
  }
};

template <class S>
void expect_each_as_alone() {
  const ThreeMeshes<S> f;
  const Matrix<S> y = f.forward(f.theta);
  for (Index m = 0; m < kCount; ++m) {
    const Index size = f.meshes.mesh().parameter_count();
    const Vector<S> own = f.theta.segment(m * size, size);
    Matrix<S> alone(4, 2 * kPortsOfEach);
    f.meshes.mesh().forward(as_span(own), f.x, alone);
    EXPECT_EQ(y.middleCols(m * kPortsOfEach, kPortsOfEach), alone.leftCols(kPortsOfEach));
    EXPECT_EQ(y.middleCols((kCount + m) * kPortsOfEach, kPortsOfEach), alone.rightCols(kPortsOfEach));
  }
}

TEST(ParallelMeshes, GiveWhatEachGivesAlone) {
  expect_each_as_alone<float>();
  expect_each_as_alone<double>();
}

TEST(ParallelMeshes, StartDifferentFromOneAnother) {
  const ThreeMeshes<double> f;
  const Index size = f.meshes.mesh().parameter_count();
  EXPECT_GT((f.theta.head(size) - f.theta.tail(size)).norm(), 1.0);
  Vector<double> alone(size);
  f.meshes.mesh().initialise(as_span(alone), RandomStream(7, Stream::initial));
  EXPECT_EQ(f.theta.head(size), alone);
}

TEST(ParallelMeshes, AreGroupsOfThreeUnits) {
  const ParameterLayout layout = ThreeMeshes<float>().meshes.parameter_layout();
  EXPECT_EQ(layout.groups, kCount);
  ASSERT_EQ(layout.units.size(), 9U);
  Index next = 0;
  for (std::size_t u = 0; u < 9; ++u) {
    EXPECT_EQ(layout.units[u].group, isize(u) / 3);
    EXPECT_EQ(layout.units[u].segments[0].begin, next);
    next += layout.units[u].size();
  }
  EXPECT_EQ(next, ThreeMeshes<float>().meshes.parameter_count());
}

template <class S>
void expect_pairs_of_three_are_two_forwards(double tolerance) {
  const ThreeMeshes<S> f;
  const Matrix<S> directions = normal_matrix<S>(2, f.theta.size(), 2);
  const Intensity<S> intensity(kCount * kPortsOfEach);
  ASSERT_TRUE(f.meshes.fuses(intensity));
  for (const bool powers : {false, true}) {
    Index calls = 0;
    f.meshes.forward_pairs(as_span(f.theta), directions, 0.1, f.x, powers ? &intensity : nullptr,
                           [&](Index j, const ConstMatrixRef<S>& plus, const ConstMatrixRef<S>& minus) {
                             ++calls;
                             const Vector<S> step = static_cast<S>(0.1) * directions.row(j).transpose();
                             const auto expected = [&](const Vector<S>& at) {
                               const Matrix<S> y = f.forward(at);
                               Matrix<S> read(4, kCount * kPortsOfEach);
                               intensity.forward({}, y, read);
                               return powers ? read : y;
                             };
                             EXPECT_LT((plus - expected(f.theta + step)).cwiseAbs().maxCoeff(), tolerance);
                             EXPECT_LT((minus - expected(f.theta - step)).cwiseAbs().maxCoeff(), tolerance);
                           });
    EXPECT_EQ(calls, 2);
  }
}

TEST(ParallelMeshes, PairsAreTwoForwards) {
  expect_pairs_of_three_are_two_forwards<double>(1e-14);
  expect_pairs_of_three_are_two_forwards<float>(1e-5);
}

TEST(ParallelMeshes, PullBackTheirDerivative) {
  const ThreeMeshes<double> f;
  const Matrix<double> gy = normal_matrix(4, 2 * kCount * kPortsOfEach, 3);
  Vector<double> gtheta = Vector<double>::Zero(f.theta.size());
  Matrix<double> gx(4, 2 * kPortsOfEach);
  MatrixRef<double> gx_ref = gx;
  f.meshes.pullback(as_span(f.theta), f.x, f.forward(f.theta), gy, as_span(gtheta), &gx_ref);
  expect_gradient([&](const Vector<double>& t) { return f.forward(t).cwiseProduct(gy).sum(); }, f.theta, gtheta, "theta");
  expect_matrix_gradient(
      [&](const Matrix<double>& v) {
        Matrix<double> y(4, 2 * kCount * kPortsOfEach);
        f.meshes.forward(as_span(f.theta), v, y);
        return y.cwiseProduct(gy).sum();
      },
      f.x, gx, "x");
}

TEST(ParallelMeshes, RefuseACountOfZeroAndWrongSizes) {
  EXPECT_EQ(message_of<ConfigError>([] { ParallelMeshes<float>(MeshLayout(4), 0); }), "model.mesh.parallel: must be at least 1; got 0");
  const ThreeMeshes<float> f;
  Matrix<float> y(4, 2 * kCount * kPortsOfEach);
  EXPECT_THROW(f.meshes.forward(as_span(f.theta), Matrix<float>::Zero(4, 6), y), ShapeError);
  EXPECT_THROW(f.meshes.forward(as_span(f.theta).subspan(1), f.x, y), ShapeError);
}

}  // namespace
}  // namespace ffzero::test
