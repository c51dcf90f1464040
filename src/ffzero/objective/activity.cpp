// Activity perturbation in the coordinates of the prototypes: a read-out at a +- eps u needs <a, r_k>, <u, r_k> and three norms.
// SPDX-License-Identifier: MIT
#include "ffzero/objective/activity.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/head/prototypes.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

namespace activity_parts {

// One group of the head: everything in double, samples in rows.
struct GroupState {
  Matrix<double> prototypes;  // (K, d)
  Matrix<double> inner;       // (B, K): <a, r_k>
  Vector<double> squared;     // (B): <a, a>
};

}  // namespace activity_parts

namespace {

using activity_parts::GroupState;

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

// Slopes of the losses of samples [first, first + rows) along directions u_b with inner products `ur` (K) with the prototypes, `au` = <a,
// u>, |u| = 1, for all groups.
class Slopes {
 public:
  Slopes(const std::vector<GroupState>& states, const Loss<double>& loss, Index classes, double floor, double eps)
      : states_(states), loss_(loss), classes_(classes), floor_(floor), eps_(eps) {}

  void take(Index first, Index rows) {
    first_ = first;
    rows_ = rows;
  }
  /// slopes (rows, G): of the group's own loss; of the shared one, if the loss is joint, with that group alone perturbed.
  /// inner(g, b): au and ur of sample b, counted as the states do
  template <class Inner>
  const Matrix<double>& along(const Targets& targets, Inner inner) {
    const Index groups = isize(states_.size());
    Matrix<double> sides[2] = {Matrix<double>(rows_, groups * classes_), Matrix<double>(rows_, groups * classes_)};
    for (std::size_t side = 0; side < 2; ++side) {
      const double step = side == 0 ? eps_ : -eps_;
      for (Index g = 0; g < groups; ++g) {
        const GroupState& state = states_[usize(g)];
        for (Index i = 0; i < rows_; ++i) {
          const Index b = first_ + i;
          const auto [au, ur] = inner(g, b);
          const double scale = clamped_inverse(state.squared(b) + 2.0 * step * au + step * step, floor_);
          sides[side].row(i).segment(g * classes_, classes_) = (state.inner.row(b) + step * ur) * scale;
        }
      }
    }
    if (!loss_.joint() || groups == 1) {
      slopes_ = (losses(sides[0], targets) - losses(sides[1], targets)) / (2.0 * eps_);
      return slopes_;
    }
    slopes_.resize(rows_, groups);
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
    Matrix<double> scores(rows_, isize(states_.size()) * classes_);
    for (std::size_t g = 0; g < states_.size(); ++g)
      for (Index i = 0; i < rows_; ++i)
        scores.row(i).segment(isize(g) * classes_, classes_) =
            states_[g].inner.row(first_ + i) * clamped_inverse(states_[g].squared(first_ + i), floor_);
    return scores;
  }

  const std::vector<GroupState>& states_;
  const Loss<double>& loss_;
  Index classes_;
  double floor_, eps_;
  Index first_ = 0, rows_ = 0;
  Matrix<double> slopes_;  // (rows, G)
};

template <class S>
const PrototypeHead<S>& require_prototypes(const Head<S>& head) {
  if (const auto* prototypes = dynamic_cast<const PrototypeHead<S>*>(&head)) return *prototypes;
  throw ConfigError("gradient.estimator", "\"activity\" needs a local loss on prototypes", head.kind(), "use objective.scope = \"local\"");
}

}  // namespace

template <class S>
struct ActivityReading<S>::State {
  ActivityOptions<S> options;
  const PrototypeHead<S>& head;
  std::vector<GroupState> groups;
  std::vector<Matrix<double>> grams;  // of the prototypes of each group
  std::vector<Matrix<double>> u;      // span, full: (B, m d), of each group
  std::vector<Matrix<double>> inner;  // (B, m K): their inner products with the prototypes

  explicit State(const ActivityOptions<S>& o) : options(o), head(require_prototypes<S>(o.head)) {}
  [[nodiscard]] bool along_prototypes() const { return options.perturbation.space == ActivitySpace::prototypes; }
  [[nodiscard]] Index nudges() const { return along_prototypes() ? head.classes() : options.perturbation.directions; }

  void draw(Index rows, const RandomStream& random, Index first_row);
  void gradient_along_prototypes(const ConstMatrixRef<S>& a, const ConstMatrixRef<double>& slopes, MatrixRef<S> gz) const;
  void gradient_along_random(const ConstMatrixRef<double>& slopes, MatrixRef<S> gz) const;
};

// Directions of every sample, and their inner products with the prototypes.
template <class S>
void ActivityReading<S>::State::draw(Index rows, const RandomStream& random, Index first_row) {
  const Index classes = head.classes(), d = head.dimension(), m = nudges(), count = head.groups();
  const bool full = options.perturbation.space == ActivitySpace::full;
  u.assign(groups.size(), Matrix<double>(rows, m * d));
  inner.assign(groups.size(), Matrix<double>(rows, m * classes));
  Matrix<double> own(rows, d), products(rows, classes);
  for (Index j = 0; j < m; ++j)
    for (Index g = 0; g < count; ++g) {
      for (Index b = 0; b < rows; ++b) {
        const Index at = ((first_row + b) * m + j) * count + g;
        if (full) {
          random.fill_normal({own.row(b).data(), usize(d)}, at * d);
        } else {
          // The simplex is isotropic in its span: normal weights on its vertices give a uniformly distributed direction.
          Eigen::RowVectorXd weights(classes);
          random.fill_normal(std::span<double>(weights.data(), usize(classes)), at * classes);
          own.row(b) = weights * groups[usize(g)].prototypes;
        }
        const double length = own.row(b).norm();
        if (length > 0.0) own.row(b) /= length;
      }
      gemm_nt<double>(own, groups[usize(g)].prototypes, products);
      u[usize(g)].middleCols(j * d, d) = own;
      inner[usize(g)].middleCols(j * classes, classes) = products;
    }
}

template <class S>
void ActivityReading<S>::State::gradient_along_prototypes(const ConstMatrixRef<S>& a, const ConstMatrixRef<double>& slopes,
                                                          MatrixRef<S> gz) const {
  const Index classes = head.classes(), d = head.dimension(), rows = a.rows(), count = head.groups();
  // How well a loss tells what lies in the span of the prototypes: they, and the activations, were rounded to S.
  constexpr double kPrecision = std::numeric_limits<S>::epsilon(), kLeastOutside = std::max(1e-9, 8.0 * kPrecision);
  Matrix<double> c(rows, classes), alpha(rows, classes), similarities(rows, classes), solved(rows, classes), along(rows, d);
  Vector<double> lengths(rows);
  for (Index g = 0; g < count; ++g) {
    const GroupState& state = groups[usize(g)];
    for (Index k = 0; k < classes; ++k) c.col(k) = slopes.col(k * count + g);
    const Matrix<double> inverse = gram_pseudo_inverse(grams[usize(g)], kPrecision);
    for (Index b = 0; b < rows; ++b) lengths(b) = clamped_inverse(state.squared(b), head.floor());
    similarities = lengths.asDiagonal() * state.inner;
    gemm_nn<double>(c, inverse, alpha);  // symmetric
    gemm_nn<double>(similarities, inverse, solved);
    Vector<double> beta = Vector<double>::Zero(rows);
    for (Index b = 0; b < rows; ++b) {
      const bool clamped = state.squared(b) <= head.floor() * head.floor();
      const auto s = similarities.row(b), ps = solved.row(b);
      const double outside = 1.0 - ps.dot(s);  // share of |a|^2 outside the span: none there, the span holds the whole gradient
      if (clamped || outside < kLeastOutside) continue;
      alpha.row(b) += ps * (s.dot(alpha.row(b)) / outside);
      beta(b) = -s.dot(alpha.row(b)) * lengths(b);
    }
    const Index column = g * d;
    gemm_nn<double>(alpha, state.prototypes, along);
    gz.middleCols(column, d) = along.template cast<S>();
    for (Index b = 0; b < rows; ++b) gz.row(b).segment(column, d) += static_cast<S>(beta(b)) * a.row(b).segment(column, d);
  }
}

template <class S>
void ActivityReading<S>::State::gradient_along_random(const ConstMatrixRef<double>& slopes, MatrixRef<S> gz) const {
  const Index d = head.dimension(), count = head.groups(), m = nudges();
  const bool full = options.perturbation.space == ActivitySpace::full;
  const Index dimension = full ? d : std::max<Index>(1, head.classes() - 1);  // of the space that u is drawn from
  const double weight = static_cast<double>(dimension) / static_cast<double>(m);
  gz.setZero();
  for (Index j = 0; j < m; ++j)
    for (Index g = 0; g < count; ++g)
      for (Index b = 0; b < gz.rows(); ++b)
        gz.row(b).segment(g * d, d) += ((weight * slopes(b, j * count + g)) * u[usize(g)].row(b).segment(j * d, d)).template cast<S>();
}

template <class S>
ActivityReading<S>::ActivityReading(const ActivityOptions<S>& options) : state_(std::make_unique<State>(options)) {}
template <class S>
ActivityReading<S>::~ActivityReading() = default;
template <class S>
ActivityReading<S>::ActivityReading(ActivityReading&&) noexcept = default;
template <class S>
ActivityReading<S>& ActivityReading<S>::operator=(ActivityReading&&) noexcept = default;

template <class S>
Index ActivityReading<S>::slopes_of_sample(const ActivityOptions<S>& options) {
  return State(options).nudges() * options.head.groups();
}

template <class S>
void ActivityReading<S>::begin(const ConstMatrixRef<S>& a, const RandomStream& random, Index first_row) {
  State& s = *state_;
  s.groups = group_states<S>(s.head, a);
  s.grams.clear();
  if (!s.along_prototypes()) return s.draw(a.rows(), random, first_row);
  for (const GroupState& group : s.groups) {
    Matrix<double> gram(s.head.classes(), s.head.classes());
    gemm_nt<double>(group.prototypes, group.prototypes, gram);
    s.grams.push_back(std::move(gram));
  }
}

template <class S>
void ActivityReading<S>::measure(const ConstMatrixRef<S>& a, Index first, Index count, const Targets& targets,
                                 MatrixRef<double> slopes) const {
  const State& s = *state_;
  const Index classes = s.head.classes(), d = s.head.dimension(), groups = s.head.groups();
  Slopes along(s.groups, s.options.loss, classes, s.head.floor(), s.options.perturbation.eps);
  along.take(first, count);
  for (Index k = 0; k < s.nudges(); ++k) {
    auto own = slopes.middleCols(k * groups, groups);
    if (s.along_prototypes())
      own = along.along(targets, [&](Index g, Index b) { return std::pair(s.groups[usize(g)].inner(b, k), s.grams[usize(g)].row(k)); });
    else
      own = along.along(targets, [&](Index g, Index b) {
        const double au = a.row(b).segment(g * d, d).template cast<double>().dot(s.u[usize(g)].row(b).segment(k * d, d));
        return std::pair(au, s.inner[usize(g)].row(b).segment(k * classes, classes));
      });
  }
}

template <class S>
void ActivityReading<S>::gradient(const ConstMatrixRef<S>& a, const ConstMatrixRef<double>& slopes, MatrixRef<S> gz) const {
  const State& s = *state_;
  if (s.along_prototypes())
    s.gradient_along_prototypes(a, slopes, gz);
  else
    s.gradient_along_random(slopes, gz);
  if (s.head.floor() > 0.0) return;
  // Similarities jump at 0, where they are 0 by definition and have no slope: what was measured there says nothing.
  const Index d = s.head.dimension();
  for (Index g = 0; g < s.head.groups(); ++g)
    for (Index b = 0; b < a.rows(); ++b)
      if (s.groups[usize(g)].squared(b) == 0.0) gz.row(b).segment(g * d, d).setZero();
}

template <class S>
void activity_output_gradient(const ActivityOptions<S>& options, const ConstMatrixRef<S>& a, const Targets& targets,
                              const RandomStream& random, Index first_row, MatrixRef<S> gz) {
  ActivityReading<S> reading(options);
  Matrix<double> slopes(a.rows(), ActivityReading<S>::slopes_of_sample(options));
  reading.begin(a, random, first_row);
  reading.measure(a, 0, a.rows(), targets, slopes);
  reading.gradient(a, slopes, gz);
}

template class ActivityReading<float>;
template class ActivityReading<double>;
template void activity_output_gradient<float>(const ActivityOptions<float>&, const ConstMatrixRef<float>&, const Targets&,
                                              const RandomStream&, Index, MatrixRef<float>);
template void activity_output_gradient<double>(const ActivityOptions<double>&, const ConstMatrixRef<double>&, const Targets&,
                                               const RandomStream&, Index, MatrixRef<double>);

}  // namespace ffzero
