// Chips: the definition against differences, the kernel against the definition, what is written, readings by address, files.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/chip_mesh.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <string>

#include "ffzero/base/error.hpp"
#include "mesh_samples.hpp"
#include "support/expect_error.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

/// Everything that changes light, and changes it visibly.
ChipOptions visible(std::uint64_t seed = 1) {
  return {.seed = seed,
          .coupler = 0.1,
          .phase = 0.2,
          .phase_gain = 0.05,
          .crosstalk = 0.03,
          .loss_db = 0.2,
          .loss_spread = 0.2,
          .detector_gain = 0.1};
}

/// sum of weights times powers, and its slopes.
template <class S>
struct Pulled {
  Vector<S> theta;
  Vector<double> errors;
  double loss = 0.0;
};
template <class S>
Pulled<S> pulled(const ChipMesh<S>& chip, const Vector<S>& theta, const Matrix<S>& x, const Matrix<S>& weights) {
  Pulled<S> result{Vector<S>::Zero(theta.size()), Vector<double>::Zero(chip.chip().errors.size())};
  chip.pull(
      as_span(theta), x,
      [&](MatrixRef<S> powers) {
        result.loss = powers.template cast<double>().cwiseProduct(weights.template cast<double>()).sum();
        powers = weights;
      },
      as_span(result.theta), as_span(result.errors));
  return result;
}

TEST(Chip, WithoutErrorsIsItsModel) {
  for (const Index n : {2, 3, 8, 9}) {
    const MeshLayout layout(n);
    const InterferometerMesh<double> model(layout);
    const ChipMesh<double> chip(layout, {ideal_chip(layout)});
    const ChipMesh<float> fast(layout, {ideal_chip(layout)});
    const Vector<double> theta = haar(model);
    const Matrix<double> x = light<double>(5, n, 2), y = forward(model, theta, x);
    EXPECT_EQ(haar(chip), theta);
    EXPECT_LT((forward(chip, theta, x) - y).cwiseAbs().maxCoeff(), 1e-12);
    EXPECT_LT((forward<float>(fast, theta.cast<float>(), x.cast<float>()).cast<double>() - y).cwiseAbs().maxCoeff(), 1e-5);
  }
}

TEST(Chip, DefinitionHasTheSlopesOfItsDifferences) {
  for (const auto& [n, geometry] : {std::pair{Index{2}, MeshGeometry::rectangular},
                                    {3, MeshGeometry::rectangular},
                                    {4, MeshGeometry::rectangular},
                                    {5, MeshGeometry::rectangular},
                                    {5, MeshGeometry::triangular},
                                    {6, MeshGeometry::rectangular}}) {
    const MeshLayout layout(n, geometry);
    Chip drawn = draw_chip(layout, visible(static_cast<std::uint64_t>(n)), 3);
    if (n > 3) drawn.stuck[2] = 0.4;
    // The gain that a twin gives to a heater that is stuck.
    if (n > 5) drawn.errors[ErrorLayout(layout).theta_gain() + 1] = -1.0;
    ChipMesh<double> chip(layout, {drawn});
    const Vector<double> theta = haar(chip, 5);
    const Matrix<double> x = light<double>(3, n, 6), weights = normal_matrix(3, n, 7);
    const Pulled<double> slopes = pulled(chip, theta, x, weights);
    const std::string what = "ports " + std::to_string(n);
    expect_gradient([&](const Vector<double>& t) { return pulled(chip, t, x, weights).loss; }, theta, slopes.theta, what + ", theta");
    expect_gradient(
        [&](const Vector<double>& e) {
          ChipMesh<double> moved(layout, {drawn});
          moved.set_errors(as_span(e));
          return pulled(moved, theta, x, weights).loss;
        },
        drawn.errors, slopes.errors, what + ", errors");
  }
}

TEST(Chip, LightOfTheInputHasASlopeToo) {
  const MeshLayout layout(5);
  const ChipMesh<double> chip(layout, {draw_chip(layout, visible(), 0), draw_chip(layout, visible(), 1)});
  const Vector<double> theta = haar(chip, 5);
  const Matrix<double> x = light<double>(3, 5, 6), weights = normal_matrix(3, 20, 7);
  Matrix<double> gx(3, 10);
  MatrixRef<double> gx_ref = gx;
  Vector<double> gtheta = Vector<double>::Zero(theta.size());
  const Matrix<double> y = forward(chip, theta, x);
  chip.pullback(as_span(theta), x, y, weights, as_span(gtheta), &gx_ref);
  expect_matrix_gradient([&](const Matrix<double>& moved) { return forward(chip, theta, moved).cwiseProduct(weights).sum(); }, x, gx);
  expect_gradient([&](const Vector<double>& t) { return forward(chip, t, x).cwiseProduct(weights).sum(); }, theta, gtheta);
}

/// Largest difference over the largest value.
template <class A, class B>
double relative(const A& a, const B& b) {
  return (a.template cast<double>() - b).cwiseAbs().maxCoeff() / std::max(1e-12, b.cwiseAbs().maxCoeff());
}

TEST(Chip, KernelAgreesWithTheDefinitionOnEveryTarget) {
  for (std::int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {
    const std::int64_t target = rest & -rest;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    for (const Index n : {2, 3, 4, 5, 7, 8, 13, 16, 64}) {
      for (const bool lossy : {true, false}) {
        const MeshLayout layout(n, n == 7 ? MeshGeometry::triangular : MeshGeometry::rectangular, n == 8);
        ChipOptions options = visible(static_cast<std::uint64_t>(n));
        if (!lossy) options.loss_db = 0.0;
        const Chip drawn = draw_chip(layout, options, 0);
        const ChipMesh<double> exact(layout, {drawn});
        const ChipMesh<float> fast(layout, {drawn});
        const Vector<float> theta = haar(fast, 5);
        const Vector<double> exact_theta = theta.cast<double>();
        const Matrix<float> x = light<float>(37, n, 6), weights = normal_matrix<float>(37, n, 7);
        const Matrix<double> exact_x = x.cast<double>(), exact_weights = weights.cast<double>();
        EXPECT_LT(relative(forward(fast, theta, x), forward(exact, exact_theta, exact_x)), 2e-5) << n << " ports";
        const auto found = pulled(fast, theta, x, weights);
        const auto expected = pulled(exact, exact_theta, exact_x, exact_weights);
        EXPECT_LT(relative(found.theta, expected.theta), 5e-5) << n << " ports";
        EXPECT_LT(relative(found.errors, expected.errors), 5e-5) << n << " ports";
        Matrix<float> gx(37, 2 * n);
        Matrix<double> exact_gx(37, 2 * n);
        MatrixRef<float> gx_ref = gx;
        MatrixRef<double> exact_gx_ref = exact_gx;
        Vector<float> gtheta = Vector<float>::Zero(theta.size());
        Vector<double> exact_gtheta = Vector<double>::Zero(theta.size());
        const Matrix<float> gy = normal_matrix<float>(37, 2 * n, 8);
        fast.pullback(as_span(theta), x, forward(fast, theta, x), gy, as_span(gtheta), &gx_ref);
        exact.pullback(as_span(exact_theta), exact_x, forward(exact, exact_theta, exact_x), gy.cast<double>(), as_span(exact_gtheta),
                       &exact_gx_ref);
        EXPECT_LT(relative(gx, exact_gx), 5e-5) << n << " ports";
        EXPECT_LT(relative(gtheta, exact_gtheta), 5e-5) << n << " ports";
      }
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST(Chip, BarAndCrossStatesHaveSlopes) {
  // Where an arm gets no light at all its phase means nothing.
  const MeshLayout layout(6);
  ChipOptions options;
  options.phase = 0.0;
  Chip drawn = draw_chip(layout, options, 0);
  ChipMesh<double> exact(layout, {drawn});
  ChipMesh<float> fast(layout, {drawn});
  Vector<float> theta = haar(fast, 5);
  for (Index i = 0; i < layout.block_size(); ++i)
    theta[i] = i % 3 == 0 ? 0.0F : i % 3 == 1 ? static_cast<float>(std::numbers::pi) : theta[i];
  const Matrix<float> x = light<float>(9, 6, 6), weights = normal_matrix<float>(9, 6, 7);
  const auto found = pulled(fast, theta, x, weights);
  const auto expected = pulled<double>(exact, theta.cast<double>(), x.cast<double>(), weights.cast<double>());
  EXPECT_LT(relative(found.theta, expected.theta), 5e-5);
  EXPECT_LT(relative(found.errors, expected.errors), 5e-5);
}

TEST(Chip, BitsDoNotDependOnThreads) {
  const MeshLayout layout(64);
  ChipOptions options = visible();
  options.read_noise = 0.01;
  options.drift_rms = 0.1;
  const std::vector<Chip> chips = {draw_chip(layout, options, 0)};
  const ChipMesh<float> alone(layout, chips), shared(layout, chips, std::make_shared<Executor>(3));
  const Vector<float> theta = haar(alone, 5);
  const Matrix<float> x = light<float>(150, 64, 6), weights = normal_matrix<float>(150, 64, 7);
  EXPECT_EQ(forward(alone, theta, x), forward(shared, theta, x));
  const auto one = pulled(alone, theta, x, weights), other = pulled(shared, theta, x, weights);
  EXPECT_EQ(one.theta, other.theta);
  EXPECT_EQ(one.errors, other.errors);
}

TEST(Chip, SetsWhatItsHeatersGive) {
  const MeshLayout layout(4);  // columns of 2, 1, 2, 1 interferometers
  Chip chip = ideal_chip(layout);
  const ErrorLayout at(layout);
  chip.options.dac_bits = 2;  // steps of a quarter turn
  chip.errors[at.crosstalk()] = 0.1;
  chip.errors[at.theta_gain() + 0] = 0.5;
  chip.errors[at.theta_offset() + 1] = 0.25;
  chip.stuck[3] = 0.7;  // theta of column 2, pair 0
  const ChipMesh<double> mesh(layout, {chip});
  const double quarter = 0.5 * std::numbers::pi;
  Vector<double> theta = Vector<double>::Zero(layout.parameter_count());
  theta[0] = 0.9 * quarter;                          // becomes one quarter, gained by 1.5
  theta[3] = 2.0;                                    // stuck
  theta[layout.phi_begin() + 5] = 1.6 * quarter;     // two quarters
  theta[layout.gamma_begin() + 1] = -0.6 * quarter;  // minus one
  const Vector<double> set = mesh.written(0, as_span(theta));
  Vector<double> expected = Vector<double>::Zero(theta.size());
  expected[0] = 1.5 * quarter;
  expected[1] = 0.15 * quarter + 0.25;  // beside 0
  expected[2] = 0.15 * quarter;         // behind 0
  expected[3] = 0.7;
  expected[layout.phi_begin() + 5] = 2.0 * quarter;
  expected[layout.phi_begin() + 3] = 0.2 * quarter;  // in front of 5
  expected[layout.gamma_begin() + 1] = -quarter;
  EXPECT_LT((set - expected).cwiseAbs().maxCoeff(), 1e-12) << set.transpose();
}

TEST(Chip, DriftFollowsTheTimeOfTheAddress) {
  const MeshLayout layout(32);
  ChipOptions options;
  options.drift_rms = 0.3;
  options.drift_time = 2.0;
  options.write_s = 0.0;
  options.row_s = 1e-3;
  const ChipMesh<double> mesh(layout, {draw_chip(layout, options, 0)});
  const Vector<double> theta = haar(mesh, 5);
  const auto moved = [&](double seconds) {
    mesh.begin_series({.stream = 1, .step = 7, .rows = seconds * 1000.0, .writes = 3.0});
    const Vector<double> set = mesh.written(0, as_span(theta));
    EXPECT_EQ(set.tail(32), theta.tail(32));  // the input phases stand
    return Vector<double>((set - theta).head(2 * layout.block_size()));
  };
  const auto rms = [](const Vector<double>& v) { return std::sqrt(v.squaredNorm() / static_cast<double>(v.size())); };
  EXPECT_EQ(rms(moved(0.0)), 0.0);
  for (const double seconds : {2.0, 3.1, 4.0, 17.3}) EXPECT_NEAR(rms(moved(seconds)), 0.3, 0.02) << seconds;
  EXPECT_LT(rms(moved(1.0)), 0.25);
  EXPECT_LT(rms(moved(3.9999) - moved(4.0001)), 1e-3);  // without jumps
  EXPECT_GT(rms(moved(3.0) - moved(7.0)), 0.35);
  EXPECT_EQ(moved(5.5), moved(5.5));
  options.age = 1.5;
  const ChipMesh<double> older(layout, {draw_chip(layout, options, 0)});
  older.begin_series({.stream = 1, .step = 7, .rows = 4000.0, .writes = 3.0});
  EXPECT_EQ(Vector<double>((older.written(0, as_span(theta)) - theta).head(2 * layout.block_size())), moved(5.5));
  EXPECT_EQ(older.chip().identity(), mesh.chip().identity()) << "an older chip is the same chip";
}

TEST(Chip, ReadingsAreTheSameAtTheSameAddress) {
  const MeshLayout layout(8);
  ChipOptions options = visible();
  options.read_noise = 0.05;
  options.drift_rms = 0.2;
  options.drift_time = 1e-4;
  const std::vector<Chip> chips = {draw_chip(layout, options, 0)};
  const ChipMesh<float> mesh(layout, chips);
  const ChipDetectors<float> detectors(chips, 8);
  const Vector<float> theta = haar(mesh, 5);
  const Matrix<float> x = light<float>(20, 8, 6);
  const auto reading = [&](std::uint64_t step, int number) {
    const ReadingSeries series{.stream = 2, .step = step, .rows = 0.0, .writes = 0.0};
    mesh.begin_series(series);
    detectors.begin_series(series);
    Matrix<float> y(20, 8);
    for (int i = 0; i <= number; ++i) detectors.forward({}, forward(mesh, theta, x), y);
    return y;
  };
  EXPECT_EQ(reading(4, 0), reading(4, 0));
  EXPECT_EQ(reading(4, 2), reading(4, 2));
  EXPECT_NE(reading(4, 0), reading(5, 0));
  EXPECT_NE(reading(4, 0), reading(4, 1));
  // Pairs take the same readings, in the order + - - + ..
  const Matrix<float> directions = Matrix<float>::Zero(2, theta.size());
  ASSERT_TRUE(mesh.fuses(detectors));
  mesh.begin_series({.stream = 2, .step = 4, .rows = 0.0, .writes = 0.0});
  mesh.forward_pairs(as_span(theta), directions, 0.1, x, &detectors,
                     [&](Index j, const ConstMatrixRef<float>& plus, const ConstMatrixRef<float>& minus) {
                       // But for the rounding of squares, which the kernel takes itself.
                       EXPECT_LT((plus - reading(4, j == 0 ? 0 : 3)).cwiseAbs().maxCoeff(), 1e-6F);
                       EXPECT_LT((minus - reading(4, j == 0 ? 1 : 2)).cwiseAbs().maxCoeff(), 1e-6F);
                     });
}

TEST(ChipReadout, ABatchInPartsHasTheNoiseOfTheBatch) {
  const MeshLayout layout(6);
  const ChipOptions options{.read_noise = 0.1};
  const ChipReadout<float> readout({draw_chip(layout, options, 0), draw_chip(layout, options, 1)}, 6);
  const auto read = [&](Index first, Index rows) {
    Matrix<float> powers = Matrix<float>::Constant(rows, 12, 0.25F);
    readout.read({.series = {.stream = 2, .step = 4, .first_row = first}}, powers);
    return powers;
  };
  const Matrix<float> whole = read(0, 7);
  EXPECT_EQ(read(0, 3), whole.topRows(3));
  EXPECT_EQ(read(3, 4), whole.bottomRows(4));
  EXPECT_EQ(read(5, 1), whole.middleRows(5, 1));
  EXPECT_NE(whole.row(0), whole.row(1));
}

TEST(ChipReadout, NoiseHasItsSpreadAndConvertersTheirSteps) {
  const MeshLayout layout(16);
  ChipOptions options;
  options.read_noise = 0.1;
  Matrix<double> powers = Matrix<double>::Constant(400, 16, 0.25);
  ChipReadout<double>({draw_chip(layout, options, 0)}, 16).read({}, powers);
  EXPECT_NEAR(powers.mean(), 0.25, 1e-3);
  EXPECT_NEAR(std::sqrt((powers.array() - 0.25).square().mean()), 0.025, 1e-3);
  options.read_noise = 0.0;
  options.adc_bits = 2;
  options.adc_range = 3.0;
  powers = Matrix<double>::Zero(1, 16);
  powers(0, 0) = 8.0;  // 3 steps of 1, the mean power of a port: clipped
  powers(0, 1) = 1.4;
  powers(0, 2) = 1.6;
  powers(0, 3) = 5.0;
  ChipReadout<double>({draw_chip(layout, options, 0)}, 16).read({}, powers);
  EXPECT_EQ(Matrix<double>(powers.leftCols(4)), (Matrix<double>(1, 4) << 3.0, 1.0, 2.0, 3.0).finished());
}

TEST(Chip, IsDrawnFromItsSeed) {
  const MeshLayout layout(32);
  const ErrorLayout at(layout);
  ChipOptions options = visible();
  options.stuck = 0.1;
  const Chip chip = draw_chip(layout, options, 0), same = draw_chip(layout, options, 0);
  EXPECT_EQ(chip.identity(), same.identity());
  EXPECT_NE(chip.identity(), draw_chip(layout, options, 1).identity());
  options.seed = 2;
  EXPECT_NE(chip.identity(), draw_chip(layout, options, 0).identity());
  // Couplers: e = -sin 2 delta.
  const Vector<double> e = -(2.0 * chip.errors.segment(at.left(), at.block).array()).sin();
  EXPECT_NEAR(std::sqrt(e.squaredNorm() / static_cast<double>(at.block)), 0.1, 0.01);
  EXPECT_NEAR(static_cast<double>((!chip.stuck.array().isNaN()).count()) / static_cast<double>(chip.stuck.size()), 0.1, 0.03);
  EXPECT_NEAR((chip.amplitude.array().log() * -20.0 / std::log(10.0)).mean(), 0.2, 0.01);
  // Another law of the phases leaves the couplers alone.
  options = visible();
  options.phase = 0.5;
  EXPECT_EQ(draw_chip(layout, options, 0).errors.head(2 * at.block), chip.errors.head(2 * at.block));
}

TEST(Chip, RefusesLawsOutOfRange) {
  const auto refuse = [](auto change) {
    ChipOptions options;
    change(options);
    return message_of<ConfigError>([&] { options.validate(); });
  };
  EXPECT_EQ(refuse([](ChipOptions& o) { o.coupler = -0.1; }), "model.mesh.chip.coupler: must lie in 0 .. 0.3; got -0.1");
  EXPECT_EQ(refuse([](ChipOptions& o) { o.dac_bits = 25; }), "model.mesh.chip.dac_bits: must lie in 0 .. 24; got 25");
  EXPECT_EQ(refuse([](ChipOptions& o) { o.read_noise = std::numeric_limits<double>::quiet_NaN(); }),
            "model.mesh.chip.read_noise: must lie in 0 .. 100; got nan");
}

TEST(ChipFile, GivesBackWhatWasWritten) {
  const TemporaryFolder folder;
  for (const bool dead : {false, true}) {
    const MeshLayout layout(6, MeshGeometry::rectangular, dead);
    ChipOptions options = visible();
    options.stuck = 0.2;
    const Chip chip = draw_chip(layout, options, 0);
    write_npz(folder.path() / "chip.npz", chip_arrays(chip, layout));
    const Chip again = read_chip(folder.path() / "chip.npz", layout, {}, 0);
    const Vector<double> theta = haar(InterferometerMesh<double>(layout));
    const Matrix<double> x = light<double>(3, 6, 2);
    EXPECT_LT((forward(ChipMesh<double>(layout, {again}), theta, x) - forward(ChipMesh<double>(layout, {chip}), theta, x)).norm(), 1e-12);
    EXPECT_LT((again.errors.tail(7) - chip.errors.tail(7)).norm(), 1e-12);
  }
}

NpzArchive published(Index columns, Index width, double scale = 0.05) {
  NpzArchive arrays;
  std::uint64_t seed = 1;
  for (const char* name :
       {"coupler_0.06.chip0.e_l", "coupler_0.06.chip0.e_r", "phase_0.06.chip0.theta_errors", "phase_0.06.chip0.phi_errors"}) {
    const Matrix<double> m = scale * normal_matrix(columns, width, seed++);
    arrays[name] = NpyArray::of<double>({m.data(), usize(m.size())}, {columns, width});
  }
  return arrays;
}

TEST(ChipFile, KnowsPublishedNames) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "dat.npz";
  write_npz(path, published(4, 2));
  const MeshLayout layout(4);
  const ErrorLayout at(layout);
  ChipOptions options;
  options.coupler = 0.06;
  const Chip couplers = read_chip(path, layout, options, 0);
  EXPECT_GT(couplers.errors.head(2 * at.block).norm(), 0.0);
  EXPECT_EQ(couplers.errors.tail(at.size() - 2 * at.block).norm(), 0.0);
  options.phase = 0.06;
  EXPECT_GT(read_chip(path, layout, options, 0).errors.segment(at.theta_offset(), 2 * at.block).norm(), 0.0);
  EXPECT_EQ(message_of<DataError>([&] { return read_chip(path, layout, options, 1); }),
            path.string() +
                ": needs an array coupler_0.06.chip1.e_l of shape (4, 2); got no such array; see model.mesh.chip.coupler, .phase "
                "and .number");
  EXPECT_EQ(
      message_of<DataError>([&] { return read_chip(path, MeshLayout(6), options, 0); }),
      path.string() + ": array coupler_0.06.chip0.e_l must have shape (6, 3); got (4, 2); the chip is of another size: check dataset.crop");
  write_npz(path, published(4, 2, 5.0));
  EXPECT_EQ(message_of<DataError>([&] { return read_chip(path, layout, options, 0); }).substr(0, path.string().size() + 54),
            path.string() + ": array coupler_0.06.chip0.e_l must lie in -1 .. 1; go");
}

}  // namespace
}  // namespace ffzero::test
