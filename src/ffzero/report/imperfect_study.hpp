// Chips that are not their model: what each way of training brings back.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ffzero/report/gnuplot.hpp"
#include "ffzero/report/reproduce.hpp"

namespace ffzero {

/// One way of training a chip.
struct Arm {
  std::string id;         ///< "ideal", "direct", "directions", "single_phases", "transfer", "pat_1", "pat_5", "along_1", "along_5", "twin"
  std::string title;      ///< in tables and figures
  bool on_chips = true;   ///< false: on the model without errors
  std::string knowledge;  ///< what is known of the chip
  std::vector<std::pair<std::string, nlohmann::json>> keys;
  /// Settings of the phases that are written for so many readings: by the plan of the estimator, for nothing counts them.
  double (*writes)(double readings) = nullptr;
};
/// In the order of the table. Full size: the studies of studies/imperfect, which say the same. Small (quick): 16 ports, fewer epochs,
/// larger errors, for a small mesh adds up fewer of them.
[[nodiscard]] std::vector<Arm> imperfect_arms(const ReproduceOptions& options);

/// Every arm x chips (ten; quick: three) x seeds (three; quick: one). Axes: arm, chip.
[[nodiscard]] Study imperfect_study(const ReproduceOptions& options);

/// Writes report.md, report.html, table.csv, table.json and figures/ from what run_study left in `out`. Returns notices about what is
/// missing.
std::vector<std::string> write_imperfect_study(const ReproduceOptions& options, const std::filesystem::path& out,
                                               const GnuplotOptions& gnuplot = {});

}  // namespace ffzero
