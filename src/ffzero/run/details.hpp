// What a result on a test set is made of: classes one by one, targets one by one.
// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <span>

#include "ffzero/dataset/dataset.hpp"
#include "ffzero/tensor/types.hpp"
#include "ffzero/train/trainer.hpp"

namespace ffzero {

/// What the file of the data calls class k: its text, or its number.
[[nodiscard]] nlohmann::ordered_json class_label(const DatasetInfo& info, Index k);
/// The same as a text.
[[nodiscard]] std::string class_title(const DatasetInfo& info, Index k);

/// [{"name", "samples", "recall"}], a class each; recall: share of its samples that were taken for it, null for a class without samples.
/// counts (K, K): row = true class, column = decision.
[[nodiscard]] nlohmann::ordered_json recalls_json(const Matrix<std::int64_t>& counts, const DatasetInfo& info);
/// [{"name", "r2"}], a target each; name: that of the data, or its number from 0.
[[nodiscard]] nlohmann::ordered_json outputs_json(std::span<const double> r_squared, const DatasetInfo& info);

/// Adds to a summary: "classes" (recalls_json) and "balanced_accuracy" in "final", or "outputs" (outputs_json) if there are several, all of
/// the test set as the vote or the layer that decides sees it.
void add_details(nlohmann::ordered_json& summary, const Outputs& outputs, const Dataset& test);

}  // namespace ffzero
