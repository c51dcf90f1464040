// The paper's comparison on one command.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ffzero/report/gnuplot.hpp"
#include "ffzero/report/study_results.hpp"

namespace ffzero {

struct ReproduceOptions {
  bool quick = false;           ///< fewer epochs and one seed: minutes on two cores
  std::filesystem::path mnist;  ///< folder with MNIST; empty: the built-in glyphs stand in, and the numbers of the reference are left out
  std::string command = {};     ///< that asks for it, for the page; empty: not said
};

/// One comparison: a kind of model and a task, trained by the four cells.
struct Panel {
  std::string id;  ///< "mlp", "mlp-regression", "mlp-function1", "mlp-function2", "cnn", "cnn-regression", "photonic-5", "photonic-8"
  std::string title;
  std::vector<std::pair<std::string, nlohmann::json>> task;   ///< keys of both settings
  std::vector<std::pair<std::string, nlohmann::json>> paper;  ///< keys of the paper's settings besides preset = "paper"
  int paper_epochs = 0, own_epochs = 0;
  bool images = true;  ///< MNIST or glyphs
};
[[nodiscard]] std::vector<Panel> reproduction_panels(const ReproduceOptions& options);

/// Every panel x four cells x {paper's settings, our own} x seeds. Axes: panel, settings, solver.
[[nodiscard]] Study reproduction_study(const ReproduceOptions& options);

/// Writes report.md, report.html, table.json and figures/ from what run_study left in `out`. Returns notices about what is missing.
std::vector<std::string> write_reproduction(const ReproduceOptions& options, const std::filesystem::path& out,
                                            const GnuplotOptions& gnuplot = {});

}  // namespace ffzero
