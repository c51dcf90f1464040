// Forward evaluations, counted exactly as a device would be billed.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// What was evaluated for which purpose; unit: one sample through one layer, once  [docs/notation.md, Symbols and shapes].
struct Evaluations {
  std::int64_t training = 0;     ///< steps of the trajectory
  std::int64_t propagation = 0;  ///< passes of frozen layers that make the next layer's data set, and fits on them
  std::int64_t logging = 0;      ///< metrics during and after training
  std::int64_t replayed = 0;     ///< what a resumed run had to repeat
  std::int64_t pullbacks = 0;    ///< exact derivatives (not forward evaluations: counted apart)
  std::int64_t checks = 0;       ///< exact derivatives that training never sees: the first step of a block is held against them
  std::int64_t failed = 0;       ///< readings of an instrument in work that was taken back because it failed, and that were not kept

  friend bool operator==(const Evaluations&, const Evaluations&) = default;
};

/// One account a layer. The single place where evaluations are counted: `bill` is the only way in.
class Ledger {
 public:
  explicit Ledger(Index layers = 0) : layers_(usize(layers)) {}

  [[nodiscard]] const Evaluations& layer(Index i) const { return layers_.at(usize(i)); }
  [[nodiscard]] Index layers() const noexcept { return isize(layers_.size()); }

  /// Adds `evaluations` to one account of each of the layers [first, last). Less than 0 takes back what was billed to another account.
  void bill(Index first, Index last, std::int64_t Evaluations::*account, std::int64_t evaluations) {
    for (Index i = first; i < last; ++i) layers_.at(usize(i)).*account += evaluations;
  }
  /// The accounts of layer i as they were saved.
  void restore(Index i, const Evaluations& saved) { layers_.at(usize(i)) = saved; }

  [[nodiscard]] Evaluations total() const {
    Evaluations sum;
    for (const Evaluations& e : layers_) {
      sum.training += e.training;
      sum.propagation += e.propagation;
      sum.logging += e.logging;
      sum.replayed += e.replayed;
      sum.pullbacks += e.pullbacks;
      sum.checks += e.checks;
      sum.failed += e.failed;
    }
    return sum;
  }

  friend bool operator==(const Ledger&, const Ledger&) = default;

 private:
  std::vector<Evaluations> layers_;
};

}  // namespace ffzero
