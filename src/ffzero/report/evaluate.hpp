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

#include "ffzero/encode/encoder.hpp"
#include "ffzero/report/run.hpp"
#include "ffzero/train/network.hpp"

namespace ffzero {

/// What the voters say about N samples. A voter is what was trained as one: a layer (local), a few layers (grouped), the network (end to
/// end).
struct Opinions {
  std::vector<Matrix<float>> scores;  ///< one (N, K) a voter: mean similarity over its groups, or raw outputs; regression: K = 1
  std::vector<std::vector<std::int32_t>> predictions;  ///< one (N) a voter; classification only
  std::vector<std::int32_t> decision;                  ///< (N): the vote, or the only voter's prediction; classification only
};

struct Voter {
  std::string name;      ///< "dense0", "conv1", "mesh0"; "all" end to end
  Index last_layer = 0;  ///< position of its last layer
  Index parameters = 0;
};

/// The network of a run or checkpoint with everything that is needed to apply it.
class TrainedNetwork {
 public:
  /// run: a run folder, finished or not, or a checkpoint file. threads 0: all cores. @throws DataError naming the file.
  /// devices: of a run with devices, which are connected: UsageError unless they are named or trusted, DeviceError if one is not there.
  [[nodiscard]] static TrainedNetwork load(const std::filesystem::path& run, int threads = 0, const DeviceAccess& devices = {});

  /// The network of a run that was loaded already. @throws DataError naming run.place unless it can be built
  explicit TrainedNetwork(LoadedRun run, int threads = 0);

  [[nodiscard]] const Config& config() const noexcept { return run_.config; }
  [[nodiscard]] const nlohmann::json& meta() const noexcept { return run_.meta; }
  [[nodiscard]] const Network<float>& network() const noexcept { return network_; }
  /// What turns raw samples into inputs of the network, with the scale of the features that the train split had.
  [[nodiscard]] const Encoder& encoder() const noexcept { return encoder_; }
  [[nodiscard]] const std::vector<Voter>& voters() const noexcept { return voters_; }
  /// Name of the rule by which the voters decide; empty if there is only one or in regression.
  [[nodiscard]] std::string vote_rule() const;

  /// Position of the voter that decides where one does: the last, or the one that vote.layer = "best" chose.
  [[nodiscard]] std::size_t deciding_voter() const noexcept { return deciding_; }

  [[nodiscard]] Task task() const noexcept { return info_.task; }
  /// Shape, classes, names and scale of the training data.
  [[nodiscard]] const DatasetInfo& info() const noexcept { return info_; }
  /// True if the network was trained on pixels 0 .. 255, false for real numbers.
  [[nodiscard]] bool takes_bytes() const noexcept { return bytes_; }
  /// The file's number for class k; k itself for classes named by texts (info().class_texts).
  [[nodiscard]] std::int32_t class_name(std::int32_t k) const;

  /// Cost: one forward evaluation of every layer a sample. @throws DataError naming `place` unless samples have the shape and the type of
  /// the training data.
  [[nodiscard]] Opinions infer(const Dataset& samples, const std::string& place) const;

 private:
  void find_voters();

  LoadedRun run_;
  std::shared_ptr<const Executor> executor_;
  DatasetInfo info_;
  bool bytes_;
  Encoder encoder_;
  Network<float> network_;
  std::vector<Voter> voters_;
  std::size_t deciding_ = 0;
};

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
