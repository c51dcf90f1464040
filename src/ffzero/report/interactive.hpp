// Curves of a page that answer the mouse, on top of the static figures, which stay for paper and without JavaScript.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ffzero/report/run_data.hpp"

namespace ffzero {

/// A place for the curves of a run (one a layer, on the test and on the train set), or of several (one a run), with their data; empty if
/// there is no value. Curves of many epochs are thinned to 400 points each, the last one kept.
[[nodiscard]] std::string interactive_html(const std::vector<RunData>& runs);

/// The script that draws into such places that are empty, self-contained: once a page, after them. Its showCurves() does so again.
[[nodiscard]] std::string_view interactive_script();

}  // namespace ffzero
