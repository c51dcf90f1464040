// Pictures of kernels and of what convolutional layers make of samples.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ffzero/base/error.hpp"
#include "ffzero/report/run_figures.hpp"

namespace ffzero {

namespace {

constexpr Index kColumns = 8;  // tiles in a row

/// An array of four dimensions: rows of tiles of several planes (shape[2] x shape[3]).
struct Planes {
  std::vector<double> values;
  Index rows, planes, height, width;

  [[nodiscard]] double at(Index row, Index plane, Index y, Index x) const {
    return values[usize(((row * planes + plane) * height + y) * width + x)];
  }
};

DataError damaged(const RunData& run, const std::string& requirement) {
  return DataError((run.folder / "evaluation.npz").string(), requirement, "another one or none", "the file is damaged");
}

Planes planes_of(const RunData& run, const std::string& name) {
  const auto found = run.arrays.find(name);
  if (found == run.arrays.end() || found->second.shape.size() != 4 || found->second.size() == 0)
    throw damaged(run, name + " must have four dimensions");
  const auto& shape = found->second.shape;
  return {found->second.to<double>(), shape[0], shape[1], shape[2], shape[3]};
}

/// Tiles side by side, kColumns in a row, with gaps (NaN) between them.
class Sheet {
 public:
  Sheet(Index tiles, Index height, Index width)
      : gap_(1 + std::max(height, width) / 14), down_(height + gap_), across_(width + gap_), columns_(std::min(tiles, kColumns)) {
    const Index rows = divide_up(tiles, columns_);
    cells_ = Matrix<double>::Constant(rows * down_ - gap_, columns_ * across_ - gap_, std::numeric_limits<double>::quiet_NaN());
  }
  [[nodiscard]] double& at(Index tile, Index y, Index x) { return cells_(tile / columns_ * down_ + y, tile % columns_ * across_ + x); }
  [[nodiscard]] const Matrix<double>& cells() const { return cells_; }
  /// Cells from one tile to the next, along their longer side.
  [[nodiscard]] Index pitch() const { return std::max(down_, across_); }

 private:
  Index gap_, down_, across_, columns_;
  Matrix<double> cells_;
};

Range range_of_values(const std::vector<double>& values) {
  Range range = range_of({}, 1);
  for (const double v : values)
    if (std::isfinite(v)) range = joined(range, {v, v});
  return std::isfinite(range.low) ? range : Range{0.0, 0.0};
}

// A scale whose middle is 0, with three marks: it may be low.
std::string signed_colours(Range range) {
  const double most = std::max({1e-9, std::abs(range.low), std::abs(range.high)});
  return signed_palette() +
         fmt::format("set cbrange [{0:.6g}:{1:.6g}]\nset cbtics (\"{0:.2g}\" {0:.6g}, \"0\" 0, \"{1:.2g}\" {1:.6g})\n", -most, most);
}

// The same, or one that begins at 0 where nothing is negative.
std::string colours_of(Range range) {
  return range.low < 0.0 ? signed_colours(range) : amount_palette() + fmt::format("set cbrange [0:{:.6g}]\n", std::max(1e-9, range.high));
}

std::string first_of(Index shown, Index count, const char* what) {
  return shown < count ? fmt::format("the first {} of {} {}; {} are left out", shown, count, what, count - shown)
                       : fmt::format("all {} {}", count, what);
}

/// Where the plot lies, in pixels: a drawing of `across` x `down` units of one length fills the width beside the scale of colours.
std::string tiled_plot(Figure& f, double across, double down) {
  constexpr double kLeft = 10.0, kScale = 84.0, kTop = 36.0, kBottom = 10.0;
  const double unit = (f.width - kLeft - kScale) / across;
  f.height = static_cast<int>(std::lround(kTop + kBottom + unit * down));
  const double width = f.width, height = f.height;
  return fmt::format(
      "unset grid\nset border 0\nunset xtics\nunset ytics\nset lmargin at screen {:.5f}\nset rmargin at screen {:.5f}\nset tmargin at "
      "screen {:.5f}\nset bmargin at screen {:.5f}\nset xrange [0:{:.6g}]\nset yrange [{:.6g}:0]\n",
      kLeft / width, 1.0 - kScale / width, 1.0 - kTop / height, kBottom / height, across, down);
}

Figure kernels_figure(const RunData& run) {
  const Planes kernels = planes_of(run, "kernels");
  const auto about = run.about.value("kernels", nlohmann::json::object());
  const Index inputs = about.value("inputs", kernels.planes), side = kernels.width + 1;
  Sheet sheet(kernels.rows, kernels.height, kernels.planes * side - 1);
  for (Index k = 0; k < kernels.rows; ++k)
    for (Index c = 0; c < kernels.planes; ++c)
      for (Index y = 0; y < kernels.height; ++y)
        for (Index x = 0; x < kernels.width; ++x) sheet.at(k, y, c * side + x) = kernels.at(k, c, y, x);
  const Range range = range_of_values(kernels.values);
  const std::string layer = about.value("layer", "convolution");
  Figure f;
  f.name = "kernels";
  f.title = fmt::format("{}: learnt kernels", layer);
  f.caption = fmt::format(
      "Kernels of the first convolution, {} x {} pixels, a tile each ({}){}, before batch normalisation. Values lie between {:.3g} and "
      "{:.3g}; "
      "grey is 0.",
      kernels.height, kernels.width, first_of(kernels.rows, about.value("count", kernels.rows), "kernels"),
      inputs > 1 ? fmt::format(", input channels side by side ({})", first_of(kernels.planes, inputs, "channels")) : "", range.low,
      range.high);
  f.data = data_block("cells", sheet.cells());
  f.plot = signed_colours(range) + tiled_plot(f, static_cast<double>(sheet.cells().cols()), static_cast<double>(sheet.cells().rows())) +
           "plot $cells matrix using ($1+0.5):($2+0.5):3 with image notitle\n";
  return f;
}

/// A grey picture as rows of x, y (the middles of its pixels, its longer side has the length 1), and the grey three times.
std::string picture_block(const std::string& name, const NpyArray& images, Index number) {
  const Index height = images.shape[1], width = images.shape[2];
  const double pixel = 1.0 / static_cast<double>(std::max(height, width));
  const auto greys = images.to<double>();
  std::vector<std::vector<double>> rows;
  for (Index y = 0; y < height; ++y)
    for (Index x = 0; x < width; ++x) {
      const double grey = greys[usize((number * height + y) * width + x)];
      rows.push_back({pixel * (static_cast<double>(x) + 0.5), pixel * (static_cast<double>(y) + 0.5), grey, grey, grey});
    }
  return data_block(name, rows);
}

const NpyArray* pictures_of(const RunData& run, Index samples) {
  const auto found = run.arrays.find("maps_images");
  if (found == run.arrays.end()) return nullptr;
  const auto& shape = found->second.shape;
  return shape.size() == 3 && shape[0] == samples && found->second.size() > 0 ? &found->second : nullptr;
}

Figure maps_figure(const RunData& run, std::size_t number, const nlohmann::json& layer) {
  constexpr double kWords = 0.55, kBeside = 0.25;  // room for a line above, and between a sample and its maps; tiles have the length 1
  const Planes maps = planes_of(run, fmt::format("maps.{}", number));
  const auto samples = run.integers("maps_samples");
  const auto shape = layer.at("shape").get<std::vector<Index>>();
  if (isize(samples.size()) != maps.rows || shape.size() != 3) throw damaged(run, "maps_samples must have a sample for each row of maps");
  const Range range = range_of_values(maps.values);
  const NpyArray* pictures = pictures_of(run, maps.rows);
  const Index whole_rows = divide_up(maps.planes, kColumns);
  const auto tile_rows = static_cast<double>(whole_rows);
  const double picture = pictures == nullptr ? 0.0 : tile_rows + kBeside;
  Figure f;
  f.name = fmt::format("maps_{}", number);
  f.title = fmt::format("{}: feature maps, {} x {} x {}", layer.at("name").get<std::string>(), shape.at(0), shape.at(1), shape.at(2));
  f.caption = fmt::format(
      "What the layer passes on for {} test samples, which stand beside their maps ({}). Values lie between {:.3g} and {:.3g}, on one "
      "scale for all tiles.",
      maps.rows, first_of(maps.planes, shape.at(0), "maps"), range.low, range.high);
  if (const Index step = layer.value("step", Index{1}); step > 1) f.caption += fmt::format(" Of {} rows and columns one is shown.", step);
  f.width = 520;
  std::string places, clauses;
  for (Index s = 0; s < maps.rows; ++s) {
    Sheet sheet(maps.planes, maps.height, maps.width);
    for (Index m = 0; m < maps.planes; ++m)
      for (Index y = 0; y < maps.height; ++y)
        for (Index x = 0; x < maps.width; ++x) sheet.at(m, y, x) = maps.at(s, m, y, x);
    const double pixel = 1.0 / static_cast<double>(sheet.pitch());
    const double top = static_cast<double>(s) * (tile_rows + kWords) + kWords;
    f.data += data_block(fmt::format("maps{}", s), sheet.cells());
    places += fmt::format("set label {} {} at first 0, first {:.4f} left\n", s + 1, gnuplot_text(sample_words(run, samples.at(usize(s)))),
                          top - 0.5 * kWords);
    clauses += fmt::format("{0}$maps{1} matrix using ({2:.5f}+{3:.6f}*($1+0.5)):({4:.5f}+{3:.6f}*($2+0.5)):3 with image notitle",
                           s == 0 ? "plot " : ", ", s, picture, pixel, top);
    if (pictures == nullptr) continue;
    f.data += picture_block(fmt::format("sample{}", s), *pictures, s);
    clauses += fmt::format(", $sample{} using ({}*$1):({:.5f}+{}*$2):3:4:5 with rgbimage notitle", s, tile_rows, top, tile_rows);
  }
  f.plot =
      colours_of(range) +
      tiled_plot(f, picture + static_cast<double>(std::min(maps.planes, kColumns)), static_cast<double>(maps.rows) * (tile_rows + kWords)) +
      places + clauses + "\n";
  return f;
}

}  // namespace

FigureGroup convolution_figures(const RunData& run) {
  FigureGroup group{"Filters and feature maps", {}};
  if (run.has("kernels")) group.figures.push_back(kernels_figure(run));
  const auto layers = run.about.value("maps", nlohmann::json::array());
  for (std::size_t i = 0; i < layers.size(); ++i) group.figures.push_back(maps_figure(run, i, layers[i]));
  return group;
}

}  // namespace ffzero
