// Calibrating the twin of a chip by itself: readings near the phases of a run, a fit, a report and a file.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/map/mesh/chip_twin.hpp"

namespace ffzero {

struct CalibrateRequest {
  std::filesystem::path run;                                   ///< a run folder or checkpoint of a photonic network
  std::vector<std::pair<std::string, std::string>> overrides;  ///< of its settings: which chip it is now
  Index layer = 0;                                             ///< whose mesh
  CalibrationOptions options = {};
  std::uint64_t seed = 0;                      ///< of settings and samples
  std::filesystem::path out;                   ///< the file to write; empty: none
  std::optional<std::filesystem::path> since;  ///< an earlier calibration of the same chip
  std::filesystem::path cache_dir;
  int threads = 0;
  std::function<bool()> stop = {};
};

/// {"run","layer","identity","settings","samples","readings","error":{"before","after","fitted"},"found":{..},"since":{..}|null}
/// Cost: settings * samples forward evaluations. @throws UsageError if the layer is no single chip, DataError if `since` does not fit
[[nodiscard]] nlohmann::ordered_json calibrate_run(const CalibrateRequest& request);

/// What the test set says of a finished run on its chip or with its imperfections, and of the model without them at the same parameters.
struct ChipLoss {
  std::string metric;
  double chip = 0.0, model = 0.0;
  bool photonic = false;  ///< a chip (model.mesh.chip.*), which can be calibrated
};
/// Nothing if the run is its model, is a device, has readings that fail, or is imperfect in single layers ([[layer]]) only. Cost: the test
/// set twice, in simulation. @throws as load_run and load_splits
[[nodiscard]] std::optional<ChipLoss> chip_loss(const std::filesystem::path& run, const std::filesystem::path& cache_dir);

}  // namespace ffzero
