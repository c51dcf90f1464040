// A figure: data, drawing commands and words. Dependency level 5 (report).
// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

struct Figure {
  std::string name;  ///< of the files: figures/<name>.svg, .png, .pdf, .gp
  std::string title;
  std::string caption;
  std::string data;  ///< gnuplot data blocks ($name << EOD ... EOD)
  std::string plot;  ///< gnuplot commands; run once for every file format
  int width = 480;   ///< pixels of the SVG; 480 is legible on a phone
  int height = 340;
};

/// "$name << EOD": one line of numbers a row; NaN stay NaN. An empty row parts two lines of a curve.
[[nodiscard]] std::string data_block(const std::string& name, const std::vector<std::vector<double>>& rows);
/// The same from a matrix.
[[nodiscard]] std::string data_block(const std::string& name, const Matrix<double>& rows);
/// Text in single quotes for gnuplot, in which it runs no commands (in double quotes it would run what stands between backquotes).
[[nodiscard]] std::string gnuplot_text(std::string_view text);

/// Colours that colour-blind readers can tell apart and that show on white and on black.
[[nodiscard]] const std::vector<std::string>& palette();
/// Entry i of palette(), round and round.
[[nodiscard]] const std::string& palette_colour(std::size_t i);
/// "set palette ..": dark to bright for amounts; blue - grey - orange for signed numbers; a closed circle of colours for angles.
[[nodiscard]] std::string amount_palette();
[[nodiscard]] std::string signed_palette();
[[nodiscard]] std::string angle_palette();

}  // namespace ffzero
