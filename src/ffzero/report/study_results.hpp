// Results of a study, put together.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ffzero/report/run_figures.hpp"
#include "ffzero/report/statistics.hpp"
#include "ffzero/report/table.hpp"
#include "ffzero/run/study.hpp"

namespace ffzero {

/// The seeds of one setting together.
struct SettingResult {
  std::string setting;
  std::vector<std::pair<std::string, std::string>> axes;
  std::vector<std::int64_t> seeds;  ///< of finished and diverged runs
  std::string metric, information;
  Quartiles test, train;                   ///< final values; a diverged run counts with the last value before
  double forward_evals = 0.0;              ///< of training, median
  int diverged = 0, missing = 0;           ///< runs without a result
  int cut_short = 0;                       ///< runs whose budget left nothing for their last layers
  std::vector<std::vector<double>> curve;  ///< rows: median evaluations, low quartile, median, high quartile of the test metric; an empty
                                           ///< row between layers
  std::vector<std::vector<double>> curve_when_stopped;  ///< the same of values_when_stopped, without empty rows
};
[[nodiscard]] std::vector<SettingResult> collect(const Study& study, const std::filesystem::path& out);

/// One row a setting, quartiles over seeds. Says nothing that depends on the machine's speed, so that a study that was interrupted gives
/// the same table as one that was not.
[[nodiscard]] Table study_table(const std::vector<SettingResult>& results);
[[nodiscard]] nlohmann::ordered_json study_json(const Study& study, const std::vector<SettingResult>& results,
                                                const std::filesystem::path& out);

/// Median curves with bands of the quartiles over evaluations, and final values.
[[nodiscard]] FigureGroup study_figures(const std::vector<SettingResult>& results);

}  // namespace ffzero
