// Golden files mesh_n*.json, init_haar.json and eo_nonlinearity.json: the mesh and its light against the reference.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/interferometer_mesh.hpp"
#include "support/golden.hpp"

namespace ffzero::test {
namespace {

constexpr double kForward = 1e-12;
constexpr double kGradient = 1e-11;

/// A list of lists of numbers, row by row.
Matrix<double> nested(const nlohmann::json& j) {
  const auto v = flat<double>(j);
  return Eigen::Map<const Matrix<double>>(v.data(), isize(j.size()), isize(v.size()) / isize(j.size()));
}

Vector<double> joined(const nlohmann::json& theta, const nlohmann::json& phi, const nlohmann::json& gamma) {
  auto all = flat<double>(theta);
  for (const auto* part : {&phi, &gamma}) {
    const auto more = flat<double>(*part);
    all.insert(all.end(), more.begin(), more.end());
  }
  return Eigen::Map<const Vector<double>>(all.data(), isize(all.size()));
}

/// A file's parameters in the order of the layout with or without dead ones.
Vector<double> parameters(const nlohmann::json& j, bool dead) {
  const char* form = dead ? "_full" : "_packed";
  return joined(j.at(std::string("theta") + form), j.at(std::string("phi") + form), j.at("gamma"));
}

/// re | im side by side.
Matrix<double> complex_fields(const nlohmann::json& j, const std::string& name) {
  const Matrix<double> re = nested(j.at(name + "_re"));
  const Matrix<double> im = nested(j.at(name + "_im"));
  Matrix<double> both(re.rows(), re.cols() + im.cols());
  both << re, im;
  return both;
}

class MeshFile : public ::testing::TestWithParam<bool> {};

TEST_P(MeshFile, GivesMatrixOutputsFieldsAndGradients) {
  const auto files = golden_files("photonic", "mesh_n");
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    SCOPED_TRACE(path.string());
    const auto j = read_json(path);
    const Index n = j.at("n").get<Index>();
    const MeshLayout layout(n, MeshGeometry::rectangular, GetParam());
    ASSERT_EQ(layout.columns(), j.at("num_columns").get<Index>());
    const InterferometerMesh<double> mesh(layout);
    const Vector<double> theta = parameters(j, GetParam());
    ASSERT_EQ(theta.size(), mesh.parameter_count());

    expect_near(mesh.matrix(as_span(theta)), complex_fields(j, "U"), kForward, 0.0, "U");
    const Matrix<double> x = complex_fields(j, "X");
    Matrix<double> y(x.rows(), x.cols());
    mesh.forward(as_span(theta), x, y);
    expect_near(y, complex_fields(j, "Y"), kForward, 0.0, "Y");
    const Vector<double> first = x.row(0).transpose();
    expect_near(mesh.fields(as_span(theta), as_span(first)), complex_fields(j, "fields_row0"), kForward, 0.0, "fields");

    const auto& vjp = j.at("vjp");
    const Matrix<double> weights = nested(vjp.at("W"));
    const Intensity<double> intensity(n);
    Matrix<double> powers(x.rows(), n), gy(x.rows(), 2 * n), gx(x.rows(), 2 * n);
    intensity.forward({}, y, powers);
    EXPECT_NEAR(powers.cwiseProduct(weights).sum(), vjp.at("loss").get<double>(), kForward * 100);
    MatrixRef<double> gy_ref = gy, gx_ref = gx;
    intensity.pullback({}, y, powers, weights, {}, &gy_ref);
    Vector<double> gtheta = Vector<double>::Zero(theta.size());
    mesh.pullback(as_span(theta), x, y, gy, as_span(gtheta), &gx_ref);
    expect_near(gx, complex_fields(vjp, "d_X"), kGradient, 0.0, "d_X");
    if (GetParam()) {
      expect_near(gtheta, joined(vjp.at("d_theta_full"), vjp.at("d_phi_full"), vjp.at("d_gamma")), kGradient, 0.0, "d_theta");
      continue;
    }
    // Live parameters: the full arrays at the listed positions.
    const Matrix<double> d_theta = nested(vjp.at("d_theta_full")), d_phi = nested(vjp.at("d_phi_full"));
    const auto places = nested(j.at("mzis_col_topwg_idx"));
    ASSERT_EQ(places.rows(), layout.interferometers());
    Vector<double> expected(theta.size());
    for (Index i = 0; i < places.rows(); ++i) {
      const Index column = std::lround(places(i, 0)), pair = std::lround(places(i, 2));
      EXPECT_EQ(MeshLayout::top_waveguide(column, pair), std::lround(places(i, 1)));
      EXPECT_EQ(layout.offset(column) + pair, i);
      expected[i] = d_theta(column, pair);
      expected[layout.phi_begin() + i] = d_phi(column, pair);
    }
    expected.tail(n) = vector_of(vjp.at("d_gamma"));
    expect_near(gtheta, expected, kGradient, 0.0, "d_theta");
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, MeshFile, ::testing::Bool(),
                         [](const auto& chosen) { return chosen.param ? "WithDeadParameters" : "LiveParametersOnly"; });

TEST(MeshFile, GivesFloatOutputsToFloatRounding) {
  for (const auto& path : golden_files("photonic", "mesh_n")) {
    SCOPED_TRACE(path.string());
    const auto j = read_json(path);
    const InterferometerMesh<float> mesh(MeshLayout(j.at("n").get<Index>()));
    const Vector<float> theta = parameters(j, false).cast<float>();
    const Matrix<float> x = complex_fields(j, "X").cast<float>();
    Matrix<float> y(x.rows(), x.cols());
    mesh.forward(as_span(theta), x, y);
    expect_near(y.cast<double>(), complex_fields(j, "Y"), 1e-5, 0.0, "Y");
  }
}

TEST(HaarInitialisation, FollowsTheCheckerboard) {
  const auto files = golden_files("photonic", "init_haar");
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    SCOPED_TRACE(path.string());
    const auto j = read_json(path);
    for (const auto& c : j.at("cases")) {
      const MeshLayout layout(c.at("n").get<Index>());
      const auto alpha = flat<double>(c.at("alpha_packed"));
      const auto u = flat<double>(c.at("u_packed"));
      const auto theta = flat<double>(c.at("theta_packed"));
      ASSERT_EQ(isize(alpha.size()), layout.interferometers());
      for (Index l = 0; l < layout.columns(); ++l) {
        for (Index k = 0; k < layout.pairs(l); ++k) {
          const std::size_t i = usize(layout.offset(l) + k);
          ASSERT_EQ(layout.haar_alpha(l, k), alpha[i]) << "n " << layout.ports() << " column " << l << " pair " << k;
          ASSERT_NEAR(layout.haar_theta(l, k, u[i]), theta[i], kForward);
        }
      }
    }
  }
}

TEST(ElectroOptic, GivesTheReferencesTable) {
  const auto files = golden_files("photonic", "eo_nonlinearity");
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    SCOPED_TRACE(path.string());
    const auto j = read_json(path);
    const auto row = [](const nlohmann::json& re, const nlohmann::json& im) {
      const Vector<double> a = vector_of(re), b = vector_of(im);
      Matrix<double> m(1, a.size() + b.size());
      m << a.transpose(), b.transpose();
      return m;
    };
    const Matrix<double> x = row(j.at("E_re"), j.at("E_im"));
    const ElectroOptic<double> map(
        x.cols() / 2,
        {.tapped = j.at("alpha").get<double>(), .phase_gain_rad = j.at("g").get<double>(), .bias_rad = j.at("phi_b").get<double>()});
    Matrix<double> y(1, x.cols()), gx(1, x.cols());
    map.forward({}, x, y);
    expect_near(y, row(j.at("out_re"), j.at("out_im")), kForward, kForward, "out");
    const auto& vjp = j.at("vjp");
    MatrixRef<double> gx_ref = gx;
    map.pullback({}, x, y, row(vjp.at("c_re"), vjp.at("c_im")), {}, &gx_ref);
    expect_near(gx, row(vjp.at("d_E_re"), vjp.at("d_E_im")), kGradient, kGradient, "d_E");
  }
}

}  // namespace
}  // namespace ffzero::test
