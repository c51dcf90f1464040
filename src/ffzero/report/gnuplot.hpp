// Drawing by gnuplot, a program of its own.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ffzero/report/figure.hpp"

namespace ffzero {

struct GnuplotOptions {
  std::string program = "gnuplot";  ///< a name that is looked for like a shell does, or a path
  int jobs = 2;                     ///< processes at once
  bool only_svg = false;            ///< for a page, without .png and .pdf
};

struct Drawing {
  bool available = true;              ///< false: there is no such program
  std::vector<std::string> failures;  ///< "name: first line of what gnuplot said", of figures that could not be drawn
};

/// The whole script of a figure: style, data, and the plot once for each of SVG, PNG and PDF.
[[nodiscard]] std::string gnuplot_script(const Figure& figure, bool only_svg = false);

/// Writes <folder>/<name>.gp and has gnuplot write .svg, .png and .pdf beside it. No shell is involved, no init file is read. The scripts
/// stay: they are the way to redraw a figure by hand. @throws OutputError if the folder cannot be written.
[[nodiscard]] Drawing draw(const std::vector<Figure>& figures, const std::filesystem::path& folder, const GnuplotOptions& options = {});

/// What is missing and how to get it, one line each; empty if all figures are there.
[[nodiscard]] std::vector<std::string> drawing_notices(const Drawing& drawing);

}  // namespace ffzero
