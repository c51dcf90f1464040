// What the parts of one training share: the plan, the data, the network, the account of evaluations.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "ffzero/dataset/load.hpp"
#include "ffzero/encode/encoder.hpp"
#include "ffzero/train/block_setup.hpp"
#include "ffzero/train/instruments.hpp"
#include "ffzero/train/network.hpp"
#include "ffzero/train/plan.hpp"
#include "ffzero/train/source.hpp"

namespace ffzero {

/// The parts of a trainer keep references into it: it stays where it is.
template <class S>
struct TrainSession {
  /// splits outlive the session. @throws ConfigError if samples, classes, plan and network do not fit each other, or a map cannot serve its
  /// estimator
  TrainSession(const TrainPlan& plan, Network<S>&& network, const Splits& splits, std::shared_ptr<const Executor> executor);
  TrainSession(const TrainSession&) = delete;
  TrainSession& operator=(const TrainSession&) = delete;

  /// Bills `samples` evaluations to an account of each of layers [first, last).
  void bill(Index first, Index last, std::int64_t Evaluations::*account, Index samples);
  /// Bills the layers before the block that `source` evaluates again for these samples; nothing where it keeps their outputs.
  void bill_recomputed(const SampleSource<S>& source, std::int64_t Evaluations::*account, Index samples);
  /// Puts the fitted front end of the current block before what the sources gather.
  void apply_fronts();
  /// Positions of the samples in the order of an epoch of this block.
  [[nodiscard]] std::vector<std::uint32_t> order_of(const BlockSetup<S>& setup, Index epoch) const;

  const TrainPlan plan;
  const Splits& splits;
  const std::shared_ptr<const Executor> executor;
  Encoder encoder;
  Network<S> network;
  Ledger ledger;
  Skipped skipped;
  std::vector<BlockSetup<S>> blocks;
  SampleSource<S> train, test;
  std::optional<SampleSource<S>> validation;
  Instruments<S> instruments;
};

extern template struct TrainSession<float>;
extern template struct TrainSession<double>;

}  // namespace ffzero
