// report.html and its figures.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ffzero/report/gnuplot.hpp"
#include "ffzero/report/run_data.hpp"

namespace ffzero {

struct ReportOptions {
  std::filesystem::path out;  ///< folder for report.html and figures/; empty: the run's own folder (one run) or "report" (several)
  GnuplotOptions gnuplot;
};

struct ReportResult {
  std::filesystem::path file;
  int figures = 0;                   ///< that were drawn
  std::vector<std::string> notices;  ///< what is missing and how to get it, one line each
};

/// Writes one self-contained page about a run, or about several side by side. Reads the run folders only, never a data set.
/// @throws DataError if a folder holds no run, OutputError if the page cannot be written. A figure that cannot be drawn is a notice.
[[nodiscard]] ReportResult write_report(const std::vector<std::filesystem::path>& runs, const ReportOptions& options = {});

/// The body of the page of one run; its figures are drawn into the folder `figures`. Adds notices and the number of figures to `result`.
/// @throws nlohmann::json::exception if summary.json has not the members of schema 1
[[nodiscard]] std::string report_body(const RunData& run, const std::filesystem::path& figures, const GnuplotOptions& gnuplot,
                                      ReportResult& result);

/// Table of the devices of a run. of: summary.json, or what inspect_run says; empty if it names none.
[[nodiscard]] std::string devices_html(const nlohmann::ordered_json& of);

/// The page of one run, for a program that has just trained it: a report that fails does not fail the run. say: takes one line for each
/// notice, and where the page is or why there is none.
void report_run(const std::filesystem::path& run, const std::function<void(const std::string&)>& say);

}  // namespace ffzero
