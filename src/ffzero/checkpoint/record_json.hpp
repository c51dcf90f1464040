// Records of a training as JSON.
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ffzero/train/record.hpp"

namespace ffzero {

/// One line of metrics.jsonl. metric: accuracy | r2
[[nodiscard]] nlohmann::ordered_json to_json(const EpochRecord& record, const std::string& metric);
/// "devices" of summary.json, an entry a device: its receipt, noise and drift.
[[nodiscard]] nlohmann::ordered_json devices_json(const std::vector<InstrumentRecord>& records);
/// What summary.json, schema version 1, says about learning; "baseline" (before 0.2 and beside it: "control") is null. The writer adds it,
/// the machine and the version.
[[nodiscard]] nlohmann::ordered_json to_json(const RunRecord& record);

}  // namespace ffzero
