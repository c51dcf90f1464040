// Margin, cosine, cross-entropy and squared loss with their exact gradients.
// SPDX-License-Identifier: MIT
#include "ffzero/loss/loss.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/loss/hinge_kernel-inl.hpp"
#include "ffzero/loss/softmax_kernel-inl.hpp"

namespace ffzero {

namespace {

void require_shape(const char* what, Index rows, Index cols, Index want_rows, Index want_cols) {
  if (rows == want_rows && cols == want_cols) return;
  throw ShapeError("loss", std::string(what) + " must be " + std::to_string(want_rows) + " x " + std::to_string(want_cols),
                   std::to_string(rows) + " x " + std::to_string(cols));
}

/// Number of groups of scores (B, G * K).
Index group_count(Index columns, Index classes) {
  if (classes < 1 || columns < classes || columns % classes != 0) {
    throw ShapeError("loss", "scores need a whole number of groups of " + std::to_string(classes) + " classes",
                     std::to_string(columns) + " columns");
  }
  return columns / classes;
}

/// losses[row * stride + group] = value(scores of the group, classes, label).
template <class S, class Value>
void each_value(const ScoreRows<S>& x, double* losses, Index stride, Value value) {
  for (Index b = 0; b < x.rows; ++b)
    for (Index g = 0; g < x.groups; ++g)
      losses[b * stride + g] = value(x.data + b * x.stride + g * x.classes, x.classes, Index{x.labels[b]});
}

/// Losses that look at one group of one sample: the derived class gives `values_of(scores, losses, stride)` with labels that are in range
/// and `gradient_of(s, K, label, g)`.
template <class S, class Derived>
class GroupLoss : public Loss<S> {
 public:
  [[nodiscard]] bool joint() const override { return false; }

  void values(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<double> losses) const override {
    const Index groups = group_count(scores.cols(), classes);
    require_shape("the losses", losses.rows(), losses.cols(), scores.rows(), groups);
    require_labels(targets, scores.rows());
    for (Index b = 0; b < scores.rows(); ++b) static_cast<void>(checked_label(targets, b, classes));
    self().values_of({.data = scores.data(),
                      .stride = scores.outerStride(),
                      .rows = scores.rows(),
                      .groups = groups,
                      .classes = classes,
                      .labels = targets.labels.data()},
                     losses.data(), losses.outerStride());
  }

  void gradient(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<S> gs) const override {
    const Index groups = group_count(scores.cols(), classes);
    require_shape("the gradient", gs.rows(), gs.cols(), scores.rows(), scores.cols());
    require_labels(targets, scores.rows());
    for (Index b = 0; b < scores.rows(); ++b) {
      const Index label = checked_label(targets, b, classes);
      for (Index g = 0; g < groups; ++g) {
        self().gradient_of(&scores.coeffRef(b, g * classes), classes, label, &gs.coeffRef(b, g * classes));
      }
    }
  }

 private:
  [[nodiscard]] const Derived& self() const noexcept { return static_cast<const Derived&>(*this); }

  void require_labels(const Targets& targets, Index rows) const {
    if (isize(targets.labels.size()) == rows) return;
    throw ShapeError(this->name() + " loss", "one label per sample",
                     std::to_string(targets.labels.size()) + " labels for " + std::to_string(rows) + " samples",
                     targets.values.empty() ? "" : "use the squared loss for real targets");
  }

  [[nodiscard]] Index checked_label(const Targets& targets, Index b, Index classes) const {
    const Index label = targets.labels[usize(b)];
    if (label < 0 || label >= classes) {
      throw ShapeError(this->name() + " loss", "labels must lie in 0 .. " + std::to_string(classes - 1), std::to_string(label));
    }
    return label;
  }
};

template <class S>
class MarginLoss final : public GroupLoss<S, MarginLoss<S>> {
 public:
  explicit MarginLoss(double margin) : margin_(margin) {
    if (!(margin >= 0.0) || !std::isfinite(margin)) {
      throw ConfigError("margin loss", "margin must be finite and not negative", std::to_string(margin));
    }
  }
  [[nodiscard]] std::string name() const override { return "margin"; }

  void values_of(const ScoreRows<S>& scores, double* losses, Index stride) const {
    hinge_kernel::hinge_sums(scores, margin_, losses, stride);
  }

  void gradient_of(const S* s, Index classes, Index label, S* g) const {
    const double offset = margin_ - static_cast<double>(s[label]);
    Index active = 0;
    for (Index k = 0; k < classes; ++k) {
      const bool on = k != label && !(offset + static_cast<double>(s[k]) <= 0.0);
      g[k] = on ? S{1} : S{0};
      active += on ? 1 : 0;
    }
    g[label] = -static_cast<S>(active);
  }

 private:
  double margin_;
};

template <class S>
class CosineLoss final : public GroupLoss<S, CosineLoss<S>> {
 public:
  [[nodiscard]] std::string name() const override { return "cosine"; }

  void values_of(const ScoreRows<S>& scores, double* losses, Index stride) const {
    each_value(scores, losses, stride, [](const S* s, Index /*classes*/, Index label) { return 1.0 - static_cast<double>(s[label]); });
  }

  void gradient_of(const S* /*s*/, Index classes, Index label, S* g) const {
    std::fill(g, g + classes, S{0});
    g[label] = S{-1};
  }
};

// Cross-entropy over s / temperature; with a margin the true class's score is lowered by it first: the N-pair loss.
template <class S>
class SoftmaxLoss final : public GroupLoss<S, SoftmaxLoss<S>> {
 public:
  SoftmaxLoss(const char* name, double temperature, double smoothing, double margin)
      : name_(name), temperature_(temperature), inverse_temperature_(1.0 / temperature), smoothing_(smoothing), margin_(margin) {
    if (!(temperature > 0.0) || !std::isfinite(temperature)) {
      throw ConfigError(name_ + " loss", "temperature must be finite and above 0", std::to_string(temperature));
    }
    if (!(smoothing >= 0.0 && smoothing < 1.0)) {
      throw ConfigError(name_ + " loss", "smoothing must lie in [0, 1)", std::to_string(smoothing));
    }
    if (!(margin >= 0.0) || !std::isfinite(margin)) {
      throw ConfigError(name_ + " loss", "margin must be finite and not negative", std::to_string(margin));
    }
  }
  [[nodiscard]] std::string name() const override { return name_; }
  void scale_temperature(double factor) override { inverse_temperature_ = 1.0 / (temperature_ * factor); }

  void values_of(const ScoreRows<S>& scores, double* losses, Index stride) const {
    softmax_kernel::softmax_losses(scores, {inverse_temperature_, smoothing_, margin_}, losses, stride);
  }

  void gradient_of(const S* s, Index classes, Index label, S* g) const {
    const double top = static_cast<double>(*std::max_element(s, s + classes));
    double mass = 0.0;
    for (Index first = 0; first < classes; first += kPiece) {
      const Piece piece = exponentials(s, top, first, classes, label);
      for (Index k = 0; k < piece.size; ++k) mass += piece.values[usize(k)];
    }
    const double uniform = smoothing_ / static_cast<double>(classes);
    for (Index first = 0; first < classes; first += kPiece) {
      const Piece piece = exponentials(s, top, first, classes, label);
      for (Index k = 0; k < piece.size; ++k) {
        const double target = uniform + (first + k == label ? 1.0 - smoothing_ : 0.0);
        g[first + k] = static_cast<S>((piece.values[usize(k)] / mass - target) * inverse_temperature_);
      }
    }
  }

 private:
  static constexpr Index kPiece = 64;
  /// Classes first .. first + size - 1.
  struct Piece {
    std::array<double, kPiece> values{};
    Index size = 0;
  };

  [[nodiscard]] Piece exponentials(const S* s, double top, Index first, Index classes, Index label) const {
    Piece piece;
    piece.size = std::min(kPiece, classes - first);
    for (Index k = 0; k < piece.size; ++k) piece.values[usize(k)] = (static_cast<double>(s[first + k]) - top) * inverse_temperature_;
    if (label >= first && label < first + piece.size)
      piece.values[usize(label - first)] = (static_cast<double>(s[label]) - margin_ - top) * inverse_temperature_;
    softmax_kernel::exp_in_place(piece.values.data(), piece.size);
    return piece;
  }

  std::string name_;
  double temperature_, inverse_temperature_;
  double smoothing_;
  double margin_;
};

template <class S>
class SquaredLoss final : public Loss<S> {
 public:
  [[nodiscard]] std::string name() const override { return "squared"; }
  [[nodiscard]] bool joint() const override { return true; }

  void values(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<double> losses) const override {
    require_regression(scores, classes, targets);
    require_shape("the losses", losses.rows(), losses.cols(), scores.rows(), 1);
    for (Index b = 0; b < scores.rows(); ++b) {
      const double miss = mean_of_row(scores, b) - static_cast<double>(targets.values[usize(b)]);
      losses(b, 0) = miss * miss;
    }
  }

  void gradient(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<S> gs) const override {
    require_regression(scores, classes, targets);
    require_shape("the gradient", gs.rows(), gs.cols(), scores.rows(), scores.cols());
    const double share = 2.0 / static_cast<double>(scores.cols());
    for (Index b = 0; b < scores.rows(); ++b) {
      const double miss = mean_of_row(scores, b) - static_cast<double>(targets.values[usize(b)]);
      gs.row(b).setConstant(static_cast<S>(share * miss));
    }
  }

 private:
  static void require_regression(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets) {
    if (classes != 1) throw ShapeError("squared loss", "one score per group", std::to_string(classes));
    if (scores.cols() < 1) throw ShapeError("squared loss", "at least one group of scores", "0");
    if (isize(targets.values.size()) != scores.rows()) {
      throw ShapeError("squared loss", "one real target per sample",
                       std::to_string(targets.values.size()) + " targets for " + std::to_string(scores.rows()) + " samples");
    }
  }

  static double mean_of_row(const ConstMatrixRef<S>& scores, Index b) {
    double sum = 0.0;
    for (Index g = 0; g < scores.cols(); ++g) sum += static_cast<double>(scores(b, g));
    return sum / static_cast<double>(scores.cols());
  }
};

// Several outputs: each is learnt by itself.
template <class S>
class OutputwiseSquaredLoss final : public Loss<S> {
 public:
  explicit OutputwiseSquaredLoss(Index outputs) : outputs_(outputs) {}
  [[nodiscard]] std::string name() const override { return "squared"; }
  [[nodiscard]] bool joint() const override { return false; }

  void values(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<double> losses) const override {
    const Index groups = require_regression(scores, classes, targets);
    require_shape("the losses", losses.rows(), losses.cols(), scores.rows(), groups);
    for (Index b = 0; b < scores.rows(); ++b)
      for (Index g = 0; g < groups; ++g) {
        double sum = 0.0;
        for (Index k = 0; k < classes; ++k) {
          const double miss = miss_of(scores, targets, b, g * classes + k);
          sum += miss * miss;
        }
        losses(b, g) = sum;
      }
  }

  void gradient(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<S> gs) const override {
    static_cast<void>(require_regression(scores, classes, targets));
    require_shape("the gradient", gs.rows(), gs.cols(), scores.rows(), scores.cols());
    for (Index b = 0; b < scores.rows(); ++b)
      for (Index c = 0; c < scores.cols(); ++c) gs(b, c) = static_cast<S>(2.0 * miss_of(scores, targets, b, c));
  }

 private:
  // Column c is of output c mod T in both layouts.
  [[nodiscard]] double miss_of(const ConstMatrixRef<S>& scores, const Targets& targets, Index b, Index c) const {
    return static_cast<double>(scores(b, c)) - targets.values[usize(b * outputs_ + c % outputs_)];
  }

  [[nodiscard]] Index require_regression(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets) const {
    if (classes != 1 && classes != outputs_)
      throw ShapeError("squared loss", "one score per group, or one for each of " + std::to_string(outputs_) + " outputs",
                       std::to_string(classes));
    if (scores.cols() < 1 || scores.cols() % outputs_ != 0)
      throw ShapeError("squared loss", "scores of all " + std::to_string(outputs_) + " outputs",
                       std::to_string(scores.cols()) + " columns");
    if (targets.outputs != outputs_ || isize(targets.values.size()) != scores.rows() * outputs_)
      throw ShapeError("squared loss", std::to_string(outputs_) + " real targets per sample",
                       std::to_string(targets.values.size()) + " targets for " + std::to_string(scores.rows()) + " samples");
    return scores.cols() / classes;
  }

  Index outputs_;
};

// A loss in double behind scores of S.
template <class S>
class ConvertedLoss final : public Loss<S> {
 public:
  explicit ConvertedLoss(std::unique_ptr<Loss<double>> loss) : loss_(std::move(loss)) {}
  [[nodiscard]] std::string name() const override { return loss_->name(); }
  [[nodiscard]] bool joint() const override { return loss_->joint(); }
  void scale_temperature(double factor) override { loss_->scale_temperature(factor); }
  void values(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<double> losses) const override {
    loss_->values(scores.template cast<double>(), classes, targets, losses);
  }
  void gradient(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<S> gs) const override {
    Matrix<double> exact(gs.rows(), gs.cols());
    loss_->gradient(scores.template cast<double>(), classes, targets, exact);
    gs = exact.template cast<S>();
  }

 private:
  std::unique_ptr<Loss<double>> loss_;
};

template <class S>
class WeightedLoss final : public Loss<S> {
 public:
  explicit WeightedLoss(std::unique_ptr<Loss<S>> loss) : loss_(std::move(loss)) {}
  [[nodiscard]] std::string name() const override { return loss_->name(); }
  [[nodiscard]] bool joint() const override { return loss_->joint(); }
  void scale_temperature(double factor) override { loss_->scale_temperature(factor); }

  void values(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<double> losses) const override {
    loss_->values(scores, classes, targets, losses);
    each_weight(targets, scores.rows(), [&](Index b, double weight) { losses.row(b) *= weight; });
  }

  void gradient(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<S> gs) const override {
    loss_->gradient(scores, classes, targets, gs);
    each_weight(targets, scores.rows(), [&](Index b, double weight) { gs.row(b) *= static_cast<S>(weight); });
  }

 private:
  template <class Use>
  void each_weight(const Targets& targets, Index rows, Use use) const {
    if (targets.weights.empty()) return;
    if (isize(targets.weights.size()) != rows)
      throw ShapeError(name() + " loss", "one weight per sample",
                       std::to_string(targets.weights.size()) + " weights for " + std::to_string(rows) + " samples");
    for (Index b = 0; b < rows; ++b) use(b, targets.weights[usize(b)]);
  }

  std::unique_ptr<Loss<S>> loss_;
};

}  // namespace

template <class S>
std::unique_ptr<Loss<S>> make_margin_loss(double margin) {
  return std::make_unique<MarginLoss<S>>(margin);
}

template <class S>
std::unique_ptr<Loss<S>> make_cosine_loss() {
  return std::make_unique<CosineLoss<S>>();
}

template <class S>
std::unique_ptr<Loss<S>> make_cross_entropy_loss(double temperature, double smoothing) {
  return std::make_unique<SoftmaxLoss<S>>("cross_entropy", temperature, smoothing, 0.0);
}

template <class S>
std::unique_ptr<Loss<S>> make_n_pair_loss(double temperature, double margin) {
  return std::make_unique<SoftmaxLoss<S>>("n_pair", temperature, 0.0, margin);
}

template <class S>
std::unique_ptr<Loss<S>> make_squared_loss(Index outputs) {
  if (outputs > 1) return std::make_unique<OutputwiseSquaredLoss<S>>(outputs);
  return std::make_unique<SquaredLoss<S>>();
}

Registry<LossFactory>& losses() {
  using Entry = Registry<LossFactory>::Entry;
  static Registry<LossFactory> all(
      "objective.loss",
      {Entry{.name = "margin",
             .doc = "Hinge: every other class stays a margin behind the true one.",
             .numbers = {{"margin", MarginOptions{}.margin}},
             .make = [](const NamedNumbers& n, Index) { return make_margin_loss<double>(n.at("margin")); }},
       Entry{.name = "cosine",
             .doc = "1 minus the similarity with the true class.",
             .make = [](const NamedNumbers&, Index) { return make_cosine_loss<double>(); }},
       Entry{.name = "cross_entropy",
             .doc = "Minus the logarithm of the softmax of the true class.",
             .numbers = {{"temperature", CrossEntropyOptions{}.temperature}, {"smoothing", CrossEntropyOptions{}.smoothing}},
             .make = [](const NamedNumbers& n, Index) { return make_cross_entropy_loss<double>(n.at("temperature"), n.at("smoothing")); }},
       Entry{.name = "n_pair",
             .doc = "Pairs of the true class with the others, each softly a margin apart.",
             .numbers = {{"temperature", NPairOptions{}.temperature}, {"margin", NPairOptions{}.margin}},
             .make = [](const NamedNumbers& n, Index) { return make_n_pair_loss<double>(n.at("temperature"), n.at("margin")); }},
       Entry{.name = "squared",
             .doc = "Square of the difference from the target: for regression.",
             .make = [](const NamedNumbers&, Index outputs) { return make_squared_loss<double>(outputs); }}});
  return all;
}

double temperature_factor(const LossOptions& options, Index step, Index steps) {
  const auto factor = [&](double first, double last) {
    return last > 0.0 ? std::pow(last / first, static_cast<double>(step) / static_cast<double>(std::max<Index>(1, steps - 1))) : 1.0;
  };
  if (const auto* o = std::get_if<CrossEntropyOptions>(&options)) return factor(o->temperature, o->last_temperature);
  if (const auto* o = std::get_if<NPairOptions>(&options)) return factor(o->temperature, o->last_temperature);
  return 1.0;
}

template <class S>
std::unique_ptr<Loss<S>> make_loss(const LossOptions& options, Index outputs) {
  struct Maker {
    Index outputs;
    std::unique_ptr<Loss<S>> operator()(const CrossEntropyOptions& o) const {
      return make_cross_entropy_loss<S>(o.temperature, o.smoothing);
    }
    std::unique_ptr<Loss<S>> operator()(const NPairOptions& o) const { return make_n_pair_loss<S>(o.temperature, o.margin); }
    std::unique_ptr<Loss<S>> operator()(const MarginOptions& o) const { return make_margin_loss<S>(o.margin); }
    std::unique_ptr<Loss<S>> operator()(const CosineOptions& /*none*/) const { return make_cosine_loss<S>(); }
    std::unique_ptr<Loss<S>> operator()(const SquaredOptions& /*none*/) const { return make_squared_loss<S>(outputs); }
    std::unique_ptr<Loss<S>> operator()(const NamedLoss& o) const {
      auto loss = losses().at(o.name).make(losses().numbers(o.name, o.numbers), outputs);
      if constexpr (std::is_same_v<S, double>)
        return loss;
      else
        return std::make_unique<ConvertedLoss<S>>(std::move(loss));
    }
  };
  return std::visit(Maker{outputs}, options);
}

template <class S>
std::unique_ptr<Loss<S>> make_weighted_loss(std::unique_ptr<Loss<S>> loss) {
  return std::make_unique<WeightedLoss<S>>(std::move(loss));
}

template std::unique_ptr<Loss<float>> make_loss<float>(const LossOptions&, Index);
template std::unique_ptr<Loss<double>> make_loss<double>(const LossOptions&, Index);
template std::unique_ptr<Loss<float>> make_margin_loss<float>(double);
template std::unique_ptr<Loss<double>> make_margin_loss<double>(double);
template std::unique_ptr<Loss<float>> make_cosine_loss<float>();
template std::unique_ptr<Loss<double>> make_cosine_loss<double>();
template std::unique_ptr<Loss<float>> make_cross_entropy_loss<float>(double, double);
template std::unique_ptr<Loss<double>> make_cross_entropy_loss<double>(double, double);
template std::unique_ptr<Loss<float>> make_n_pair_loss<float>(double, double);
template std::unique_ptr<Loss<double>> make_n_pair_loss<double>(double, double);
template std::unique_ptr<Loss<float>> make_squared_loss<float>(Index);
template std::unique_ptr<Loss<double>> make_squared_loss<double>(Index);
template std::unique_ptr<Loss<float>> make_weighted_loss<float>(std::unique_ptr<Loss<float>>);
template std::unique_ptr<Loss<double>> make_weighted_loss<double>(std::unique_ptr<Loss<double>>);

}  // namespace ffzero
