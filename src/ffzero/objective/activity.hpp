// Output gradients from perturbed activations, sample by sample.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "ffzero/base/random.hpp"
#include "ffzero/head/head.hpp"
#include "ffzero/loss/loss.hpp"

namespace ffzero {

/// Where the perturbations u of a sample's activation live.
enum class ActivitySpace {
  prototypes,  ///< every prototype once: K read-out pairs give the whole gradient
  span,        ///< random unit vectors in the span of the prototypes
  full,        ///< random unit vectors of the whole output space
};

struct ActivityPerturbation {
  ActivitySpace space = ActivitySpace::prototypes;
  Index directions = 1;  ///< m of span and full
  double eps = 1e-3;     ///< length of the perturbation, > 0
};

template <class S>
struct ActivityOptions {
  const Head<S>& head;  ///< must be a PrototypeHead
  const Loss<double>& loss;
  ActivityPerturbation perturbation;
};

/// gz (B, d), overwritten: estimate of the gradient of each sample's loss (summed over the groups) with respect to its activation.
/// a (B, d)   random: draws u, addressed by row `first_row` + b and direction, so shards draw apart.
/// delta = (l(a + eps u) - l(a - eps u)) / (2 eps), in double. prototypes: with c_k = delta along r_k and s = R a/|a|, the gradient is
/// R^T alpha + beta a/|a|, beta = -s^T alpha, (R R^T - s s^T) alpha = c: exact as eps -> 0. span, full: (dimension/m) sum_j delta_j u_j.
/// Where a is 0 and the head has no floor the estimate is 0, as the head's slope is.
/// @throws ConfigError if the head has no prototypes.
template <class S>
void activity_output_gradient(const ActivityOptions<S>& options, const ConstMatrixRef<S>& a, const Targets& targets,
                              const RandomStream& random, Index first_row, MatrixRef<S> gz);

/// The same in two parts, so that slopes may come from elsewhere: the only numbers of an estimate that are measured.
template <class S>
class ActivityReading {
 public:
  explicit ActivityReading(const ActivityOptions<S>& options);
  ~ActivityReading();
  ActivityReading(ActivityReading&&) noexcept;
  ActivityReading& operator=(ActivityReading&&) noexcept;

  /// Slopes of one sample: one for every nudge and group.
  [[nodiscard]] static Index slopes_of_sample(const ActivityOptions<S>& options);
  /// Looks at samples with these activations (rows, d), addressed as activity_output_gradient does. @throws ConfigError if the head has no
  /// prototypes
  void begin(const ConstMatrixRef<S>& a, const RandomStream& random, Index first_row);
  /// slopes (count, slopes_of_sample), overwritten: those of samples [first, first + count).  a: that of begin()   targets: of these
  /// samples
  void measure(const ConstMatrixRef<S>& a, Index first, Index count, const Targets& targets, MatrixRef<double> slopes) const;
  /// gz (rows, d), overwritten, from the slopes of all samples.  a: that of begin()
  void gradient(const ConstMatrixRef<S>& a, const ConstMatrixRef<double>& slopes, MatrixRef<S> gz) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Evaluations that one sample costs: the layer itself and its read-outs, each billed as one. Groups are read out together, unless they
/// share one (joint) loss: then each is perturbed alone.
template <class S>
[[nodiscard]] Index activity_cost(const ActivityPerturbation& perturbation, const Head<S>& head, bool joint_loss) {
  const Index directions = perturbation.space == ActivitySpace::prototypes ? head.classes() : perturbation.directions;
  return 1 + 2 * directions * (joint_loss ? head.groups() : 1);
}

extern template class ActivityReading<float>;
extern template class ActivityReading<double>;

}  // namespace ffzero
