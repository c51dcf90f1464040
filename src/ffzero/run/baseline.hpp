// The baseline: the same head on untrained layers.
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "ffzero/settings/configured.hpp"

namespace ffzero {

/// cnn, mlp: trains `config` again with every layer but the head's left at its initial values: the convolutions of a cnn, all but the last
/// dense layer of an mlp; the head's own last layer counts, never a vote of layers that learned nothing. photonic: a linear classifier on
/// the same inputs, and with a trained readout also that readout on untrained meshes. Returns {"kind", "metric", "train", "test",
/// "forward_evals"}, with "linear" of the same form beside a readout. Cost: in the result, never mixed with the run's own.
/// events: its members step_done and stop_requested are used. @throws ConfigError where no baseline is defined
[[nodiscard]] nlohmann::ordered_json run_baseline(const Config& config, const Splits& splits, std::shared_ptr<const Executor> executor,
                                                  const TrainEvents& events);

/// Of a run's summary.json, whose member was called "control" before 0.2; null: none was asked for.
[[nodiscard]] const nlohmann::ordered_json& baseline_of(const nlohmann::ordered_json& summary);

}  // namespace ffzero
