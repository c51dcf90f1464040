// Golden files model_n*_L* and dd_n*_L*_nd* of the photonic network through loss, estimator and update.
// SPDX-License-Identifier: MIT
#include "block_steps.hpp"
#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/interferometer_mesh.hpp"

namespace ffzero::test {
namespace {

using nlohmann::json;

constexpr double kForward = 1e-12;
constexpr double kMeshGradient = 1e-11;
constexpr double kFloor = 1e-6;  // |z| is sqrt(max(sum I^2, 1e-12))
constexpr StepTolerance kMeshTolerance{.loss = 1e-12, .parameters = 1e-11};

Matrix<double> nested(const json& j) {
  const auto v = flat(j);
  return Eigen::Map<const Matrix<double>>(v.data(), isize(j.size()), isize(v.size()) / isize(j.size()));
}

/// theta, phi, gamma of one layer one after the other; the names carry a prefix ("d_") or a suffix ("_new").
Vector<double> phases(const json& layer, const std::string& before, const std::string& after) {
  std::vector<double> all;
  for (const char* name : {"theta_full", "phi_full", "gamma"}) {
    const auto part = flat(layer.at(before + name + after));
    all.insert(all.end(), part.begin(), part.end());
  }
  return Eigen::Map<Vector<double>>(all.data(), isize(all.size()));
}

Vector<double> joined(const std::vector<Vector<double>>& parts) {
  Index size = 0;
  for (const auto& p : parts) size += p.size();
  Vector<double> all(size);
  Index at = 0;
  for (const auto& p : parts) {
    all.segment(at, p.size()) = p;
    at += p.size();
  }
  return all;
}

/// Meshes [first, last) with the reference's count of parameters.
TestBlock<double> block_of(const json& j, std::size_t first, std::size_t last, bool end_to_end) {
  const Index n = j.at("n").get<Index>(), classes = j.at("n_classes").get<Index>();
  TestBlock<double> block;
  std::vector<Vector<double>> theta;
  for (std::size_t l = first; l < last; ++l) {
    Layer<double> layer;
    layer.map = std::make_shared<InterferometerMesh<double>>(MeshLayout(n, MeshGeometry::rectangular, true));
    if (l + 1 < j.at("layers").size()) layer.passed_on.push_back(std::make_shared<ElectroOptic<double>>(n));
    layer.readout = std::make_shared<Intensity<double>>(n);
    layer.head = std::make_shared<PrototypeHead<double>>(std::vector{nested(j.at("refs").at(l))}, kFloor);
    block.layers.push_back(std::move(layer));
    theta.push_back(phases(j.at("layers").at(l), "", ""));
  }
  block.theta = joined(theta);
  block.end_to_end = end_to_end;
  if (end_to_end) {
    block.head = std::make_shared<LogitsHead<double>>(n, classes);
    block.set_loss(kLogitsCrossEntropy, Reduction::mean);
  } else {
    block.set_loss(kCosine, Reduction::mean);
  }
  return block;
}

/// Real amplitudes as fields (B, 2n).
Matrix<double> fields_of(const json& x) {
  const Matrix<double> re = nested(x);
  Matrix<double> fields(re.rows(), 2 * re.cols());
  fields << re, Matrix<double>::Zero(re.rows(), re.cols());
  return fields;
}

/// What reaches layer l: the light behind the nonlinearities of the layers before it.
Matrix<double> input_of_layer(const json& j, std::size_t l) {
  Matrix<double> x = fields_of(j.at("x"));
  const TestBlock<double> network = block_of(j, 0, j.at("layers").size(), true);
  for (std::size_t k = 0; k < l; ++k) {
    const Layer<double>& layer = network.layers[k];
    Matrix<double> y(x.rows(), x.cols()), passed(x.rows(), x.cols());
    const Index count = layer.map->parameter_count();
    layer.map->forward({network.theta.data() + isize(k) * count, usize(count)}, x, y);
    layer.passed_on.front()->forward({}, y, passed);
    x = passed;
  }
  return x;
}

void expect_gradient(const TestBlock<double>& block, const Batch<double>& batch, double loss, const Vector<double>& gradient,
                     const std::string& what) {
  const Executor executor(2);
  Ledger ledger(isize(block.layers.size()));
  AdjointBlockLoss<double> objective(block.view(), executor, ledger);
  objective.set_batch(batch);
  Vector<double> g(block.theta.size());
  EXPECT_NEAR(objective.value_and_gradient(as_span(block.theta), as_span(g)), loss, kForward) << what;
  expect_near(g, gradient, kMeshGradient, 0.0, what + " gradient");
}

TEST(GoldenPhotonicBlock, LossesAndGradientsOfLayersAndNetworkAreTheReferences) {
  const auto files = golden_files("photonic", "model_n");
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    const std::string what = path.filename().string();
    const json j = read_json(path);
    const GoldenTargets targets = golden_targets(j.at("labels"), false);
    const std::size_t layers = j.at("layers").size();
    std::vector<Vector<double>> end_to_end;
    for (std::size_t l = 0; l < layers; ++l) {
      const json& recorded = j.at("ff").at(l);
      const Matrix<double> x = input_of_layer(j, l);
      Matrix<double> expected(x.rows(), x.cols());
      expected << nested(recorded.at("E_in_re")), nested(recorded.at("E_in_im"));
      expect_near(x, expected, kForward, 0.0, what + " E_in");
      expect_gradient(block_of(j, l, l + 1, false), {.x = x, .targets = targets.view()}, recorded.at("loss").get<double>(),
                      phases(recorded.at("grad"), "d_", ""), what + " layer " + std::to_string(l));
      end_to_end.push_back(phases(j.at("bp").at("grad").at(l), "d_", ""));
    }
    const Matrix<double> x = fields_of(j.at("x"));
    expect_gradient(block_of(j, 0, layers, true), {.x = x, .targets = targets.view()}, j.at("bp").at("ce_loss").get<double>(),
                    joined(end_to_end), what + " end to end");
  }
}

TEST(GoldenPhotonicBlock, DirectionalStepsOfLayersAndNetworkAreTheReferences) {
  const auto files = golden_files("photonic", "dd_n");
  ASSERT_FALSE(files.empty());
  for (const auto& path : files) {
    const std::string what = path.filename().string();
    const json j = read_json(path);
    const GoldenTargets targets = golden_targets(j.at("labels"), false);
    const std::size_t layers = j.at("layers").size();
    const double eps = j.at("eps").get<double>(), lr = j.at("lr").get<double>();
    for (const json& layer : j.at("ff_dd")) {
      const auto l = layer.at("layer").get<std::size_t>();
      const Matrix<double> x = input_of_layer(j, l);
      const TestBlock<double> block = block_of(j, l, l + 1, false);
      Matrix<double> directions(isize(layer.at("directions").size()), block.theta.size());
      for (Index k = 0; k < directions.rows(); ++k) directions.row(k) = phases(layer.at("directions").at(usize(k)), "d_", "").transpose();
      expect_step(block, {.x = x, .targets = targets.view()},
                  {.directions = directions,
                   .eps = eps,
                   .lr = lr,
                   .loss_pos = flat(layer.at("loss_pos")),
                   .loss_neg = flat(layer.at("loss_neg")),
                   .after = phases(layer, "", "_new")},
                  what + " layer " + std::to_string(l), kMeshTolerance);
    }
    const json& bp = j.at("bp_dd");
    const TestBlock<double> block = block_of(j, 0, layers, true);
    Matrix<double> directions(isize(bp.at("directions").size()), block.theta.size());
    for (Index k = 0; k < directions.rows(); ++k) {
      std::vector<Vector<double>> parts;
      for (const json& part : bp.at("directions").at(usize(k))) parts.push_back(phases(part, "d_", ""));
      directions.row(k) = joined(parts).transpose();
    }
    std::vector<Vector<double>> after;
    for (const json& part : bp.at("new")) after.push_back(phases(part, "", ""));
    const Matrix<double> x = fields_of(j.at("x"));
    expect_step(block, {.x = x, .targets = targets.view()},
                {.directions = directions,
                 .eps = eps,
                 .lr = lr,
                 .loss_pos = flat(bp.at("loss_pos")),
                 .loss_neg = flat(bp.at("loss_neg")),
                 .after = joined(after)},
                what + " end to end", kMeshTolerance);
  }
}

}  // namespace
}  // namespace ffzero::test
