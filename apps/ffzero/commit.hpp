// The commit that the program was built from.
// SPDX-License-Identifier: MIT
#pragma once

namespace ffzero::app {

/// "4709b56c1d2e", "4709b56c1d2e, modified", or empty where it is not known.
[[nodiscard]] const char* commit();

}  // namespace ffzero::app
