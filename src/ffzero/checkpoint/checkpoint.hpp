// The state of a training as a file: arrays that NumPy reads, and everything else as JSON in the array "meta".
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>

#include "ffzero/tensor/npz.hpp"
#include "ffzero/train/state.hpp"

namespace ffzero {

[[nodiscard]] NpzArchive checkpoint_of(const TrainerState& state);

/// @throws DataError naming `place` if the archive is no checkpoint, is damaged, or is of another format.
[[nodiscard]] TrainerState state_of(NpzArchive checkpoint, const std::string& place);

/// The file is replaced at once: whoever reads it sees the old or the new state whole. @throws OutputError
void write_checkpoint(const std::filesystem::path& file, const TrainerState& state);
/// @throws DataError naming the file if it is missing, is no checkpoint, or is damaged.
[[nodiscard]] TrainerState read_checkpoint(const std::filesystem::path& file);

}  // namespace ffzero
