// A user's own data from a NumPy archive.
// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>

#include "ffzero/dataset/dataset.hpp"
#include "ffzero/tensor/npz.hpp"

namespace ffzero {

/// The arrays x_train, y_train, x_test, y_test of `archive`; others are ignored; `place` stands for the file in messages.
/// x (N, F), (N, H, W) or (N, C, H, W), or (N) for one feature: bytes are image pixels and stay bytes, real numbers become floats, complex
/// numbers become {2, 1, F}: the real parts, then the imaginary parts. y (N) or (N, 1): integers are classes 0 .. K - 1, texts are classes
/// in alphabetical order, real numbers are targets, scaled to [-1, 1] by the range of y_train; (N, T) reals are T targets, each with a
/// scale of its own. task: empty means that the type of y decides; then whole reals that may be classes (may_be_classes) are refused as
/// ambiguous. weights: name of an array (N) with the weights of the training samples; empty: none. Whether every class has a training
/// sample is checked by load_dataset, after classes have been chosen.
/// @throws DataError naming the file, the array, the index and the value: a missing array, unequal counts, other shapes in the test set,
/// NaN or infinity, negative or fractional labels, constant targets.
[[nodiscard]] Splits npz_dataset(NpzArchive archive, std::optional<Task> task, const std::string& place, const std::string& weights = {});

}  // namespace ffzero
