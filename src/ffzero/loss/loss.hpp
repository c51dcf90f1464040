// Losses on scores.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>

#include "ffzero/base/registry.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// What a batch should become: labels 0 .. K-1 in classification, real values in regression; the other one is empty.
struct Targets {
  std::span<const std::int32_t> labels;
  std::span<const double> values;     ///< (B, outputs) row-major
  std::span<const double> weights{};  ///< (B) factors of the samples' losses, for losses that are weighted; empty: all 1
  Index outputs = 1;                  ///< values a sample
  [[nodiscard]] Index size() const noexcept { return labels.empty() ? isize(values.size()) / outputs : isize(labels.size()); }
  [[nodiscard]] Targets rows(Index first, Index count) const {
    return {labels.empty() ? labels : labels.subspan(usize(first), usize(count)),
            values.empty() ? values : values.subspan(usize(first * outputs), usize(count * outputs)),
            weights.empty() ? weights : weights.subspan(usize(first), usize(count)), outputs};
  }
};

/// A per-sample loss on scores (B, G * K): group g owns columns [g K, (g + 1) K). Classification losses look at each group alone, so there
/// are G losses a sample; `joint` losses (squared) look at the mean over groups, so there is 1. Evaluated in double.
template <class S>
class Loss {
 public:
  virtual ~Loss() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  /// True if the groups share one loss.
  [[nodiscard]] virtual bool joint() const = 0;

  /// losses (B, joint ? 1 : G), overwritten.   scores (B, G * K)   classes = K
  virtual void values(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<double> losses) const = 0;
  /// gs (B, G * K) = d(sum over groups of the sample's loss)/dscores, unreduced (neither summed nor averaged over the batch).
  virtual void gradient(const ConstMatrixRef<S>& scores, Index classes, const Targets& targets, MatrixRef<S> gs) const = 0;

  /// From now on the temperature is `factor` times that of construction; losses without one stay as they are.  factor > 0
  virtual void scale_temperature(double /*factor*/) {}
};

/// sum_k max(0, margin + s_k - s_true), k over all classes: the true one adds the constant `margin`  [docs/notation.md, Prototypes and
/// losses].
template <class S>
[[nodiscard]] std::unique_ptr<Loss<S>> make_margin_loss(double margin = 0.3);
/// 1 - s_true  [docs/notation.md, Prototypes and losses].
template <class S>
[[nodiscard]] std::unique_ptr<Loss<S>> make_cosine_loss();
/// -log softmax(s / temperature)_true, target mixed with the uniform distribution by `smoothing`  [docs/notation.md, Prototypes and
/// losses].
template <class S>
[[nodiscard]] std::unique_ptr<Loss<S>> make_cross_entropy_loss(double temperature = 1.0, double smoothing = 0.0);
/// log(1 + sum_{k != true} exp((margin + s_k - s_true) / temperature)): N pairs of the true class with the others, each softly `margin`
/// apart. The true class adds nothing of its own; margin = 0 is cross-entropy.
template <class S>
[[nodiscard]] std::unique_ptr<Loss<S>> make_n_pair_loss(double temperature, double margin);
/// (y - mean over groups of s)^2, K = 1; joint  [docs/notation.md, Prototypes and losses]. With T > 1 outputs each has a group and a loss
/// of its own, (y_t - s_g)^2 for t = g mod T, K = 1; or, K = T, the scores of a group are one for each output and their losses are added.
template <class S>
[[nodiscard]] std::unique_ptr<Loss<S>> make_squared_loss(Index outputs = 1);

/// `loss` with each sample's losses multiplied by its weight in the targets; the same loss where there are none.
template <class S>
[[nodiscard]] std::unique_ptr<Loss<S>> make_weighted_loss(std::unique_ptr<Loss<S>> loss);

struct CrossEntropyOptions {
  double temperature = 0.05;      ///< > 0; similarities are bounded and need a small one, raw outputs take 1
  double smoothing = 0.0;         ///< in [0, 1)
  double last_temperature = 0.0;  ///< >= 0; of the last step of a block's training, see temperature_factor; 0: `temperature`
};
struct NPairOptions {
  double temperature = 0.05;      ///< > 0
  double margin = 0.3;            ///< >= 0
  double last_temperature = 0.0;  ///< >= 0; as that of CrossEntropyOptions
};
struct MarginOptions {
  double margin = 0.3;  ///< >= 0
};
struct CosineOptions {};
struct SquaredOptions {};
/// A loss of losses(), by name.
struct NamedLoss {
  std::string name;
  NamedNumbers numbers = {};  ///< in place of its defaults
};
/// One of the losses above with its settings.
using LossOptions = std::variant<CrossEntropyOptions, NPairOptions, MarginOptions, CosineOptions, SquaredOptions, NamedLoss>;

/// A loss in double; networks of float get it behind a conversion. numbers: all that its entry names   outputs: targets of a regression, 1
/// in classification
using LossFactory = std::function<std::unique_ptr<Loss<double>>(const NamedNumbers& numbers, Index outputs)>;
/// What the key objective.loss chooses from: margin, cosine, cross_entropy, n_pair, squared, and whatever was added.
[[nodiscard]] Registry<LossFactory>& losses();

/// Of the temperature at step `step` of `steps` of a training: from 1 to last_temperature / temperature, by the same factor from each step
/// to the next; 1 where the options have no last temperature.
[[nodiscard]] double temperature_factor(const LossOptions& options, Index step, Index steps);

/// @throws ConfigError if there is no loss of that name
template <class S>
[[nodiscard]] std::unique_ptr<Loss<S>> make_loss(const LossOptions& options, Index outputs = 1);

}  // namespace ffzero
