// Reads at distant phases: exact slopes, and the simulation that stands in for them.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/shift_reads.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/parallel_meshes.hpp"
#include "ffzero/map/mesh/simulated_shift_reads.hpp"
#include "support/expect_error.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero::test {
namespace {

struct PowersOfMesh {
  InterferometerMesh<double> mesh{MeshLayout(6, MeshGeometry::rectangular, true)};
  Intensity<double> intensity{6};
  Vector<double> theta = Vector<double>::Zero(mesh.parameter_count());
  Matrix<double> x = normal_matrix(3, 12, 1);
  Matrix<double> gI = normal_matrix(3, 6, 2);
  std::vector<Segment> half_angles{mesh.layout().half_angles()};
  PowersOfMesh() { mesh.initialise(as_span(theta), RandomStream(3, Stream::test)); }

  [[nodiscard]] Matrix<double> powers(const Vector<double>& at) const {
    Matrix<double> y(3, 12), read(3, 6);
    mesh.forward(as_span(at), x, y);
    intensity.forward({}, y, read);
    return read;
  }
};

TEST(ShiftReads, PowersArePureSinusoidsInPhiAndGammaAndHaveTheHalfFrequencyTooInTheta) {
  const PowersOfMesh f;
  const Matrix<double> here = f.powers(f.theta);
  bool theta_needs_four = false;
  for (Index i = 0; i < f.theta.size(); ++i) {
    Vector<double> moved = f.theta;
    const auto at = [&](double by) {
      moved[i] = f.theta[i] + by;
      return f.powers(moved);
    };
    EXPECT_LT((at(4.0 * std::numbers::pi) - here).cwiseAbs().maxCoeff(), 1e-12) << i;
    // a + b cos p + c sin p, fitted at 0, +-pi/2, foretells any other angle.
    const Matrix<double> plus = at(0.5 * std::numbers::pi), minus = at(-0.5 * std::numbers::pi);
    const Matrix<double> mean = 0.5 * (plus + minus);
    const Matrix<double> foretold = mean + std::cos(1.1) * (here - mean) + std::sin(1.1) * 0.5 * (plus - minus);
    const double error = (at(1.1) - foretold).cwiseAbs().maxCoeff();
    if (i < f.mesh.layout().phi_begin()) {
      theta_needs_four = theta_needs_four || error > 0.1;
    } else {
      EXPECT_LT(error, 1e-12) << i;
      EXPECT_LT((at(2.0 * std::numbers::pi) - here).cwiseAbs().maxCoeff(), 1e-12) << i;
    }
  }
  EXPECT_TRUE(theta_needs_four);
}

TEST(ShiftReads, GiveTheExactGradient) {
  const PowersOfMesh f;
  Vector<double> gtheta = Vector<double>::Zero(f.theta.size());
  take_shift_reads<double>(f.mesh, &f.intensity, f.half_angles, as_span(f.theta), f.x, f.gI, as_span(gtheta));
  expect_gradient([&](const Vector<double>& t) { return f.powers(t).cwiseProduct(f.gI).sum(); }, f.theta, gtheta, "theta");
}

TEST(ShiftReads, AreWhatTheSimulationSays) {
  const PowersOfMesh f;
  Vector<double> taken = Vector<double>::Ones(f.theta.size());
  Vector<double> simulated = taken;
  take_shift_reads<double>(f.mesh, &f.intensity, f.half_angles, as_span(f.theta), f.x, f.gI, as_span(taken));
  simulate_shift_reads<double>(f.mesh, as_span(f.theta), f.x, f.gI, as_span(simulated));
  EXPECT_LT((taken - simulated).cwiseAbs().maxCoeff(), 1e-13);
}

TEST(ShiftReads, AreSimulatedForParallelMeshesInFloat) {
  const ParallelMeshes<float> meshes(MeshLayout(4), 2);
  Vector<float> theta(meshes.parameter_count());
  meshes.initialise(as_span(theta), RandomStream(3, Stream::test));
  const Matrix<float> x = normal_matrix<float>(5, 8, 3), gI = normal_matrix<float>(5, 8, 4);
  const Intensity<float> intensity(8);
  Vector<float> taken = Vector<float>::Zero(theta.size()), simulated = taken;
  const std::vector<Segment> half_angles{MeshLayout(4).half_angles(), MeshLayout(4).half_angles(meshes.mesh().parameter_count())};
  take_shift_reads<float>(meshes, &intensity, half_angles, as_span(theta), x, gI, as_span(taken));
  simulate_shift_reads<float>(meshes, as_span(theta), x, gI, as_span(simulated));
  EXPECT_LT((taken - simulated).cwiseAbs().maxCoeff(), 2e-5F);
}

/// A device that answers in powers and knows nothing else.
class PowerMeter final : public ForwardMap<double> {
 public:
  explicit PowerMeter(const PowersOfMesh& f) : f_(f) {}
  [[nodiscard]] Shape input_shape() const override { return {2, 1, 6}; }
  [[nodiscard]] Shape output_shape() const override { return {1, 1, 6}; }
  [[nodiscard]] Index parameter_count() const override { return f_.theta.size(); }
  void forward(std::span<const double> theta, const ConstMatrixRef<double>& x, MatrixRef<double> y) const override {
    rows_ += x.rows();
    y = f_.powers(as_vector(theta));
  }
  [[nodiscard]] Index rows() const noexcept { return rows_; }

 private:
  const PowersOfMesh& f_;
  mutable Index rows_ = 0;
};

TEST(ShiftReads, WorkOnADeviceThatAnswersInPowersAndCostFourReadsPerThetaTwoPerOtherPhase) {
  const PowersOfMesh f;
  const PowerMeter device(f);
  Vector<double> taken = Vector<double>::Zero(f.theta.size()), expected = taken;
  take_shift_reads<double>(device, nullptr, f.half_angles, as_span(f.theta), f.x, f.gI, as_span(taken));
  take_shift_reads<double>(f.mesh, &f.intensity, f.half_angles, as_span(f.theta), f.x, f.gI, as_span(expected));
  EXPECT_EQ(taken, expected);
  // Three dead thetas and three dead phis are read in vain.
  EXPECT_EQ(device.rows(), 3 * (f.mesh.layout().shift_reads() + 3 * 4 + 3 * 2));
}

TEST(ShiftReads, NameWrongSizes) {
  const PowersOfMesh f;
  Vector<double> g = Vector<double>::Zero(f.theta.size());
  EXPECT_EQ(message_of<ShapeError>([&] {
              take_shift_reads<double>(f.mesh, &f.intensity, f.half_angles, as_span(f.theta), f.x, Matrix<double>::Zero(3, 5), as_span(g));
            }),
            "shift reads: gI must be 3 x 6; got 3 x 5");
}

}  // namespace
}  // namespace ffzero::test
