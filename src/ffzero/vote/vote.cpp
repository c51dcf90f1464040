// The five rules of voting.
// SPDX-License-Identifier: MIT
#include "ffzero/vote/vote.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

constexpr std::array<std::pair<VoteRule, const char*>, 5> kNames{{{VoteRule::majority, "majority"},
                                                                  {VoteRule::majority_early, "majority_early"},
                                                                  {VoteRule::sum, "sum"},
                                                                  {VoteRule::sum_log_softmax, "sum_log_softmax"},
                                                                  {VoteRule::last, "last"}}};

using Predictions = std::vector<std::int32_t>;

/// Votes per class for sample b, and for each class the sum of the numbers of the layers that chose it.
struct Tally {
  std::vector<Index> votes;
  std::vector<Index> ranks;
  explicit Tally(Index classes) : votes(usize(classes)), ranks(usize(classes)) {}

  void count(std::span<const Predictions> predictions, std::size_t b) {
    std::fill(votes.begin(), votes.end(), 0);
    std::fill(ranks.begin(), ranks.end(), 0);
    for (std::size_t l = 0; l < predictions.size(); ++l) {
      const Index k = predictions[l][b];
      if (k < 0 || k >= isize(votes.size())) {
        throw ShapeError("vote", "predictions must lie in 0 .. " + std::to_string(votes.size() - 1), std::to_string(k));
      }
      ++votes[usize(k)];
      ranks[usize(k)] += isize(l);
    }
  }
};

void require_samples(std::span<const Predictions> predictions, std::size_t samples) {
  for (const Predictions& p : predictions) {
    if (p.size() != samples) {
      throw ShapeError("vote", "every layer must predict the same " + std::to_string(samples) + " samples", std::to_string(p.size()));
    }
  }
}

template <class S>
void require_layers(std::span<const Matrix<S>> layers) {
  if (layers.empty()) throw ShapeError("vote", "at least one layer");
  for (const Matrix<S>& layer : layers) {
    if (layer.rows() != layers.front().rows() || layer.cols() != layers.front().cols()) {
      throw ShapeError("vote", "all layers must score the same samples and classes",
                       std::to_string(layer.rows()) + " x " + std::to_string(layer.cols()) + " beside " +
                           std::to_string(layers.front().rows()) + " x " + std::to_string(layers.front().cols()));
    }
  }
}

template <class S>
std::vector<Predictions> predict_all(std::span<const Matrix<S>> layers) {
  std::vector<Predictions> all;
  all.reserve(layers.size());
  for (const Matrix<S>& layer : layers) all.push_back(predict<S>(layer));
  return all;
}

template <class S>
Matrix<double> summed(std::span<const Matrix<S>> layers) {
  Matrix<double> sum = Matrix<double>::Zero(layers.front().rows(), layers.front().cols());
  for (const Matrix<S>& layer : layers) sum += layer.template cast<double>();
  return sum;
}

template <class S>
Matrix<double> summed_log_softmax(std::span<const Matrix<S>> layers, double temperature) {
  if (!(temperature > 0.0)) throw ShapeError("vote", "temperature must be above 0", std::to_string(temperature));
  Matrix<double> sum = Matrix<double>::Zero(layers.front().rows(), layers.front().cols());
  for (const Matrix<S>& layer : layers) {
    for (Index b = 0; b < layer.rows(); ++b) {
      Eigen::Array<double, 1, Eigen::Dynamic> s = layer.row(b).template cast<double>().array() / temperature;
      s -= s.maxCoeff();
      sum.row(b).array() += s - std::log(s.exp().sum());
    }
  }
  return sum;
}

}  // namespace

std::string to_string(VoteRule rule) {
  for (const auto& [r, name] : kNames) {
    if (r == rule) return name;
  }
  throw ShapeError("to_string(VoteRule)", "a named rule", std::to_string(static_cast<int>(rule)));
}

VoteRule parse_vote_rule(std::string_view name) {
  for (const auto& [rule, spelling] : kNames) {
    if (name == spelling) return rule;
  }
  throw ConfigError("vote.rule", "one of majority, majority_early, sum, sum_log_softmax, last", name);
}

template <class S>
Matrix<S> class_scores(const ConstMatrixRef<S>& scores, Index classes) {
  if (classes < 1 || scores.cols() < classes || scores.cols() % classes != 0) {
    throw ShapeError("class_scores", "a whole number of groups of " + std::to_string(classes) + " classes",
                     std::to_string(scores.cols()) + " columns");
  }
  Matrix<double> sum = Matrix<double>::Zero(scores.rows(), classes);
  if (scores.rows() == 0) return sum.cast<S>();
  for (Index first = 0; first < scores.cols(); first += classes) sum += scores.middleCols(first, classes).template cast<double>();
  return sum.cast<S>();
}

template <class S>
std::vector<std::int32_t> predict(const ConstMatrixRef<S>& scores) {
  if (scores.cols() < 1) throw ShapeError("predict", "at least one class", "0");
  Predictions best(usize(scores.rows()));
  for (Index b = 0; b < scores.rows(); ++b) {
    const S* s = &scores.coeffRef(b, 0);
    best[usize(b)] = static_cast<std::int32_t>(std::max_element(s, s + scores.cols()) - s);
  }
  return best;
}

template <class S>
std::vector<std::int32_t> vote(VoteRule rule, std::span<const Matrix<S>> layers, double temperature) {
  require_layers(layers);
  switch (rule) {
    case VoteRule::majority:
      return majority_vote(predict_all(layers), layers.front().cols());
    case VoteRule::majority_early:
      return majority_early_vote<S>(predict_all(layers.first(layers.size() - 1)), layers.back());
    case VoteRule::sum:
      return predict<double>(summed(layers));
    case VoteRule::sum_log_softmax:
      return predict<double>(summed_log_softmax(layers, temperature));
    case VoteRule::last:
      return predict<S>(layers.back());
  }
  throw ShapeError("vote", "a named rule", std::to_string(static_cast<int>(rule)));
}

std::vector<std::int32_t> majority_vote(std::span<const Predictions> predictions, Index classes) {
  if (predictions.empty()) throw ShapeError("vote", "at least one layer");
  const std::size_t samples = predictions.front().size();
  require_samples(predictions, samples);
  Tally tally(classes);
  Predictions winners(samples);
  for (std::size_t b = 0; b < samples; ++b) {
    tally.count(predictions, b);
    std::size_t best = 0;
    for (std::size_t k = 1; k < usize(classes); ++k) {
      if (std::pair(tally.votes[k], tally.ranks[k]) > std::pair(tally.votes[best], tally.ranks[best])) best = k;
    }
    winners[b] = static_cast<std::int32_t>(best);
  }
  return winners;
}

template <class S>
std::vector<std::int32_t> majority_early_vote(std::span<const Predictions> early, const ConstMatrixRef<S>& last_scores) {
  require_samples(early, usize(last_scores.rows()));
  Tally tally(last_scores.cols());
  Predictions winners(usize(last_scores.rows()));
  for (Index b = 0; b < last_scores.rows(); ++b) {
    tally.count(early, usize(b));
    Index best = 0;
    for (Index k = 1; k < last_scores.cols(); ++k) {
      if (std::pair(tally.votes[usize(k)], last_scores(b, k)) > std::pair(tally.votes[usize(best)], last_scores(b, best))) best = k;
    }
    winners[usize(b)] = static_cast<std::int32_t>(best);
  }
  return winners;
}

template Matrix<float> class_scores<float>(const ConstMatrixRef<float>&, Index);
template Matrix<double> class_scores<double>(const ConstMatrixRef<double>&, Index);
template std::vector<std::int32_t> predict<float>(const ConstMatrixRef<float>&);
template std::vector<std::int32_t> predict<double>(const ConstMatrixRef<double>&);
template std::vector<std::int32_t> vote<float>(VoteRule, std::span<const Matrix<float>>, double);
template std::vector<std::int32_t> vote<double>(VoteRule, std::span<const Matrix<double>>, double);
template std::vector<std::int32_t> majority_early_vote<float>(std::span<const Predictions>, const ConstMatrixRef<float>&);
template std::vector<std::int32_t> majority_early_vote<double>(std::span<const Predictions>, const ConstMatrixRef<double>&);

}  // namespace ffzero
