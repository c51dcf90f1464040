// A trained network put to use.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ffzero/train/network.hpp"
#include "ffzero/train/state.hpp"

namespace ffzero {

/// What the voters say about N samples. A voter is what was trained as one: a layer (local), a few layers (grouped), the network (end to
/// end).
struct Opinions {
  std::vector<Matrix<float>> scores;  ///< one (N, K) a voter: mean similarity over its groups, or raw outputs; regression: K targets
  std::vector<std::vector<std::int32_t>> predictions;  ///< one (N) a voter; classification only
  std::vector<std::int32_t> decision;                  ///< (N): the vote, or the only voter's prediction; classification only
};

struct Voter {
  std::string name;      ///< "dense0", "conv1", "mesh0"; "all" end to end
  Index last_layer = 0;  ///< position of its last layer
  Index parameters = 0;
};

/// A network with everything that is needed to apply it: the scale of the features, the vote, the names of the classes. Immutable: any
/// number of threads may ask it at once, while others train other networks. Maps belong to the layers that were given: a predictor whose
/// maps are also in a network that is being trained must not be asked meanwhile if they have a state (statistics of a batch normalisation)
/// or are one device; make the layers anew for it.
class Predictor {
 public:
  /// layers: made as for the training, on any parameters: those of `state` are put into them. `place` names the state in messages.
  /// executor: threads that work at once on one question; null: one for every core.
  /// @throws DataError if the state does not fit the layers, or does not say how they decide
  Predictor(Network<float> layers, const TrainerState& state, const std::string& place = "TrainerState",
            std::shared_ptr<const Executor> executor = nullptr);

  [[nodiscard]] const Network<float>& network() const noexcept { return network_; }
  /// What turns raw samples into inputs of the network, with the scale of the features that the train split had.
  [[nodiscard]] const Encoder& encoder() const noexcept { return encoder_; }
  [[nodiscard]] const std::vector<Voter>& voters() const noexcept { return voters_; }
  /// Position of the voter that decides where one does: the last, or the one that was chosen (TrainPlan::best_layer).
  [[nodiscard]] std::size_t deciding_voter() const noexcept { return deciding_; }
  /// Name of the rule by which the voters decide; empty if there is only one or in regression.
  [[nodiscard]] std::string vote_rule() const;
  /// The same; VoteRule::last where there is no vote.
  [[nodiscard]] VoteRule rule() const noexcept { return rule_; }
  /// Empty if there is only one voter or in regression.
  [[nodiscard]] const std::optional<VoteOptions>& vote() const noexcept { return vote_; }
  [[nodiscard]] Task task() const noexcept { return info_.task; }
  /// Shape, classes, names and scale of the training data.
  [[nodiscard]] const DatasetInfo& info() const noexcept { return info_; }
  /// True if the network was trained on pixels 0 .. 255, false for real numbers.
  [[nodiscard]] bool takes_bytes() const noexcept { return bytes_; }

  /// samples: (N, info().shape.size()), each raw as in the train set, planes row-major; pixels as whole numbers 0 .. 255.
  /// Cost: one forward evaluation of every layer a sample. @throws DataError for another width, a number that is not finite, or no pixel
  [[nodiscard]] Opinions predict(const ConstMatrixRef<float>& samples) const;
  /// The same for a data set; its labels are not looked at. @throws DataError naming `place` unless samples have the shape and the type of
  /// the training data.
  [[nodiscard]] Opinions predict(const Dataset& samples, const std::string& place) const;
  /// What the voter that decides says about N samples, in the units of the user: (N, T). Regression only; else 0 x 0.
  [[nodiscard]] Matrix<double> values(const Opinions& opinions) const;

 private:
  void find_voters(const PredictionPlan& plan, const std::string& place);

  std::shared_ptr<const Executor> executor_;
  DatasetInfo info_;
  bool bytes_;
  Encoder encoder_;
  Network<float> network_;
  std::optional<VoteOptions> vote_;
  VoteRule rule_ = VoteRule::last;
  Index evaluation_rows_;
  std::vector<Voter> voters_;
  std::size_t deciding_ = 0;
};

}  // namespace ffzero
