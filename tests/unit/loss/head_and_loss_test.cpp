// Head and loss together: the local loss of a layer as a function of what the layer puts out.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "ffzero/head/prototypes.hpp"
#include "ffzero/loss/loss.hpp"
#include "support/gradient_check.hpp"
#include "support/property.hpp"

namespace ffzero {
namespace {

struct Evaluated {
  double loss = 0.0;
  Matrix<double> gz;
};

Evaluated evaluate(const Head<double>& head, const Loss<double>& loss, const Matrix<double>& z, const Targets& targets) {
  Matrix<double> s(z.rows(), head.groups() * head.classes());
  Matrix<double> gs(s.rows(), s.cols());
  Matrix<double> losses(z.rows(), loss.joint() ? 1 : head.groups());
  Evaluated result{.loss = 0.0, .gz = Matrix<double>(z.rows(), z.cols())};
  head.scores(z, s);
  loss.values(s, head.classes(), targets, losses);
  loss.gradient(s, head.classes(), targets, gs);
  head.pullback(z, gs, result.gz);
  result.loss = losses.sum();
  return result;
}

std::vector<std::unique_ptr<Loss<double>>> classification_losses() {
  std::vector<std::unique_ptr<Loss<double>>> all;
  all.push_back(make_margin_loss<double>());
  all.push_back(make_cosine_loss<double>());
  all.push_back(make_cross_entropy_loss<double>(0.1, 0.05));
  return all;
}

TEST(LocalLoss, DoesNotChangeWhenClassesAreRenamed) {
  test::expect_property("class permutation", [] {
    const auto classes = *rc::gen::inRange<Index>(2, 8);
    const Index d = classes + 3;
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    const Matrix<double> r = simplex_prototypes(classes, d, RandomStream(seed, Stream::prototype));
    std::vector<std::uint32_t> renamed(usize(classes));
    RandomStream(seed, Stream::test).permutation(renamed);
    Matrix<double> r_renamed(classes, d);
    for (Index k = 0; k < classes; ++k) r_renamed.row(renamed[usize(k)]) = r.row(k);
    const auto labels = test::random_labels(6, classes, seed);
    std::vector<std::int32_t> labels_renamed;
    for (const auto y : labels) labels_renamed.push_back(static_cast<std::int32_t>(renamed[usize(y)]));
    const Matrix<double> z = test::normal_matrix(6, d, seed);
    for (const auto& loss : classification_losses()) {
      const Evaluated a = evaluate(PrototypeHead<double>({r}), *loss, z, {.labels = labels, .values = {}});
      const Evaluated b = evaluate(PrototypeHead<double>({r_renamed}), *loss, z, {.labels = labels_renamed, .values = {}});
      RC_ASSERT(std::abs(a.loss - b.loss) < 1e-11);
      RC_ASSERT((a.gz - b.gz).cwiseAbs().maxCoeff() < 1e-11);
    }
  });
}

TEST(LocalLoss, HasNoSlopeAlongTheOutputItself) {
  const PrototypeHead<double> head({simplex_prototypes(5, 9, RandomStream(2, Stream::prototype))});
  const Matrix<double> z = test::normal_matrix(7, 9, 3);
  const auto labels = test::random_labels(7, 5, 4);
  for (const auto& loss : classification_losses()) {
    const Evaluated e = evaluate(head, *loss, z, {.labels = labels, .values = {}});
    EXPECT_LT(e.gz.cwiseProduct(z).rowwise().sum().cwiseAbs().maxCoeff(), 1e-13) << loss->name();
  }
}

TEST(LocalLoss, HasTheGradientOfItsValue) {
  const PrototypeHead<double> head(
      {simplex_prototypes(4, 6, RandomStream(2, Stream::prototype)), simplex_prototypes(4, 6, RandomStream(2, Stream::prototype, 1))});
  const Matrix<double> z = test::normal_matrix(5, 12, 13);
  const auto labels = test::random_labels(5, 4, 14);
  const Targets targets{.labels = labels, .values = {}};
  for (const auto& loss : classification_losses()) {
    const auto f = [&](const Matrix<double>& at) { return evaluate(head, *loss, at, targets).loss; };
    test::expect_matrix_gradient(f, z, evaluate(head, *loss, z, targets).gz, loss->name());
  }
}

TEST(LocalLoss, RegressesOnTheMeanCosine) {
  const PrototypeHead<double> head(
      {simplex_prototypes(1, 6, RandomStream(2, Stream::prototype)), simplex_prototypes(1, 6, RandomStream(2, Stream::prototype, 1))});
  const Matrix<double> z = test::normal_matrix(3, 12, 15);
  const std::vector<double> y{0.5, -0.5, 0.0};
  const Targets targets{.labels = {}, .values = y};
  const auto loss = make_squared_loss<double>();
  const auto f = [&](const Matrix<double>& at) { return evaluate(head, *loss, at, targets).loss; };
  test::expect_matrix_gradient(f, z, evaluate(head, *loss, z, targets).gz, "squared");
}

}  // namespace
}  // namespace ffzero
