// The page of a study.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ffzero/report/gnuplot.hpp"
#include "ffzero/run/study.hpp"

namespace ffzero {

/// Writes table.md, table.csv, table.json, figures/ and report.html into `out`. Returns notices about what is missing.
std::vector<std::string> write_study_report(const Study& study, const std::filesystem::path& out, const GnuplotOptions& gnuplot = {});

}  // namespace ffzero
