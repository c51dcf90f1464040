// Logistic regression.
// SPDX-License-Identifier: MIT
#include "ffzero/train/readout.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "ffzero/base/random.hpp"
#include "ffzero/loss/loss.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/update/rule.hpp"
#include "ffzero/update/schedule.hpp"

namespace ffzero {

namespace {

struct Standard {
  Vector<double> mean, inverse_deviation;
};

template <class S>
Standard standard_of(const ConstMatrixRef<S>& features) {
  Standard s{Vector<double>::Zero(features.cols()), Vector<double>::Zero(features.cols())};
  for (Index i = 0; i < features.rows(); ++i) s.mean += features.row(i).transpose().template cast<double>();
  s.mean /= static_cast<double>(features.rows());
  Vector<double> squares = Vector<double>::Zero(features.cols());
  for (Index i = 0; i < features.rows(); ++i) squares += (features.row(i).transpose().template cast<double>() - s.mean).cwiseAbs2();
  for (Index k = 0; k < features.cols(); ++k) {
    const double deviation = std::sqrt(squares(k) / static_cast<double>(features.rows()));
    s.inverse_deviation(k) = deviation > 1e-12 ? 1.0 / deviation : 0.0;  // a constant feature says nothing
  }
  return s;
}

// Weights whose mean is 1; nothing can be learnt if all are 0.
std::vector<double> relative(std::span<const float> weights) {
  std::vector<double> result(weights.begin(), weights.end());
  const double sum = std::accumulate(result.begin(), result.end(), 0.0);
  if (sum > 0.0)
    for (double& w : result) w *= static_cast<double>(result.size()) / sum;
  return result;
}

}  // namespace

template <class S>
Matrix<S> fit_readout(const ConstMatrixRef<S>& features, std::span<const std::int32_t> labels, Index classes,
                      const ReadoutOptions& options) {
  const Index n = features.rows(), d = features.cols();
  const Standard standard = standard_of<S>(features);
  const Vector<S> mean = standard.mean.template cast<S>(), scale = standard.inverse_deviation.template cast<S>();
  Matrix<S> theta = Matrix<S>::Zero(classes, d + 1), gradient(classes, d + 1), x(options.batch_size, d + 1), scores, gs;
  const auto loss = make_weighted_loss<S>(make_cross_entropy_loss<S>());
  const std::vector<double> weights = relative(options.weights);
  const auto rule = make_adam<S>(theta.size(), {.weight_decay = options.weight_decay});
  const Schedule schedule({.kind = ScheduleKind::cosine});
  const Index steps = divide_up(n, options.batch_size);
  std::vector<std::uint32_t> order(usize(n));
  std::vector<std::int32_t> batch_labels;
  std::vector<double> batch_weights;
  for (Index epoch = 0; epoch < options.epochs; ++epoch) {
    RandomStream(options.seed, Stream::readout, 0, static_cast<std::uint64_t>(epoch)).permutation(order);
    for (Index step = 0; step < steps; ++step) {
      const Index first = step * options.batch_size, count = std::min(options.batch_size, n - first);
      x.resize(count, d + 1);
      batch_labels.clear();
      batch_weights.clear();
      for (Index i = 0; i < count; ++i) {
        const Index row = order[usize(first + i)];
        x.row(i).head(d) = (features.row(row).transpose() - mean).cwiseProduct(scale).transpose();
        x(i, d) = S{1};
        batch_labels.push_back(labels[usize(row)]);
        if (!weights.empty()) batch_weights.push_back(weights[usize(row)]);
      }
      scores.resize(count, classes);
      gs.resize(count, classes);
      gemm_nt<S>(x, theta, scores);
      loss->gradient(scores, classes, {.labels = batch_labels, .values = {}, .weights = batch_weights}, gs);
      gs /= static_cast<S>(count);
      gemm_tn<S>(gs, x, gradient);
      rule->step({theta.data(), usize(theta.size())}, {gradient.data(), usize(gradient.size())},
                 options.lr * schedule.factor(epoch * steps + step, options.epochs * steps));
    }
  }
  theta.leftCols(d) = theta.leftCols(d) * scale.asDiagonal();
  theta.col(d) -= theta.leftCols(d) * mean;
  return theta;
}

template <class S>
void readout_scores(const ConstMatrixRef<S>& readout, const ConstMatrixRef<S>& features, MatrixRef<S> scores) {
  const Index d = features.cols();
  scores.rowwise() = readout.col(d).transpose();
  gemm_nt<S>(features, readout.leftCols(d), scores, S{1});
}

template Matrix<float> fit_readout(const ConstMatrixRef<float>&, std::span<const std::int32_t>, Index, const ReadoutOptions&);
template Matrix<double> fit_readout(const ConstMatrixRef<double>&, std::span<const std::int32_t>, Index, const ReadoutOptions&);
template void readout_scores(const ConstMatrixRef<float>&, const ConstMatrixRef<float>&, MatrixRef<float>);
template void readout_scores(const ConstMatrixRef<double>&, const ConstMatrixRef<double>&, MatrixRef<double>);

}  // namespace ffzero
