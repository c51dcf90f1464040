// Data blocks and colours.
// SPDX-License-Identifier: MIT
#include "ffzero/report/figure.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace ffzero {

namespace {
void append_number(std::string& text, double value) {
  if (std::isfinite(value))
    fmt::format_to(std::back_inserter(text), "{:.6g} ", value);
  else
    text += "NaN ";
}
}  // namespace

std::string data_block(const std::string& name, const std::vector<std::vector<double>>& rows) {
  std::string text = "$" + name + " << EOD\n";
  for (const auto& row : rows) {
    for (const double value : row) append_number(text, value);
    text += "\n";
  }
  return text + "EOD\n";
}

std::string data_block(const std::string& name, const Matrix<double>& rows) {
  std::string text = "$" + name + " << EOD\n";
  for (Index i = 0; i < rows.rows(); ++i) {
    for (Index j = 0; j < rows.cols(); ++j) append_number(text, rows(i, j));
    text += "\n";
  }
  return text + "EOD\n";
}

std::string gnuplot_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += '\'';
    out += c == '\n' || c == '\r' ? ' ' : c;
  }
  return out + "'";
}

const std::vector<std::string>& palette() {
  static const std::vector<std::string> colours{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
                                                "#56B4E9", "#8A6D3B", "#8A63D2", "#7F8790", "#B8A800"};
  return colours;
}

const std::string& palette_colour(std::size_t i) { return palette()[i % palette().size()]; }

std::string amount_palette() {
  return "set palette defined (0 '#440154', 0.13 '#482878', 0.25 '#3e4a89', 0.38 '#31688e', 0.5 '#21918c', 0.63 '#35b779', 0.75 '#6ece58', "
         "0.88 '#b5de2b', 1 '#fde725')\n";
}

std::string signed_palette() { return "set palette defined (-1 '#0b5fa5', -0.5 '#6aa7d6', 0 '#d9d9d9', 0.5 '#f0a35e', 1 '#b34700')\n"; }

std::string angle_palette() { return "set palette defined (0 '#e2d9e2', 0.25 '#6276ba', 0.5 '#2f1436', 0.75 '#b25652', 1 '#e2d9e2')\n"; }

}  // namespace ffzero
