// SPDX-License-Identifier: MIT
#include "support/project_folder.hpp"

namespace ffzero::test {

std::filesystem::path project_folder() { return FFZERO_SOURCE_DIR; }

}  // namespace ffzero::test
