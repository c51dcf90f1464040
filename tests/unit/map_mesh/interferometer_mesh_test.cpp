// The mesh: unitarity, float kernel against the definition on every processor target, pairs, pullback, threads.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/interferometer_mesh.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <complex>
#include <memory>
#include <numbers>
#include <string>

#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/reference_mesh.hpp"
#include "mesh_samples.hpp"
#include "support/expect_error.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

constexpr double kFloatTolerance = 1e-5;

template <class S>
double worst(const Matrix<S>& a, const Matrix<double>& b) {
  return (a.template cast<double>() - b).cwiseAbs().maxCoeff();
}

/// max |U U^H - 1|
template <class S>
double distance_from_unitarity(const Matrix<S>& u) {
  const Index rows = u.rows();
  const Matrix<double> re = u.leftCols(u.cols() / 2).template cast<double>();
  const Matrix<double> im = u.rightCols(u.cols() / 2).template cast<double>();
  const Matrix<double> real = re * re.transpose() + im * im.transpose() - Matrix<double>::Identity(rows, rows);
  const Matrix<double> imaginary = im * re.transpose() - re * im.transpose();
  return std::max(real.cwiseAbs().maxCoeff(), imaginary.cwiseAbs().maxCoeff());
}

/// Runs a test body once for each processor target that this machine has.
template <class Body>
void on_every_target(Body&& body) {
  for (std::int64_t rest = hwy::SupportedTargets(); rest != 0; rest &= rest - 1) {
    const std::int64_t target = rest & -rest;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    body();
    hwy::SetSupportedTargetsForTest(0);
  }
}

struct Case {
  Index ports;
  MeshGeometry geometry;
};
const Case kCases[] = {{2, MeshGeometry::rectangular},  {3, MeshGeometry::rectangular},  {4, MeshGeometry::rectangular},
                       {5, MeshGeometry::rectangular},  {8, MeshGeometry::rectangular},  {9, MeshGeometry::rectangular},
                       {25, MeshGeometry::rectangular}, {64, MeshGeometry::rectangular}, {2, MeshGeometry::triangular},
                       {3, MeshGeometry::triangular},   {6, MeshGeometry::triangular},   {7, MeshGeometry::triangular},
                       {34, MeshGeometry::triangular}};

TEST(MeshLayout, CountsInterferometersColumnByColumn) {
  for (const auto& [ports, geometry] : kCases) {
    for (const bool dead : {false, true}) {
      const MeshLayout layout(ports, geometry, dead);
      Index live = 0, stored = 0;
      for (Index l = 0; l < layout.columns(); ++l) {
        EXPECT_EQ(layout.offset(l), stored) << ports << " column " << l;
        live += layout.pairs(l);
        stored += layout.entries(l);
        EXPECT_LE(layout.pairs(l), layout.neighbours(l));
      }
      EXPECT_EQ(live, layout.interferometers());
      EXPECT_EQ(layout.block_size(), stored);
      EXPECT_EQ(layout.parameter_count(), 2 * stored + ports);
    }
  }
}

TEST(MeshLayout, HasThreeUnitsInOneGroup) {
  const ParameterLayout layout = MeshLayout(8, MeshGeometry::rectangular, true).parameter_layout(100, 2);
  ASSERT_EQ(layout.units.size(), 3U);
  EXPECT_EQ(layout.units[0].segments[0].begin, 100);
  EXPECT_EQ(layout.units[1].segments[0].begin, 132);
  EXPECT_EQ(layout.units[2].segments[0].begin, 164);
  EXPECT_EQ(layout.units[2].size(), 8);
  EXPECT_EQ(layout.units[1].group, 2);
}

TEST(MeshLayout, HasOneUnitIfTheDirectionIsJoint) {
  const MeshLayout mesh(8, MeshGeometry::rectangular, true, MeshDirection::joint);
  const ParameterLayout layout = mesh.parameter_layout(100, 2);
  ASSERT_EQ(layout.units.size(), 1U);
  EXPECT_EQ(layout.units[0].segments[0].begin, 100);
  EXPECT_EQ(layout.units[0].size(), mesh.parameter_count());
  EXPECT_EQ(layout.units[0].group, 2);
  EXPECT_EQ(message_of<ConfigError>([] { static_cast<void>(mesh_direction("alone")); }),
            "model.mesh.direction: must be joint or separate; got alone");
}

TEST(MeshLayout, RefusesAMeshOfOnePort) {
  EXPECT_EQ(message_of<ConfigError>([] { MeshLayout(1); }), "model.mesh: a mesh needs at least 2 ports; got 1");
}

TEST(MeshLayout, RefusesAnUnknownWord) {
  EXPECT_EQ(mesh_geometry("triangular"), MeshGeometry::triangular);
  EXPECT_EQ(message_of<ConfigError>([] { static_cast<void>(mesh_geometry("square")); }),
            "model.mesh.layout: must be rectangular or triangular; got square");
}

TEST(InterferometerMesh, IsUnitaryInDouble) {
  for (const auto& [ports, geometry] : kCases) {
    const InterferometerMesh<double> mesh(MeshLayout(ports, geometry));
    EXPECT_LT(distance_from_unitarity(mesh.matrix(as_span(haar(mesh)))), 1e-12) << ports;
  }
}

TEST(InterferometerMesh, MatchesTheClosedFormOfTwoPorts) {
  const InterferometerMesh<double> mesh(MeshLayout(2));
  Vector<double> theta(4);
  theta << 0.7, 1.3, -0.4, 2.1;
  const std::complex<double> g0 = std::polar(1.0, -0.4), g1 = std::polar(1.0, 2.1), phase = std::polar(1.0, 1.3);
  const double s = std::sin(0.35), c = std::cos(0.35);
  const std::complex<double> expected[2][2] = {{g0 * phase * s, g0 * c}, {g1 * phase * c, -g1 * s}};
  const Matrix<double> u = mesh.matrix(as_span(theta));
  for (Index i = 0; i < 2; ++i) {
    for (Index k = 0; k < 2; ++k) {
      EXPECT_NEAR(u(i, k), expected[i][k].real(), 1e-15);
      EXPECT_NEAR(u(i, 2 + k), expected[i][k].imag(), 1e-15);
    }
  }
}

TEST(InterferometerMesh, StartsHaarRandom) {
  // E |U_ij|^4 = 2 / (n (n + 1)) for Haar-random U. 200 draws: the mean of all entries scatters by about 1 %; 5 % is five standard errors.
  for (const auto& [ports, geometry] : {Case{5, MeshGeometry::rectangular}, Case{6, MeshGeometry::rectangular},
                                        Case{5, MeshGeometry::triangular}, Case{6, MeshGeometry::triangular}}) {
    const InterferometerMesh<double> mesh(MeshLayout(ports, geometry));
    Matrix<double> fourth = Matrix<double>::Zero(ports, ports);
    for (std::uint64_t draw = 0; draw < 400; ++draw) {
      const Matrix<double> u = mesh.matrix(as_span(haar(mesh, draw)));
      fourth.array() += (u.leftCols(ports).array().square() + u.rightCols(ports).array().square()).square() / 400.0;
    }
    const double n = static_cast<double>(ports);
    EXPECT_NEAR(fourth.mean() * n * (n + 1.0) / 2.0, 1.0, 0.05) << ports;
    EXPECT_LT((fourth * (n * (n + 1.0) / 2.0) - Matrix<double>::Ones(ports, ports)).cwiseAbs().maxCoeff(), 0.4) << ports;
  }
}

TEST(InterferometerMesh, InitialisesTheSameLiveParametersWithinTheirRanges) {
  const InterferometerMesh<float> mesh(MeshLayout(8, MeshGeometry::rectangular, true));
  const Vector<float> theta = haar(mesh);
  EXPECT_EQ(theta[7], 0.0F);  // dead: last entry of column 1
  EXPECT_GT(theta[6], 0.0F);
  EXPECT_GE(theta.minCoeff(), 0.0F);
  EXPECT_LE(theta.maxCoeff(), 2.0F * std::numbers::pi_v<float>);
}

TEST(FloatKernel, AgreesWithTheDefinitionOnEveryTarget) {
  on_every_target([] {
    for (const auto& [ports, geometry] : kCases) {
      for (const bool dead : {false, true}) {
        const MeshLayout layout(ports, geometry, dead);
        const InterferometerMesh<float> mesh(layout);
        const InterferometerMesh<double> exact(layout);
        const Vector<float> theta = haar(mesh) + Vector<float>::Constant(mesh.parameter_count(), 3.0F);
        for (const Index rows : {1, 15, 16, 17, 33}) {
          const Matrix<float> x = light<float>(rows, ports, 3);
          EXPECT_LT(worst(forward(mesh, theta, x), forward<double>(exact, theta.cast<double>(), x.cast<double>())), 2e-6)
              << ports << " ports, " << rows << " samples";
        }
      }
    }
  });
}

TEST(FloatKernel, TakesAnglesOfAnySize) {
  on_every_target([] {
    const MeshLayout layout(9);
    const InterferometerMesh<float> mesh(layout);
    Vector<float> theta = haar(mesh);
    for (Index i = 0; i < theta.size(); ++i) theta[i] *= (i % 2 == 0 ? -1.0F : 1.0F) * std::pow(10.0F, static_cast<float>(i % 8));
    const Matrix<float> x = light<float>(5, 9, 4);
    EXPECT_LT(worst(forward(mesh, theta, x), forward<double>(InterferometerMesh<double>(layout), theta.cast<double>(), x.cast<double>())),
              1e-6);
  });
}

TEST(FloatKernel, TakesExactBarAndCrossStates) {
  on_every_target([] {
    for (const double angle : {0.0, std::numbers::pi, 2.0 * std::numbers::pi, -std::numbers::pi, 0.5 * std::numbers::pi}) {
      for (const Index ports : {6, 40, 41}) {
        const MeshLayout layout(ports);
        const InterferometerMesh<float> mesh(layout);
        const Vector<float> theta = Vector<float>::Constant(mesh.parameter_count(), static_cast<float>(angle));
        const Matrix<float> x = light<float>(3, ports, 5);
        EXPECT_LT(
            worst(forward(mesh, theta, x), forward<double>(InterferometerMesh<double>(layout), theta.cast<double>(), x.cast<double>())),
            1e-6)
            << angle << ", " << ports;
      }
    }
  });
}

TEST(FloatKernel, KeepsANotANumberInItsSample) {
  on_every_target([] {
    const InterferometerMesh<float> mesh(MeshLayout(9));
    const Vector<float> theta = haar(mesh);
    Matrix<float> x = light<float>(20, 9, 6);
    const Matrix<float> clean = forward(mesh, theta, x);
    x(3, 4) = std::numeric_limits<float>::quiet_NaN();
    const Matrix<float> y = forward(mesh, theta, x);
    EXPECT_TRUE(y.row(3).array().isNaN().any());
    EXPECT_EQ(y.bottomRows(16), clean.bottomRows(16));
    EXPECT_EQ(y.topRows(3), clean.topRows(3));
  });
}

TEST(FloatKernel, StaysWithinTenMillionthsAndUnitaryAt784Ports) {
  const MeshLayout layout(784);
  const InterferometerMesh<float> mesh(layout);
  const Vector<float> theta = haar(mesh);
  const Matrix<float> x = light<float>(8, 784, 7);
  const Matrix<double> exact = forward<double>(InterferometerMesh<double>(layout), theta.cast<double>(), x.cast<double>());
  on_every_target([&] {
    const Matrix<float> y = forward(mesh, theta, x);
    EXPECT_LT(worst(y, exact), kFloatTolerance);
    for (Index b = 0; b < x.rows(); ++b)
      EXPECT_NEAR(y.row(b).cast<double>().squaredNorm(), x.row(b).cast<double>().squaredNorm(), kFloatTolerance);
  });
}

TEST(InterferometerMesh, IsUnitaryInDoubleAt784Ports) {
  // Rows of U from one block of the identity: their Gram matrix is that of U.
  const InterferometerMesh<double> mesh(MeshLayout(784));
  const Vector<double> theta = haar(mesh);
  Matrix<double> x = Matrix<double>::Zero(8, 2 * 784);
  for (Index b = 0; b < 8; ++b) x(b, b * 111) = 1.0;
  EXPECT_LT(distance_from_unitarity(forward(mesh, theta, x)), 1e-12);
}

TEST(FloatKernel, IsUnitaryAt784Ports) {
  const InterferometerMesh<float> mesh(MeshLayout(784));
  const Matrix<float> u = mesh.matrix(as_span(haar(mesh)));
  EXPECT_LT(distance_from_unitarity(u), kFloatTolerance);
}

TEST(FloatKernel, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const Index ports : {9, 64, 196}) {
    const MeshLayout layout(ports);
    const InterferometerMesh<float> serial(layout);
    const Vector<float> theta = haar(serial);
    const Matrix<float> x = light<float>(200, ports, 8);
    const Matrix<float> gy = normal_matrix<float>(200, 2 * ports, 9);
    const Matrix<float> y = forward(serial, theta, x);
    Vector<float> gtheta = Vector<float>::Zero(theta.size());
    Matrix<float> gx(200, 2 * ports);
    MatrixRef<float> gx_ref = gx;
    serial.pullback(as_span(theta), x, y, gy, as_span(gtheta), &gx_ref);
    for (const int threads : {1, 2, 3, 5}) {
      const InterferometerMesh<float> mesh(layout, std::make_shared<Executor>(threads));
      EXPECT_EQ(forward(mesh, theta, x), y);
      Vector<float> other = Vector<float>::Zero(theta.size());
      Matrix<float> other_gx(200, 2 * ports);
      MatrixRef<float> other_ref = other_gx;
      mesh.pullback(as_span(theta), x, y, gy, as_span(other), &other_ref);
      EXPECT_EQ(other, gtheta);
      EXPECT_EQ(other_gx, gx);
    }
  }
}

TEST(FloatKernel, GivesASampleTheSameBitsInAnyCompany) {
  on_every_target([] {
    const InterferometerMesh<float> mesh(MeshLayout(20), std::make_shared<Executor>(2));
    const Vector<float> theta = haar(mesh);
    const Matrix<float> x = light<float>(70, 20, 10);
    const Matrix<float> y = forward(mesh, theta, x);
    for (const Index row : {0, 15, 16, 69}) EXPECT_EQ(forward<float>(mesh, theta, x.row(row)), y.row(row));
  });
}

template <class S>
void expect_pairs_are_two_forwards(double tolerance) {
  const MeshLayout layout(11);
  const InterferometerMesh<S> mesh(layout);
  const Vector<S> theta = haar(mesh);
  const Matrix<S> x = light<S>(37, 11, 11);
  const Matrix<S> directions = normal_matrix<S>(2, mesh.parameter_count(), 12);
  const Intensity<S> intensity(11);
  const Vector<S> none;
  for (const ForwardMap<S>* readout : {static_cast<const ForwardMap<S>*>(nullptr), static_cast<const ForwardMap<S>*>(&intensity)}) {
    Index calls = 0;
    mesh.forward_pairs(as_span(theta), directions, 0.05, x, readout,
                       [&](Index j, const ConstMatrixRef<S>& plus, const ConstMatrixRef<S>& minus) {
                         EXPECT_EQ(j, calls++);
                         for (const double sign : {1.0, -1.0}) {
                           const Vector<S> moved = theta + static_cast<S>(sign * 0.05) * directions.row(j).transpose();
                           Matrix<S> expected = forward(mesh, moved, x);
                           if (readout != nullptr) expected = forward(intensity, none, expected);
                           const Matrix<S> found = sign > 0.0 ? plus : minus;
                           EXPECT_LT(worst(found, expected.template cast<double>()), tolerance);
                         }
                       });
    EXPECT_EQ(calls, 2);
  }
}

TEST(InterferometerMesh, PairsAreTwoForwards) {
  expect_pairs_are_two_forwards<double>(1e-15);
  on_every_target([] { expect_pairs_are_two_forwards<float>(1e-6); });
}

TEST(InterferometerMesh, FusesIntensitiesAlone) {
  const InterferometerMesh<float> mesh(MeshLayout(4));
  EXPECT_TRUE(mesh.fuses(Intensity<float>(4)));
  EXPECT_FALSE(mesh.fuses(Detect<float>(4)));
}

TEST(InterferometerMesh, PullbackIsTheDerivative) {
  for (const auto& [ports, geometry] :
       {Case{2, MeshGeometry::rectangular}, Case{5, MeshGeometry::rectangular}, Case{6, MeshGeometry::rectangular},
        Case{5, MeshGeometry::triangular}, Case{6, MeshGeometry::triangular}}) {
    const InterferometerMesh<double> mesh(MeshLayout(ports, geometry, true));
    const Vector<double> theta = haar(mesh);
    const Matrix<double> x = light<double>(3, ports, 13);
    const Matrix<double> gy = normal_matrix(3, 2 * ports, 14);
    const Matrix<double> y = forward(mesh, theta, x);
    Vector<double> gtheta = Vector<double>::Zero(theta.size());
    Matrix<double> gx(3, 2 * ports);
    MatrixRef<double> gx_ref = gx;
    mesh.pullback(as_span(theta), x, y, gy, as_span(gtheta), &gx_ref);
    expect_gradient([&](const Vector<double>& t) { return forward(mesh, t, x).cwiseProduct(gy).sum(); }, theta, gtheta, "theta");
    expect_matrix_gradient([&](const Matrix<double>& v) { return forward(mesh, theta, v).cwiseProduct(gy).sum(); }, x, gx, "x");
  }
}

TEST(FloatKernel, PullsBackLikeTheDefinitionOnEveryTarget) {
  on_every_target([] {
    for (const auto& [ports, geometry] : kCases) {
      const MeshLayout layout(ports, geometry, ports % 2 == 0);
      const InterferometerMesh<float> mesh(layout);
      const InterferometerMesh<double> exact(layout);
      const Vector<float> theta = haar(mesh);
      for (const Index rows : {1, 17, 70}) {
        const Matrix<float> x = light<float>(rows, ports, 15);
        const Matrix<float> gy = normal_matrix<float>(rows, 2 * ports, 16) / std::sqrt(static_cast<float>(rows * ports));
        const Matrix<float> y = forward(mesh, theta, x);
        Vector<float> gtheta = Vector<float>::Ones(theta.size());
        Matrix<float> gx(rows, 2 * ports);
        MatrixRef<float> gx_ref = gx;
        mesh.pullback(as_span(theta), x, y, gy, as_span(gtheta), &gx_ref);
        Vector<double> exact_gtheta = Vector<double>::Ones(theta.size());
        Matrix<double> exact_gx(rows, 2 * ports);
        MatrixRef<double> exact_ref = exact_gx;
        exact.pullback(as_span(Vector<double>(theta.cast<double>())), x.cast<double>(), y.cast<double>(), gy.cast<double>(),
                       as_span(exact_gtheta), &exact_ref);
        EXPECT_LT((gtheta.cast<double>() - exact_gtheta).cwiseAbs().maxCoeff(), 2e-6) << ports << " ports, " << rows << " samples";
        EXPECT_LT(worst(gx, exact_gx), 2e-6) << ports << " ports, " << rows << " samples";
        Vector<float> again = Vector<float>::Ones(theta.size());
        mesh.pullback(as_span(theta), x, y, gy, as_span(again), nullptr);
        EXPECT_EQ(again, gtheta);
      }
    }
  });
}

TEST(InterferometerMesh, ShowsTheLightBehindEveryColumn) {
  const InterferometerMesh<double> mesh(MeshLayout(7, MeshGeometry::triangular));
  const Vector<double> theta = haar(mesh);
  const Matrix<double> x = light<double>(1, 7, 17);
  const Vector<double> row = x.row(0).transpose();
  const Matrix<double> fields = mesh.fields(as_span(theta), as_span(row));
  ASSERT_EQ(fields.rows(), mesh.layout().columns() + 2);
  EXPECT_EQ(fields.row(0), x.row(0));
  EXPECT_EQ(fields.row(fields.rows() - 1), forward(mesh, theta, x).row(0));
  for (Index l = 0; l < fields.rows(); ++l) EXPECT_NEAR(fields.row(l).squaredNorm(), x.squaredNorm(), 1e-14);
}

TEST(InterferometerMesh, LeavesDarkSamplesDark) {
  on_every_target([] {
    const InterferometerMesh<float> mesh(MeshLayout(10));
    const Vector<float> theta = haar(mesh);
    Matrix<float> x = light<float>(4, 10, 18);
    x.row(2).setZero();
    const Matrix<float> y = forward(mesh, theta, x);
    EXPECT_EQ(y.row(2).cwiseAbs().maxCoeff(), 0.0F);
    EXPECT_GT(y.row(1).norm(), 0.1F);
    Vector<float> gtheta = Vector<float>::Zero(theta.size());
    mesh.pullback(as_span(theta), x, y, y, as_span(gtheta), nullptr);
    EXPECT_TRUE(gtheta.allFinite());
  });
}

TEST(InterferometerMesh, AcceptsAnEmptyBatch) {
  const InterferometerMesh<float> mesh(MeshLayout(4));
  const Vector<float> theta = haar(mesh);
  EXPECT_EQ(forward<float>(mesh, theta, Matrix<float>(0, 8)).rows(), 0);
}

TEST(InterferometerMesh, NamesWrongSizes) {
  const InterferometerMesh<float> mesh(MeshLayout(4));
  const Vector<float> theta = haar(mesh);
  EXPECT_EQ(message_of<ShapeError>([&] { forward<float>(mesh, theta, Matrix<float>::Zero(2, 6)); }),
            "InterferometerMesh: x must have 8 columns; got 2 x 6");
  EXPECT_EQ(message_of<ShapeError>([&] { forward<float>(mesh, theta.head(3), Matrix<float>::Zero(2, 8)); }),
            "InterferometerMesh: theta must have 16 entries; got 3");
}

TEST(InterferometerMesh, ConservesEnergyForAnyParameters) {
  expect_property("power in = power out", [] {
    const Index ports = *rc::gen::inRange<Index>(2, 40);
    const Index rows = *rc::gen::inRange<Index>(1, 20);
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const InterferometerMesh<float> mesh(MeshLayout(ports, seed % 2 == 0 ? MeshGeometry::rectangular : MeshGeometry::triangular));
    const Vector<float> theta = 10.0F * normal_matrix<float>(mesh.parameter_count(), 1, seed);
    const Matrix<float> x = light<float>(rows, ports, seed + 1);
    const Matrix<float> y = forward(mesh, theta, x);
    for (Index b = 0; b < rows; ++b) {
      RC_ASSERT(std::abs(y.row(b).cast<double>().squaredNorm() - x.row(b).cast<double>().squaredNorm()) <
                1e-5 * x.row(b).cast<double>().squaredNorm());
    }
  });
}

}  // namespace
}  // namespace ffzero::test
