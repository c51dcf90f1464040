// Pictures of what a trained network says about its test set.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ffzero/report/run_figures.hpp"
#include "ffzero/tensor/gemm.hpp"

namespace ffzero {

namespace {

constexpr Index kLabelledClasses = 12;  // more do not fit into the cells of a matrix
constexpr Index kNamedClasses = 20;     // more do not fit into a legend
constexpr Index kMostTableClasses = 100;

std::string class_tics(const RunData& run, Index classes) {
  std::string text;
  const Index step = (classes + 19) / 20;
  for (Index k = 0; k < classes; k += step)
    text += fmt::format("{}{} {}", k == 0 ? "" : ", ", gnuplot_text(shortened(run.class_name(k))), k);
  return text;
}

// A K x K matrix as coloured cells, with numbers of so many decimals where they fit; white on cells below `dark_below`.
Figure matrix_figure(const RunData& run, const Matrix<double>& cells, const std::string& colours, int decimals, double dark_below) {
  const Index classes = cells.rows();
  Figure f;
  f.height = 400;
  f.data = data_block("cells", cells);
  f.plot = colours + fmt::format(
                         "unset grid\nset border 0\nset tics scale 0\nset ylabel offset 0,0\nset xtics ({0})\nset ytics ({0})\nset xrange "
                         "[-0.5:{1}]\nset yrange [{1}:-0.5]\n"
                         "set size ratio 1\nplot $cells matrix using 1:2:3 with image pixels notitle",
                         class_tics(run, classes), static_cast<double>(classes) - 0.5);
  if (classes <= kLabelledClasses)
    // What rounds to nothing is written 0, not -0.
    f.plot += fmt::format(
        ", \\\n  $cells matrix using 1:2:(sprintf(\"%.{}f\",abs($3)<{}?0:$3)):($3 < {} ? 0xffffff : 0x101010) with labels font \",13\" "
        "tc rgb variable notitle",
        decimals, 0.5 * std::pow(10.0, -decimals), dark_below);
  f.plot += "\n";
  return f;
}

Figure confusion_figure(const RunData& run, Index classes) {
  const Matrix<double> counts = confusion_counts(run, classes);
  const Matrix<double> shares = 100.0 * (counts.array().colwise() / counts.rowwise().sum().array().max(1.0));
  Figure f = matrix_figure(run, shares, amount_palette() + "set cbrange [0:100]\n", 0, 60.0);
  f.name = "confusion";
  f.title = "Confusion matrix, test set, in %";
  f.caption = "Of each true class (row), per cent that were taken for each class (column).";
  f.plot = "set xlabel \"predicted class\"\nset ylabel \"true class\"\n" + f.plot;
  return f;
}

Figure similarity_figure(const RunData& run, Index classes, bool prototypes) {
  const auto labels = run.integers("test_labels");
  const auto layers = run.arrays.at("test_scores").shape[0];
  const Matrix<double> scores = run.test_scores(layers - 1);
  Matrix<double> mean = Matrix<double>::Zero(classes, classes);
  Vector<double> count = Vector<double>::Zero(classes);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    mean.row(labels[i]) += scores.row(isize(i));
    count(labels[i]) += 1.0;
  }
  mean = (mean.array().colwise() / count.array().max(1.0)).matrix().eval();
  const double most = std::max(1e-6, mean.cwiseAbs().maxCoeff());
  Figure f =
      matrix_figure(run, mean, signed_palette() + fmt::format("set cbrange [{}:{}]\n", -most, most), most < 10.0 ? 1 : 0, -0.6 * most);
  f.name = "similarity";
  f.title = prototypes ? "Similarity of classes to prototypes" : "Mean scores of classes";
  f.caption = prototypes ? "Mean similarity of the test samples of each class (row) with each prototype (column), last layer; with several "
                           "groups their sum or mean."
                         : "Mean score that the test samples of each class (row) get for each class (column).";
  f.plot = fmt::format("set xlabel \"{}\"\nset ylabel \"true class\"\n", prototypes ? "prototype" : "score of class") + f.plot;
  return f;
}

Matrix<double> unit_rows(Matrix<double> m) {
  for (Index i = 0; i < m.rows(); ++i)
    if (const double length = m.row(i).norm(); length > 0.0) m.row(i) /= length;
  return m;
}

Matrix<double> class_means(const Matrix<double>& points, const std::vector<std::int32_t>& labels, Index classes) {
  Matrix<double> mean = Matrix<double>::Zero(classes, 2);
  Vector<double> count = Vector<double>::Zero(classes);
  for (Index i = 0; i < points.rows(); ++i) {
    mean.row(labels[usize(i)]) += points.row(i);
    count(labels[usize(i)]) += 1.0;
  }
  return mean.array().colwise() / count.array().max(1.0);
}

Figure projection_figure(const RunData& run, Index classes) {
  const bool prototypes = run.has("prototypes");
  Matrix<double> features = run.matrix("features");
  if (prototypes) features = unit_rows(std::move(features));
  const Index samples = features.rows();
  Matrix<double> all(samples + (prototypes ? classes : 0), features.cols());
  all.topRows(samples) = features;
  if (prototypes) all.bottomRows(classes) = run.matrix("prototypes");
  const Matrix<double> plane = projection_to_plane(all);
  const auto labels = run.integers("test_labels");
  const Matrix<double> marks =
      prototypes ? Matrix<double>(plane.bottomRows(classes)) : class_means(plane.topRows(samples), labels, classes);
  Figure f;
  f.name = "projection";
  f.title = prototypes ? "Features and prototypes" : "Outputs of the network";
  f.caption = fmt::format("The first {} test samples on the plane of their largest variance{}. Ringed: {}.", samples,
                          prototypes ? " (features of the last layer at unit length, together with the prototypes)" : "",
                          prototypes ? "prototypes" : "means of the classes");
  std::vector<Curve> curves, rings;
  std::vector<LegendEntry> entries;
  for (Index k = 0; k < classes; ++k) {
    std::vector<std::vector<double>> rows;
    for (Index i = 0; i < samples; ++i)
      if (labels[usize(i)] == k) rows.push_back({plane(i, 0), plane(i, 1)});
    if (rows.empty()) continue;
    const std::string block = fmt::format("class{}", k);
    f.data += data_block(block, rows);
    const std::string colour = palette_colour(usize(k)), mark = fmt::format("mark{}", k);
    f.data += data_block(mark, Matrix<double>(marks.row(k)));
    curves.push_back({block, "1:2", fmt::format("with points pt 7 ps 0.35 lc rgb \"{}\"", colour)});
    // "black" becomes the colour of the page's text.
    rings.push_back({mark, "1:2", fmt::format("with points pt 7 ps 1.4 lc rgb \"{}\"", colour)});
    rings.push_back({mark, "1:2", "with points pt 6 ps 1.4 lw 2 lc rgb \"black\""});
    if (k < kNamedClasses) entries.push_back({shortened(run.class_name(k)), colour, LegendEntry::Mark::dot});
  }
  curves.insert(curves.end(), rings.begin(), rings.end());
  f.height = 360;
  f.plot = legend(f, entries, 18) +
           "set size ratio -1\nset format \"\"\nset tics scale 0\nset border 0\nset grid\nset offsets graph 0.05, graph 0.05, "
           "graph 0.05, graph 0.05\n" +
           plot_command(curves);
  return f;
}

// One target in one colour; those beyond the colours that can be told apart are left out.
void add_regression(const RunData& run, std::vector<Figure>& figures) {
  constexpr Index kMostTargets = 6, kMostPoints = 2000;
  const Matrix<double> targets = run.matrix("test_targets"), predictions = run.test_scores(run.deciding_layer());
  const Index samples = std::min(kMostPoints, targets.rows()), shown_targets = std::min(kMostTargets, targets.cols());
  const Matrix<double> residuals = predictions - targets;
  double widest = 1e-9;
  for (Index t = 0; t < shown_targets; ++t)
    for (Index i = 0; i < residuals.rows(); ++i)
      if (std::isfinite(residuals(i, t))) widest = std::max(widest, std::abs(residuals(i, t)));
  const bool several = targets.cols() > 1;
  Figure points, errors;
  points.name = "predictions";
  points.title = "Predictions against targets";
  errors.name = "residuals";
  errors.title = "Residuals, test set";
  std::vector<Curve> clouds, bars;
  std::vector<LegendEntry> entries;
  Range got = range_of({}, 1);
  constexpr int kBins = 40;
  for (Index t = 0; t < shown_targets; ++t) {
    const std::string suffix = several ? std::to_string(t) : "", colour = palette_colour(usize(t));
    std::vector<std::vector<double>> rows, bins;
    for (Index i = 0; i < samples; ++i) rows.push_back({targets(i, t), predictions(i, t)});
    for (int b = 0; b < kBins; ++b) bins.push_back({-widest + (b + 0.5) * 2.0 * widest / kBins, 0.0});
    for (Index i = 0; i < targets.rows(); ++i)
      if (std::isfinite(residuals(i, t)))
        bins[static_cast<std::size_t>(std::clamp((residuals(i, t) + widest) / (2.0 * widest) * kBins, 0.0, kBins - 1.0))][1] += 1.0;
    points.data += data_block("samples" + suffix, rows);
    got = joined(got, range_of(rows, 2));
    errors.data += data_block("bins" + suffix, bins);
    clouds.push_back({"samples" + suffix, "1:2", fmt::format("with points pt 7 ps 0.35 lc rgb \"{}\"", colour)});
    bars.push_back(several ? Curve{"bins" + suffix, "1:2", fmt::format("with histeps lw 1.5 lc rgb \"{}\"", colour)}
                           : Curve{"bins", fmt::format("1:2:({})", 1.9 * widest / kBins), fmt::format("with boxes lc rgb \"{}\"", colour)});
    if (several) entries.push_back({shortened(run.output_name(t)), colour, LegendEntry::Mark::dot});
  }
  const auto shown_part = targets.topLeftCorner(samples, shown_targets);
  const Range asked{shown_part.minCoeff(), shown_part.maxCoeff()};
  points.data += data_block("line", std::vector<std::vector<double>>{{asked.low}, {asked.high}});
  clouds.push_back({"line", "1:1", fmt::format("with lines lw 1.5 lc rgb \"{}\"", several ? "black" : palette_colour(1))});
  const std::string which =
      shown_targets < targets.cols() ? fmt::format(" The first {} of {} targets.", shown_targets, targets.cols()) : "";
  points.caption = fmt::format("{} test samples on the scale of training; on the line all would be right.{}", samples, which);
  errors.caption = "Prediction minus target, on the scale of training." + which;
  const auto named = [&](Figure& f) { return several ? legend(f, entries) : std::string(); };
  points.plot = named(points) + axis('x', asked) + axis('y', joined(asked, got)) + "set xlabel \"target\"\nset ylabel \"prediction\"\n" +
                plot_command(clouds);
  errors.plot = named(errors) + "set xlabel \"prediction - target\"\nset ylabel \"samples\"\nset yrange [0:*]\n" + plot_command(bars);
  figures.push_back(std::move(points));
  figures.push_back(std::move(errors));
}

/// One or two columns made perpendicular and of length 1; what has no length is left at 0.
void make_orthonormal(Matrix<double>& columns) {
  for (Index c = 0; c < columns.cols(); ++c) {
    const double before = columns.col(c).norm();
    if (c > 0) columns.col(c) -= columns.col(0).dot(columns.col(c)) * columns.col(0);
    const double length = columns.col(c).norm();
    // What is left of a column along the first is rounding.
    columns.col(c) *= length > 1e-12 * before ? 1.0 / length : 0.0;
  }
}

}  // namespace

Matrix<double> projection_to_plane(const Matrix<double>& rows) {
  const Matrix<double> centred = rows.rowwise() - rows.colwise().mean();
  // Orthogonal iteration: far cheaper than all components, and the start is the same every time.
  Matrix<double> axes(rows.cols(), std::min<Index>(2, rows.cols())), turned(axes.rows(), axes.cols()), seen(rows.rows(), axes.cols());
  for (Index i = 0; i < axes.rows(); ++i)
    for (Index c = 0; c < axes.cols(); ++c)
      axes(i, c) = c == 0 ? std::cos(static_cast<double>(i) + 0.5) : std::sin(1.7 * static_cast<double>(i) + 0.1);
  make_orthonormal(axes);
  for (int i = 0; i < 100; ++i) {
    gemm_nn<double>(centred, axes, seen);
    gemm_tn<double>(centred, seen, turned);
    axes = turned;
    make_orthonormal(axes);
  }
  gemm_nn<double>(centred, axes, seen);
  Matrix<double> plane = Matrix<double>::Zero(rows.rows(), 2);
  plane.leftCols(axes.cols()) = seen;
  for (Index c = 0; c < axes.cols(); ++c) {
    Index largest = 0;
    axes.col(c).cwiseAbs().maxCoeff(&largest);
    if (axes(largest, c) < 0.0) plane.col(c) = -plane.col(c);
  }
  return plane;
}

Matrix<double> confusion_counts(const RunData& run, Index classes) {
  if (!run.has("test_labels") || !run.has("test_scores") || !run.has("test_predictions")) return {};
  const auto labels = run.integers("test_labels"), decisions = run.decisions();
  Matrix<double> counts = Matrix<double>::Zero(classes, classes);
  for (std::size_t i = 0; i < std::min(labels.size(), decisions.size()); ++i) {
    if (std::min(labels[i], decisions[i]) < 0 || std::max(labels[i], decisions[i]) >= classes) return {};
    counts(labels[i], decisions[i]) += 1.0;
  }
  return counts;
}

std::string sample_words(const RunData& run, std::int32_t sample) {
  std::string words = fmt::format("test sample {}", sample);
  if (!run.has("test_labels") || !run.has("test_predictions")) return words;
  const auto labels = run.integers("test_labels"), decided = run.decisions();
  const auto i = static_cast<std::size_t>(sample);
  if (i >= std::min(labels.size(), decided.size())) return words;
  return words + fmt::format(" (is {}, taken for {})", shortened(run.class_name(labels[i])), shortened(run.class_name(decided[i])));
}

FigureGroup prediction_figures(const RunData& run) {
  FigureGroup group{"What it learned", {}};
  if (!run.has("test_scores")) return group;
  if (run.has("test_targets")) {
    add_regression(run, group.figures);
    return group;
  }
  const Index classes = run.arrays.at("test_scores").shape.back();
  if (!run.has("test_labels") || !run.has("test_predictions") || classes > kMostTableClasses) return group;
  if (confusion_counts(run, classes).size() > 0) group.figures.push_back(confusion_figure(run, classes));
  group.figures.push_back(similarity_figure(run, classes, run.has("prototypes")));
  if (run.has("features") && run.matrix("features").cols() >= 2) group.figures.push_back(projection_figure(run, classes));
  return group;
}

}  // namespace ffzero
