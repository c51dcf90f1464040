// A figure: data, drawing commands and words.
// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/tensor/types.hpp"

namespace ffzero {

struct Figure {
  std::string name;  ///< of the files: figures/<name>.svg, .png, .pdf, .gp
  std::string title;
  std::string caption;
  std::string data;  ///< gnuplot data blocks ($name << EOD ... EOD)
  std::string plot;  ///< gnuplot commands; run once for every file format
  int width = 440;   ///< pixels of the SVG; 440 is legible on a phone
  int height = 300;
};

/// One entry of a legend.
struct LegendEntry {
  enum class Mark { line, dashed, dotted, box, dot, ring };
  std::string title;
  std::string colour;  ///< "#0072B2"
  Mark mark = Mark::line;
};

/// Commands that draw a legend below the plot, in as many columns as fit, and set the margins above and below the plot, so that title, axis
/// label and legend have room of their own. Makes the figure higher by the legend. `below`: pixels for the numbers and label of the x axis.
/// (gnuplot's own legend leaves out entries for which it sees no room, and overlaps the label of the axis.)
[[nodiscard]] std::string legend(Figure& figure, const std::vector<LegendEntry>& entries, int below = 66);

/// What numbers lie between; NaN are passed over.
struct Range {
  double low, high;
};
/// Of one column (from 1, as gnuplot counts) of rows; empty rows are passed over. NaN to NaN if there is none.
[[nodiscard]] Range range_of(const std::vector<std::vector<double>>& rows, int column);
[[nodiscard]] Range joined(Range a, Range b);
/// "set xrange [..]\nset xtics ..\n": the range a little widened but within `limits`, and at most `most` marks and one, no closer than
/// `least_mark`, so that their numbers never touch. Nothing for an empty range.
[[nodiscard]] std::string axis(char letter, Range range, Range limits = {-1e300, 1e300}, double least_mark = 0.0, int most = 6);

/// The x axis of what curves cost: from 0, or logarithmic where one curve ends at 10 times the cost of another or beyond.
/// costs: of each curve those of its first and its last point; those that cost nothing are passed over. divisor: the unit of the axis.
[[nodiscard]] std::string cost_axis(const std::vector<Range>& costs, double divisor = 1.0);
/// A logarithmic x axis, with room on both sides. range: > 0
[[nodiscard]] std::string logarithmic_axis(Range range);

/// "$name << EOD": one line of numbers a row; NaN stay NaN. An empty row parts two lines of a curve.
[[nodiscard]] std::string data_block(const std::string& name, const std::vector<std::vector<double>>& rows);
/// The same from a matrix.
[[nodiscard]] std::string data_block(const std::string& name, const Matrix<double>& rows);
/// Text in single quotes for gnuplot, in which it runs no commands (in double quotes it would run what stands between backquotes).
[[nodiscard]] std::string gnuplot_text(std::string_view text);

/// The first `most` characters of a text in UTF-8, the last of them two dots if there are more: names of other people fit into a figure.
[[nodiscard]] std::string shortened(std::string_view text, int most = 12);

/// Colours that colour-blind readers can tell apart and that show on white and on black.
[[nodiscard]] const std::vector<std::string>& palette();
/// Entry i of palette(), round and round.
[[nodiscard]] const std::string& palette_colour(std::size_t i);
/// "set palette ..": dark to bright for amounts; blue - grey - orange for signed numbers; a closed circle of colours for angles.
[[nodiscard]] std::string amount_palette();
[[nodiscard]] std::string signed_palette();
[[nodiscard]] std::string angle_palette();

}  // namespace ffzero
