// Activity perturbation in the coordinates of the prototypes: a read-out at a +- eps u needs <a, r_k>, <u, r_k> and three norms.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/activity.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/head/prototypes.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

namespace {

using RowArray = Eigen::Array<double, 1, Eigen::Dynamic>;

// One group of the head: everything in double, samples in rows.
struct GroupState {
  Matrix<double> prototypes;  // (K, d)
  Matrix<double> inner;       // (B, K): <a, r_k>
  Vector<double> squared;     // (B): <a, a>
};

double clamped_inverse(double squared, double floor) {
  const double length = std::max(std::sqrt(std::max(squared, 0.0)), floor);
  return length > 0.0 ? 1.0 / length : 0.0;
}

template <class S>
std::vector<GroupState> group_states(const PrototypeHead<S>& head, const ConstMatrixRef<S>& a) {
  std::vector<GroupState> states;
  const Index d = head.dimension();
  for (Index g = 0; g < head.groups(); ++g) {
    const Matrix<double> block = a.middleCols(g * d, d).template cast<double>();
    GroupState state;
    state.prototypes = head.prototypes(g).template cast<double>();
    state.inner.resize(a.rows(), head.classes());
    gemm_nt<double>(block, state.prototypes, state.inner);
    state.squared = block.rowwise().squaredNorm();
    states.push_back(std::move(state));
  }
  return states;
}

// Slopes of the loss along directions u_b with inner products `ur` (B, K) with the prototypes, `au` = <a, u>, |u| = 1, for all groups.
class Slopes {
 public:
  Slopes(const std::vector<GroupState>& states, const Loss<double>& loss, Index classes, double floor, double eps)
      : states_(states), loss_(loss), classes_(classes), floor_(floor), eps_(eps) {}

  /// slopes (B, G): of the group's own loss; of the shared one, if the loss is joint, with that group alone perturbed.
  template <class Inner>
  const Matrix<double>& along(const Targets& targets, Inner inner) {
    const Index rows = states_[0].squared.size(), groups = isize(states_.size());
    Matrix<double> sides[2] = {Matrix<double>(rows, groups * classes_), Matrix<double>(rows, groups * classes_)};
    for (std::size_t side = 0; side < 2; ++side) {
      const double step = side == 0 ? eps_ : -eps_;
      for (Index g = 0; g < groups; ++g) {
        const GroupState& state = states_[usize(g)];
        for (Index b = 0; b < rows; ++b) {
          const auto [au, ur] = inner(g, b);
          const double scale = clamped_inverse(state.squared(b) + 2.0 * step * au + step * step, floor_);
          sides[side].row(b).segment(g * classes_, classes_) = (state.inner.row(b) + step * ur) * scale;
        }
      }
    }
    if (!loss_.joint() || groups == 1) {
      slopes_ = (losses(sides[0], targets) - losses(sides[1], targets)) / (2.0 * eps_);
      return slopes_;
    }
    slopes_.resize(rows, groups);
    Matrix<double> scores = unperturbed();
    for (Index g = 0; g < groups; ++g) {
      const Matrix<double> own = scores.middleCols(g * classes_, classes_);
      scores.middleCols(g * classes_, classes_) = sides[0].middleCols(g * classes_, classes_);
      const Matrix<double> plus = losses(scores, targets);
      scores.middleCols(g * classes_, classes_) = sides[1].middleCols(g * classes_, classes_);
      slopes_.col(g) = (plus - losses(scores, targets)) / (2.0 * eps_);
      scores.middleCols(g * classes_, classes_) = own;
    }
    return slopes_;
  }

 private:
  [[nodiscard]] Matrix<double> losses(const Matrix<double>& scores, const Targets& targets) const {
    Matrix<double> out(scores.rows(), loss_.joint() ? 1 : isize(states_.size()));
    loss_.values(scores, classes_, targets, out);
    return out;
  }
  [[nodiscard]] Matrix<double> unperturbed() const {
    Matrix<double> scores(states_[0].squared.size(), isize(states_.size()) * classes_);
    for (std::size_t g = 0; g < states_.size(); ++g)
      for (Index b = 0; b < scores.rows(); ++b)
        scores.row(b).segment(isize(g) * classes_, classes_) = states_[g].inner.row(b) * clamped_inverse(states_[g].squared(b), floor_);
    return scores;
  }

  const std::vector<GroupState>& states_;
  const Loss<double>& loss_;
  Index classes_;
  double floor_, eps_;
  Matrix<double> slopes_;  // (B, G)
};

template <class S>
void along_prototypes(const ActivityOptions<S>& options, const PrototypeHead<S>& head, const std::vector<GroupState>& states,
                      const Targets& targets, const ConstMatrixRef<S>& a, MatrixRef<S> gz) {
  const Index classes = head.classes(), d = head.dimension(), rows = a.rows();
  // How well a loss tells what lies in the span of the prototypes: they, and the activations, were rounded to S.
  constexpr double kPrecision = std::numeric_limits<S>::epsilon(), kLeastOutside = std::max(1e-9, 8.0 * kPrecision);
  Slopes slopes(states, options.loss, classes, head.floor(), options.perturbation.eps);
  std::vector<Matrix<double>> grams;
  for (const auto& state : states) grams.push_back(state.prototypes * state.prototypes.transpose());
  std::vector<Matrix<double>> c(states.size(), Matrix<double>(rows, classes));
  for (Index k = 0; k < classes; ++k) {
    const Matrix<double>& slope =
        slopes.along(targets, [&](Index g, Index b) { return std::pair(states[usize(g)].inner(b, k), grams[usize(g)].row(k)); });
    for (std::size_t g = 0; g < states.size(); ++g) c[g].col(k) = slope.col(isize(g));
  }
  for (std::size_t g = 0; g < states.size(); ++g) {
    const GroupState& state = states[g];
    const Matrix<double> inverse = gram_pseudo_inverse(grams[g], kPrecision);
    Matrix<double> alpha = c[g] * inverse;  // symmetric
    Vector<double> beta = Vector<double>::Zero(rows);
    for (Index b = 0; b < rows; ++b) {
      const double length = clamped_inverse(state.squared(b), head.floor());
      const bool clamped = state.squared(b) <= head.floor() * head.floor();
      const Eigen::RowVectorXd s = state.inner.row(b) * length;
      const Eigen::RowVectorXd ps = s * inverse;
      const double outside = 1.0 - ps.dot(s);  // share of |a|^2 outside the span: none there, the span holds the whole gradient
      if (clamped || outside < kLeastOutside) continue;
      alpha.row(b) += ps * (s.dot(alpha.row(b)) / outside);
      beta(b) = -s.dot(alpha.row(b)) * length;
    }
    const Index column = isize(g) * d;
    gz.middleCols(column, d) = (alpha * state.prototypes).template cast<S>();
    for (Index b = 0; b < rows; ++b) gz.row(b).segment(column, d) += static_cast<S>(beta(b)) * a.row(b).segment(column, d);
  }
}

template <class S>
void along_random(const ActivityOptions<S>& options, const PrototypeHead<S>& head, const std::vector<GroupState>& states,
                  const Targets& targets, const RandomStream& random, Index first_row, const ConstMatrixRef<S>& a, MatrixRef<S> gz) {
  const Index classes = head.classes(), d = head.dimension(), rows = a.rows(), groups = head.groups();
  const bool full = options.perturbation.space == ActivitySpace::full;
  const Index dimension = full ? d : std::max<Index>(1, classes - 1);  // of the space that u is drawn from
  Slopes slopes(states, options.loss, classes, head.floor(), options.perturbation.eps);
  std::vector<Matrix<double>> u(states.size(), Matrix<double>(rows, d)), inner(states.size(), Matrix<double>(rows, classes));
  gz.setZero();
  for (Index j = 0; j < options.perturbation.directions; ++j) {
    for (Index g = 0; g < groups; ++g) {
      Matrix<double>& own = u[usize(g)];
      for (Index b = 0; b < rows; ++b) {
        const Index at = ((first_row + b) * options.perturbation.directions + j) * groups + g;
        if (full) {
          random.fill_normal({own.row(b).data(), usize(d)}, at * d);
        } else {
          // The simplex is isotropic in its span: normal weights on its vertices give a uniformly distributed direction.
          Eigen::RowVectorXd weights(classes);
          random.fill_normal(std::span<double>(weights.data(), usize(classes)), at * classes);
          own.row(b) = weights * states[usize(g)].prototypes;
        }
        const double length = own.row(b).norm();
        if (length > 0.0) own.row(b) /= length;
      }
      gemm_nt<double>(own, states[usize(g)].prototypes, inner[usize(g)]);
    }
    const Matrix<double>& slope = slopes.along(targets, [&](Index g, Index b) {
      const double au = a.row(b).segment(g * d, d).template cast<double>().dot(u[usize(g)].row(b));
      return std::pair(au, inner[usize(g)].row(b));
    });
    const double weight = static_cast<double>(dimension) / static_cast<double>(options.perturbation.directions);
    for (Index g = 0; g < groups; ++g)
      for (Index b = 0; b < rows; ++b) gz.row(b).segment(g * d, d) += ((weight * slope(b, g)) * u[usize(g)].row(b)).template cast<S>();
  }
}

}  // namespace

template <class S>
void activity_output_gradient(const ActivityOptions<S>& options, const ConstMatrixRef<S>& a, const Targets& targets,
                              const RandomStream& random, Index first_row, MatrixRef<S> gz) {
  const auto* head = dynamic_cast<const PrototypeHead<S>*>(&options.head);
  if (head == nullptr)
    throw ConfigError("gradient.estimator", "\"activity\" needs a local loss on prototypes", options.head.kind(),
                      "use objective.scope = \"local\"");
  const std::vector<GroupState> states = group_states<S>(*head, a);
  if (options.perturbation.space == ActivitySpace::prototypes)
    along_prototypes<S>(options, *head, states, targets, a, gz);
  else
    along_random<S>(options, *head, states, targets, random, first_row, a, gz);
  if (head->floor() > 0.0) return;
  // Similarities jump at 0, where they are 0 by definition and have no slope: what was measured there says nothing.
  for (std::size_t g = 0; g < states.size(); ++g)
    for (Index b = 0; b < a.rows(); ++b)
      if (states[g].squared(b) == 0.0) gz.row(b).segment(isize(g) * head->dimension(), head->dimension()).setZero();
}

template void activity_output_gradient<float>(const ActivityOptions<float>&, const ConstMatrixRef<float>&, const Targets&,
                                              const RandomStream&, Index, MatrixRef<float>);
template void activity_output_gradient<double>(const ActivityOptions<double>&, const ConstMatrixRef<double>&, const Targets&,
                                               const RandomStream&, Index, MatrixRef<double>);

}  // namespace ffzero
