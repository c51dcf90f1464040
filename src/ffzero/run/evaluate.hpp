// A trained network put to use: evaluated on a data set, asked about single samples.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ffzero/run/run.hpp"
#include "ffzero/train/predictor.hpp"

namespace ffzero {

/// The network of a run or checkpoint with everything that is needed to apply it.
class TrainedNetwork {
 public:
  /// run: a run folder, finished or not, or a checkpoint file. threads 0: all cores. @throws DataError naming the file.
  /// devices: of a run with devices, which are connected: UsageError unless they are named or trusted, DeviceError if one is not there.
  [[nodiscard]] static TrainedNetwork load(const std::filesystem::path& run, int threads = 0, const DeviceAccess& devices = {});

  /// The network of a run that was loaded already. @throws DataError naming run.place unless it can be built
  explicit TrainedNetwork(LoadedRun run, int threads = 0);

  [[nodiscard]] const Config& config() const noexcept { return run_.config; }
  [[nodiscard]] const TrainerState& state() const noexcept { return run_.state; }
  [[nodiscard]] const Predictor& predictor() const noexcept { return predictor_; }

  [[nodiscard]] const Network<float>& network() const noexcept { return predictor_.network(); }
  [[nodiscard]] const Encoder& encoder() const noexcept { return predictor_.encoder(); }
  [[nodiscard]] const std::vector<Voter>& voters() const noexcept { return predictor_.voters(); }
  [[nodiscard]] std::string vote_rule() const { return predictor_.vote_rule(); }
  [[nodiscard]] std::size_t deciding_voter() const noexcept { return predictor_.deciding_voter(); }
  [[nodiscard]] Task task() const noexcept { return predictor_.task(); }
  [[nodiscard]] const DatasetInfo& info() const noexcept { return predictor_.info(); }
  [[nodiscard]] bool takes_bytes() const noexcept { return predictor_.takes_bytes(); }
  /// The file's number for class k; k itself for classes named by texts (info().class_texts).
  [[nodiscard]] std::int32_t class_name(std::int32_t k) const;
  /// As Predictor::predict.
  [[nodiscard]] Opinions infer(const Dataset& samples, const std::string& place) const { return predictor_.predict(samples, place); }

 private:
  LoadedRun run_;
  Predictor predictor_;
};

/// Scores that all voters together give N samples, (N, K): the mean over the voters, or those of the one that decides. Regression: of the
/// layer that decides, on the scale of training. opinions: of `network`
[[nodiscard]] Matrix<float> joint_scores(const TrainedNetwork& network, const Opinions& opinions);
/// True if scores are similarities to prototypes (-1 .. 1 each), false if they are raw outputs.
[[nodiscard]] bool gives_similarities(const TrainedNetwork& network);

/// Result on one data set.
struct Evaluation {
  std::string dataset, metric;  ///< metric: accuracy | r2
  Index samples = 0;
  std::vector<double> layers;      ///< one a voter; several targets: the mean of their R^2
  std::vector<double> outputs{};   ///< R^2 of each target, by the voter that decides; empty in classification
  std::optional<double> vote;      ///< classification with several voters
  double final_value = 0.0;        ///< the vote, or the voter that decides
  Matrix<std::int64_t> confusion;  ///< (K, K): row = true class, column = decision; 0 x 0 in regression
};

/// @throws DataError naming `place` if shape, type or classes differ from those of the training.
[[nodiscard]] Evaluation evaluate(const TrainedNetwork& network, const Dataset& data, const std::string& place);
/// {"dataset","metric","samples","layers":[{"name","value"}],"vote":{"rule","value"}|null,"final","classes","confusion"}, in classification
/// also "balanced_accuracy" and "recall", with several targets "outputs":[{"name","r2"}]
[[nodiscard]] nlohmann::ordered_json to_json(const Evaluation& evaluation, const TrainedNetwork& network);

/// Samples without labels, for TrainedNetwork::infer: a picture (PGM, PPM, PNG), IDX images, an npz with the array x, else x_test, or, for
/// a network trained on one, a csv with its columns; the kind is recognised by content. @throws DataError naming the file: unreadable, of
/// another kind, NaN, or of another size or type than the network takes.
[[nodiscard]] Dataset read_samples(const std::filesystem::path& path, const TrainedNetwork& network);

/// What a checkpoint says: settings, layers with shapes, parameters and norms, results, evaluations, where it stands.
[[nodiscard]] nlohmann::ordered_json inspect_network(const TrainedNetwork& trained);
/// Everything that a run folder says about itself, finished or not: inspect_network, how to go on, and the summary. @throws DataError if
/// there is no readable checkpoint.
[[nodiscard]] nlohmann::ordered_json inspect_run(const std::filesystem::path& run);

}  // namespace ffzero
