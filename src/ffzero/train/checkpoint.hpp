// What a checkpoint says besides its arrays.
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ffzero/tensor/npz.hpp"

namespace ffzero {

/// The JSON of a checkpoint: format, config, position, ledger, records, task, classes, class_names, sample_shape. config: resolved TOML,
/// or, with network = "own", a text of the program that made the layers.
/// @throws DataError naming `place` if it is no checkpoint, is damaged, or is of another format.
[[nodiscard]] nlohmann::json checkpoint_meta(const NpzArchive& checkpoint, const std::string& place);

}  // namespace ffzero
