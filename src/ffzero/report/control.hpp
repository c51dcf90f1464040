// The control: the same head on untrained layers. Dependency level 5 (report).
// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "ffzero/report/run.hpp"

namespace ffzero {

/// Trains `config` again with every layer but the head's left at its initial values: the convolutions of a cnn, all but the last dense layer
/// of an mlp, the meshes of a photonic network. Returns {"metric", "train", "test", "forward_evals"}; only the head's own last layer
/// counts, never a vote of layers that learned nothing. Cost: reported in the result, never mixed with the run's own.
[[nodiscard]] nlohmann::ordered_json run_control(const Config& config, const Splits& splits, std::shared_ptr<const Executor> executor,
                                                 const RunEvents& events);

}  // namespace ffzero
