// Writes images and labels as IDX files, the way MNIST comes.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string_view>

#include "ffzero/dataset/dataset.hpp"

namespace ffzero {

/// Writes dir/<prefix>-images-idx3-ubyte (n x height x width bytes) and dir/<prefix>-labels-idx1-ubyte (n bytes: classes 0 .. K - 1), not
/// gzipped, each whole or not at all. dir must exist. @throws ConfigError unless the samples are grey images of bytes with labels below
/// 256; OutputError if a file cannot be written.
void export_idx(const Dataset& dataset, const std::filesystem::path& dir, std::string_view prefix);

/// The four files of MNIST: `train` as "train", `test` as "t10k". Creates dir. A validation split must be empty (@throws ConfigError).
void export_idx(const Splits& splits, const std::filesystem::path& dir);

}  // namespace ffzero
