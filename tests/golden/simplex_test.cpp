// Prototypes and rotations as the reference computes them: mlp-cnn/simplex*.json, photonic/simplex_refs*.json.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <numbers>

#include "ffzero/base/error.hpp"
#include "ffzero/head/prototypes.hpp"
#include "support/golden.hpp"

namespace ffzero {
namespace {

constexpr double kAbsolute = 1e-12;

void expect_simplex(const nlohmann::json& entry, const std::string& what) {
  const auto classes = entry.at("num_classes").get<Index>();
  const auto dimension = entry.at("dim").get<Index>();
  if (entry.contains("unrotated")) {
    test::expect_near(simplex_vertices(classes, dimension), test::matrix_of(entry.at("unrotated")), kAbsolute, 0.0, what + " unrotated");
  }
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const Matrix<double> r = simplex_prototypes(classes, dimension, RandomStream(seed, Stream::prototype));
    test::expect_near(r * r.transpose(), test::matrix_of(entry.at("gram")), kAbsolute, 0.0, what + " gram");
  }
}

/// The reference draws again where det < 0, the library flips the first column: both are Q of the accepted draw.
void expect_rotations(const nlohmann::json& entry, const std::string& what) {
  const auto accepted = entry.at("accepted_draw").get<std::size_t>();
  const Matrix<double> q = haar_rotation(test::matrix_of(entry.at("normal_draws").at(accepted)));
  test::expect_near(q, test::matrix_of(entry.at("Q")), kAbsolute, 0.0, what + " Q");
}

TEST(GoldenSimplex, HasTheVerticesRotationsAndAnglesOfTheReference) {
  const auto files = test::golden_files("mlp-cnn", "simplex");
  ASSERT_FALSE(files.empty());
  for (const auto& file : files) {
    const auto j = test::read_json(file);
    for (const auto& entry : j.at("simplex")) expect_simplex(entry, file.filename().string());
    for (const auto& entry : j.at("haar")) expect_rotations(entry, file.filename().string());
    for (const auto& [classes, degrees] : j.at("max_angle_degrees").items()) {
      const Index k = std::stol(classes);
      if (k < 2) continue;
      const Matrix<double> v = simplex_vertices(k, k);
      EXPECT_NEAR(std::acos(std::max(-1.0, v.row(0).dot(v.row(1)))) * 180.0 / std::numbers::pi, degrees.get<double>(), 1e-5) << classes;
    }
  }
}

TEST(GoldenSimplexRefs, FollowFromTheGaussianMatrix) {
  const auto files = test::golden_files("photonic", "simplex_refs");
  ASSERT_FALSE(files.empty());
  for (const auto& file : files) {
    const auto j = test::read_json(file);
    ASSERT_FALSE(j.at("cases").empty());
    for (const auto& entry : j.at("cases")) {
      const auto n = entry.at("n").get<Index>();
      const auto classes = entry.at("n_classes").get<Index>();
      const Matrix<double> q = haar_rotation(test::matrix_of(entry.at("A")));
      test::expect_near(q, test::matrix_of(entry.at("Q")), kAbsolute, 0.0, "Q");
      const Matrix<double> refs = simplex_vertices(classes, n) * q;
      test::expect_near(refs, test::matrix_of(entry.at("refs")), kAbsolute, 0.0, "refs");
      test::expect_near(refs * refs.transpose(), test::matrix_of(entry.at("gram")), kAbsolute, 0.0, "gram");
    }
  }
}

}  // namespace
}  // namespace ffzero
