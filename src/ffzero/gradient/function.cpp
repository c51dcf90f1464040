// Default differences: plain evaluations at fresh copies.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/function.hpp"

#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

namespace ffzero {

template <class S>
void ScalarFunction<S>::differences(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, Differences& out) const {
  const Index m = directions.rows();
  const Index groups = layout().groups;
  const auto center = as_vector(theta);
  Vector<S> moved(center.size());
  std::vector<double> plus(usize(groups)), minus(usize(groups));
  out.delta.resize(m, groups);
  out.mean_loss = 0.0;
  for (Index j = 0; j < m; ++j) {
    const auto direction = directions.row(j).transpose();
    moved = center + static_cast<S>(eps) * direction;
    values(as_span(std::as_const(moved)), plus);
    moved = center - static_cast<S>(eps) * direction;
    values(as_span(std::as_const(moved)), minus);
    for (Index g = 0; g < groups; ++g) {
      out.delta(j, g) = plus[usize(g)] - minus[usize(g)];
      out.mean_loss += (plus[usize(g)] + minus[usize(g)]) / (2.0 * static_cast<double>(m));
    }
  }
}

template <class S>
void ScalarFunction<S>::hadamard_differences(std::span<const S> theta, std::span<const S> signs, Index m, double eps,
                                             Differences& out) const {
  Matrix<S> directions(m, isize(signs.size()));
  for (Index j = 0; j < m; ++j)
    for (Index i = 0; i < directions.cols(); ++i) {
      const bool negative = (std::popcount(static_cast<std::uint64_t>(i & j)) & 1) != 0;
      directions(j, i) = negative ? -signs[usize(i)] : signs[usize(i)];
    }
  differences(theta, directions, eps, out);
}

template <class S>
double total_loss(const ScalarFunction<S>& f, std::span<const S> theta) {
  std::vector<double> losses(usize(f.layout().groups));
  f.values(theta, losses);
  double sum = 0.0;
  for (const double loss : losses) sum += loss;
  return sum;
}

template class ScalarFunction<float>;
template class ScalarFunction<double>;
template double total_loss(const ScalarFunction<float>&, std::span<const float>);
template double total_loss(const ScalarFunction<double>&, std::span<const double>);

}  // namespace ffzero
