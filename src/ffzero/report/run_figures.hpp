// The pictures of a run, and of several.
// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "ffzero/report/figure.hpp"
#include "ffzero/report/run_data.hpp"

namespace ffzero {

/// A heading with figures under it.
struct FigureGroup {
  std::string title;
  std::vector<Figure> figures;
};

/// Metric and loss over evaluations and epochs, one curve a layer, and the layers beside the vote.
[[nodiscard]] FigureGroup learning_figures(const RunData& run);
/// Confusion, similarity to prototypes, features in two dimensions; regression: predictions against targets, and residuals.
[[nodiscard]] FigureGroup prediction_figures(const RunData& run);
/// (K, K): test samples of a class (row) that the vote, or the layer that decides, took for a class (column); 0 x 0 where the run kept no
/// decisions, or others than of `classes` classes.
[[nodiscard]] Matrix<double> confusion_counts(const RunData& run, Index classes);
/// "test sample 3 (is 7, taken for 1)"; without what follows the number where the run kept no decisions.
[[nodiscard]] std::string sample_words(const RunData& run, std::int32_t sample);
/// Kernels of the first convolution, and maps that layers pass on for a few test samples; empty unless the run has kept some.
/// @throws DataError if the arrays have not the shapes of ConvolutionPictures
[[nodiscard]] FigureGroup convolution_figures(const RunData& run);
/// Phases, powers and light; empty unless the run is photonic.
[[nodiscard]] FigureGroup photonic_figures(const RunData& run);
/// Curves of several runs on common axes.
[[nodiscard]] FigureGroup comparison_figures(const std::vector<RunData>& runs);

/// Rows -> (rows, 2): coordinates along the two directions of largest variance of all rows; signs are fixed, so results are repeatable.
[[nodiscard]] Matrix<double> projection_to_plane(const Matrix<double>& rows);

/// A curve: a data block and its look.
struct Curve {
  std::string block;    ///< name of the data block
  std::string columns;  ///< "2:3"
  std::string style;    ///< "with lines lw 2"
};
/// The i-th of many curves: after ten colours lines are dashed, then dotted.
struct LookOfCurve {
  std::string colour;
  int dash;  ///< "dt" of gnuplot
  LegendEntry::Mark mark;
};
[[nodiscard]] LookOfCurve look_of_curve(std::size_t i);
/// How to write evaluations on an axis: 2.5e6 -> {1e6, "million "}.
struct AxisUnit {
  double divisor = 1.0;
  std::string word;
};
[[nodiscard]] AxisUnit evaluation_unit(double largest);
/// "plot $a using .., $b ..": for Figure::plot.
[[nodiscard]] std::string plot_command(const std::vector<Curve>& curves);
/// What a metric or loss can be at most and at least: axes do not go beyond.
[[nodiscard]] Range metric_limits(const std::string& metric);

}  // namespace ffzero
