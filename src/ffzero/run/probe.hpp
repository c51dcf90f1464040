// ffzero probe: why a layer of a run learns or does not.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "ffzero/base/index.hpp"
#include "ffzero/settings/device_layers.hpp"

namespace ffzero {

struct ProbeRequest {
  std::filesystem::path run;        ///< run folder, finished or not, or a checkpoint file
  std::filesystem::path data_dir;   ///< empty: the run's own, else `cache_dir`
  std::filesystem::path cache_dir;  ///< where data sets are looked for if dataset.dir is empty
  std::optional<Index> layer;       ///< its block alone; none: every block
  Index draws = 16;                 ///< estimates and directions, >= 2
  int threads = 0;
  DeviceAccess devices = {};  ///< as TrainedNetwork::load
};

/// Probes blocks at their initial values and at those of the checkpoint, on training batches. The inputs are what the layers before pass
/// on, as the checkpoint has them. Nothing of the run is changed; what it costs stands in "forward_evals" and is billed to no run.
/// {"run","blocks":[{"name","estimator","information","parameters","groups","directions","batch","eps","lr","at":[{"theta":"initial" |
/// "checkpoint","loss","cosine":{..}|null,"expected_cosine","signal","noise","slopes":[{"eps","mismatch"}],"along":[..],"curvature",
/// "steps":[{"lr","change"}],"suggested":{"eps","lr"}}]}],"forward_evals","pullbacks"}
/// @throws UsageError for a layer that is not there, DataError for a run or data that cannot be used.
[[nodiscard]] nlohmann::ordered_json probe_run(const ProbeRequest& request);

}  // namespace ffzero
