// Named sets of values.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "ffzero/base/shape.hpp"
#include "ffzero/settings/keys.hpp"
#include "ffzero/settings/resolved.hpp"

namespace ffzero {

using PresetValues = std::vector<std::pair<std::string, nlohmann::json>>;

/// What a preset decides first, because its other words depend on it: the kind of model, the estimator. `said`: what the user said.
[[nodiscard]] PresetValues preset_frame(std::string_view preset, const Values& said);
/// Everything else that a preset says, for the kind, the scope and the estimator in `framed`. How the values that are not the paper's
/// were chosen: docs/estimators.md.
[[nodiscard]] PresetValues preset_values(std::string_view preset, const Values& framed);
/// True for the presets that reproduce the published program, with its reductions.
[[nodiscard]] bool is_paper_preset(std::string_view preset);

/// True for vectors of numbers, but for those of the built-in functions: what the presets say for thousands of images does not suit them.
[[nodiscard]] bool is_table(const Values& values, const DataFacts& facts);
/// True for tables, and for all sets of fewer than 2000 training samples.
[[nodiscard]] bool is_table_or_small(const Values& values, const DataFacts& facts);

/// Steps of each layer that learning usually needs on these data: as many epochs as take them are the default. None for what was not
/// measured: paper presets, meshes, devices, and sets of 2000 training samples or more that are no tables.
[[nodiscard]] std::optional<Index> fewest_steps(const Values& values, const DataFacts& facts);

/// What the size of the data makes of a preset's words. Tables: one dense layer. Tables and all sets of fewer than 2000 training samples:
/// batches that fit, and as many epochs as take the steps that learning needs. What the user said stays.
void fit_size(Values& values, const DataFacts& facts);

/// What the data leave of a preset's words: groups that divide every width and hold a simplex (one in regression, where they would share
/// a loss), an entry of model.pca for every dense layer, none above that layer's inputs. `sample`: shape after encoding; none: unknown.
/// What the user said stays.
void fit_preset(Values& values, Index classes, bool regression, const std::optional<Shape>& sample);

}  // namespace ffzero
