// Where the tests find the files of the project.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

namespace ffzero::test {

/// The root of the source tree that this test was built from.
[[nodiscard]] std::filesystem::path project_folder();

}  // namespace ffzero::test
