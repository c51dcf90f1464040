// A user's own table as splits.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ffzero/dataset/csv_file.hpp"
#include "ffzero/dataset/dataset.hpp"

namespace ffzero {

/// What the columns of a table are, and how rows become a test set.
struct CsvOptions {
  std::string label{};           ///< column of labels or targets, or columns of targets separated by commas; empty: the last one
  std::string weights{};         ///< column of weights, not negative and not all 0; empty: none
  std::string ignore{};          ///< columns that are left out, separated by commas
  double test = 0.2;             ///< share of the rows that becomes the test set, in (0, 1)
  std::uint64_t split_seed = 0;  ///< of the shuffle that chooses them
};

/// All records of `reader`: {1, 1, F} samples of the columns that are neither label nor weight nor ignored, all numbers, in their order.
/// Labels: texts are classes in alphabetical order, named by class_texts; whole numbers are classes in increasing order, named by
/// class_names, if there are at most 20 of them; other numbers are targets, scaled to [-1, 1] by the range of the train split. `task`
/// overrules this; without it, whole numbers that may be either (0 .. K - 1 with more than 20 classes, or written 1.0) are refused.
/// Rows are shuffled by split_seed; of every class the share `test`, rounded, and at least one training sample, is taken.
/// @throws DataError with line and column of a missing or wrong value; ConfigError naming dataset.label, .weights or .ignore.
[[nodiscard]] Splits csv_dataset(CsvReader& reader, const CsvOptions& options, std::optional<Task> task);

/// All records of `reader`, in their order, as samples for a network trained on a table: info is that of its data, whose feature_names are
/// looked for by name; columns that it does not name are passed over. labelled: also the column `label` (empty: the last one), which must
/// hold classes of info, or targets; else labels and targets are 0. @throws DataError with line and column.
[[nodiscard]] Dataset csv_samples(CsvReader& reader, const DatasetInfo& info, const std::string& label, bool labelled);

}  // namespace ffzero
