// Curves of a page that answer the mouse, on top of the static figures, which stay for paper and without JavaScript.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ffzero/report/run_data.hpp"

namespace ffzero {

/// A place for the curves of a run (one a layer, on the test and on the train set; of several layers also the whole run as
/// values_when_stopped has it, on the test set), or of several runs (one a run, those of one name in one colour), with their data; empty if
/// there is no value. Curves of many epochs are thinned to 400 points each, and more where there are many curves, the last point kept.
[[nodiscard]] std::string interactive_html(const std::vector<RunData>& runs);

/// The script that draws into such places that are empty, self-contained: once a page, after them. Its showCurves() does so again.
[[nodiscard]] std::string_view interactive_script();

/// The script as an element of a page.
[[nodiscard]] std::string script_html();

}  // namespace ffzero
