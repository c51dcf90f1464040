// Steps of a block that the golden files record: differences, losses of both sides, updates.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/gradient/directional.hpp"
#include "ffzero/objective/adjoint_block_loss.hpp"
#include "ffzero/update/rule.hpp"
#include "support/golden.hpp"
#include "support/test_block.hpp"

namespace ffzero::test {

/// Targets of a file, with the memory that they point to.
struct GoldenTargets {
  std::vector<std::int32_t> labels;
  std::vector<double> values;
  [[nodiscard]] Targets view() const { return {.labels = labels, .values = values}; }
};

inline GoldenTargets golden_targets(const nlohmann::json& y, bool regression) {
  GoldenTargets t;
  if (regression)
    t.values = flat(y);
  else
    t.labels = labels_of(y);
  return t;
}

inline Matrix<double> unit_rows(Matrix<double> raw) {
  raw.rowwise().normalize();
  return raw;
}

/// What a file says about one directional step of one loss.
struct RecordedStep {
  Matrix<double> directions;  ///< (m, P), of unit length per unit
  double eps = 0.0, lr = 0.0;
  std::vector<double> loss_pos, loss_neg;
  Vector<double> after;
};

struct StepTolerance {
  double loss = 1e-11;       ///< absolute and relative
  double parameters = 1e-9;  ///< the reference's difference divides its rounding by 2 eps
};

/// The losses of both sides, their differences as the estimator gets them, and the parameters after one step of plain descent.
inline void expect_step(const TestBlock<double>& test, const Batch<double>& batch, const RecordedStep& step, const std::string& what,
                        const StepTolerance& tolerance = {}) {
  const Executor executor(2);
  Ledger ledger(isize(test.layers.size()));
  BlockLoss<double> loss(test.view(), executor, ledger);
  loss.set_batch(batch);
  Vector<double> theta = test.theta;
  Differences differences;
  loss.differences(as_span(std::as_const(theta)), step.directions, step.eps, differences);
  double mean = 0.0;
  const Index m = step.directions.rows();
  for (Index j = 0; j < m; ++j) {
    for (const int side : {+1, -1}) {
      const Vector<double> moved = theta + side * step.eps * step.directions.row(j).transpose();
      double value = 0.0;
      loss.values(as_span(moved), {&value, 1});
      const double expected = (side > 0 ? step.loss_pos : step.loss_neg)[usize(j)];
      EXPECT_NEAR(value, expected, tolerance.loss * (1.0 + std::abs(expected))) << what << " direction " << j << " side " << side;
      mean += value / (2.0 * static_cast<double>(m));
    }
    EXPECT_NEAR(differences.delta(j, 0), step.loss_pos[usize(j)] - step.loss_neg[usize(j)], tolerance.loss * (1.0 + std::abs(mean)))
        << what;
  }
  EXPECT_NEAR(differences.mean_loss, mean, tolerance.loss * (1.0 + std::abs(mean))) << what;

  Vector<double> gradient(theta.size());
  Directional<double> estimator({.directions = m, .eps = step.eps});
  estimator.estimate_along(loss, as_span(std::as_const(theta)), step.directions, executor, as_span(gradient));
  EXPECT_TRUE(theta == test.theta) << what;
  make_sgd<double>()->step(as_span(theta), as_span(std::as_const(gradient)), step.lr);
  expect_near(theta, step.after, tolerance.parameters, tolerance.parameters, what + " parameters");
}

}  // namespace ffzero::test
