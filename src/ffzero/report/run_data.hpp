// A run folder as reports read it.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ffzero/tensor/npz.hpp"
#include "ffzero/tensor/types.hpp"

namespace ffzero {

/// One line of metrics.jsonl.
struct EpochPoint {
  std::string layer;
  int layer_index = 0;
  double epoch = 0.0, forward_evals = 0.0, wall_s = 0.0;
  double training_loss, train, train_loss, test, test_loss;  ///< NaN where not measured
};

struct RunData {
  std::filesystem::path folder;
  std::string name;                ///< last part of the folder
  std::string metric;              ///< accuracy | r2
  nlohmann::ordered_json summary;  ///< null if the run has not finished
  std::string config;              ///< config.toml
  std::vector<EpochPoint> epochs;
  NpzArchive arrays;     ///< evaluation.npz; empty if there is none
  nlohmann::json about;  ///< of evaluation.npz; empty object if there is none

  [[nodiscard]] bool has(const std::string& array) const { return arrays.contains(array); }
  /// A real array of one or two dimensions; the trailing ones are merged. @throws DataError if it is missing or damaged.
  [[nodiscard]] Matrix<double> matrix(const std::string& array) const;
  [[nodiscard]] std::vector<std::int32_t> integers(const std::string& array) const;
  /// What the files call class k.
  [[nodiscard]] std::string class_name(Index k) const;
  /// What the files call target t, or its number.
  [[nodiscard]] std::string output_name(Index t) const;
  /// Scores of the test samples by one of the layers (N, K).
  [[nodiscard]] Matrix<double> test_scores(Index layer) const;
  /// The layer that decides where one does.
  [[nodiscard]] Index deciding_layer() const;
  /// Class of each test sample as the vote, or the layer that decides, sees it (N).
  [[nodiscard]] std::vector<std::int32_t> decisions() const;
};

/// What the run would give if its training stopped after each of its epochs (in their order): the values of the layer that is being
/// trained, or of a layer before it that is better on the train samples. Where the train samples were not evaluated, the values as they
/// are. The last one of a finished run has the accuracies of its result.
[[nodiscard]] std::vector<EpochPoint> values_when_stopped(const RunData& run);

/// @throws DataError if the folder holds no run, or one of its files is damaged.
[[nodiscard]] RunData read_run(const std::filesystem::path& folder);

/// "Accuracy" or "R²".
[[nodiscard]] std::string metric_title(const std::string& metric);
/// The same within a sentence: "accuracy" or "R²".
[[nodiscard]] std::string metric_words(const std::string& metric);

}  // namespace ffzero
