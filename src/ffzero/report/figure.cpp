// Data blocks and colours.
// SPDX-License-Identifier: MIT
#include "ffzero/report/figure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string_view>

namespace ffzero {

namespace {
void append_number(std::string& text, double value) {
  if (std::isfinite(value))
    fmt::format_to(std::back_inserter(text), "{:.6g} ", value);
  else
    text += "NaN ";
}

// Pixels: of the rows of a legend, of what stands above a plot (the title), of a character of a legend and of the mark before it.
constexpr int kLegendRow = 21, kAbove = 38;
constexpr double kCharacter = 8.4, kMarkWidth = 26.0;

// Characters, not bytes: continuation bytes of UTF-8 take no room.
double text_width(const std::string& text) {
  return kCharacter * static_cast<double>(
                          std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string legend_mark(const LegendEntry& entry, int number, double x, double y, double width) {
  using Mark = LegendEntry::Mark;
  const double middle = x + 0.5 * width;
  switch (entry.mark) {
    case Mark::dot:
    case Mark::ring:
      return fmt::format("set label {} \"\" at screen {:.4f}, screen {:.4f} point pt {} ps 0.9 lw 1.6 lc rgb \"{}\"\n", number + 500,
                         middle, y, entry.mark == Mark::dot ? 7 : 6, entry.colour);
    default:
      return fmt::format(
          "set arrow {} from screen {:.4f}, screen {:.4f} to screen {:.4f}, screen {:.4f} nohead lw {} dt {} lc rgb \"{}\"\n", number + 500,
          x, y, x + width, y, entry.mark == Mark::box ? 9 : 2,
          entry.mark == Mark::dashed   ? 2
          : entry.mark == Mark::dotted ? 3
                                       : 1,
          entry.colour);
  }
}

// 1, 2 or 5 times a power of ten, so that the range holds at most so many marks.
double mark_distance(double length, double most) {
  const double power = std::pow(10.0, std::floor(std::log10(length / most)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (length / (factor * power) <= most) return factor * power;
  return 10.0 * power;
}

// The scale of colours is filled as other areas are: solid, or it would differ from the cells that it explains.
std::string palette_of(std::string_view colours) {
  return fmt::format("set style fill solid noborder\nset palette defined ({})\n", colours);
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

std::string shortened(std::string_view text, int most) {
  // A character begins at every byte that continues none.
  std::size_t cut = 0;
  int characters = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) continue;
    if (characters == most - 1) cut = i;
    if (++characters > most) return std::string(text.substr(0, cut)) + "..";
  }
  return std::string(text);
}

std::string legend(Figure& figure, const std::vector<LegendEntry>& entries, int below) {
  double widest = 0.0;
  for (const auto& entry : entries) widest = std::max(widest, text_width(entry.title));
  const double entry_width = kMarkWidth + 6.0 + widest + 14.0, width = figure.width;
  const int count = std::max(1, static_cast<int>(entries.size()));
  const int columns = std::clamp(static_cast<int>((width - 10.0) / entry_width), 1, count);
  const int rows = entries.empty() ? 0 : (count + columns - 1) / columns;
  figure.height += kLegendRow * rows;
  const double height = figure.height, left = std::max(4.0, 0.5 * (width - columns * entry_width + 14.0));
  std::string text = fmt::format("set tmargin at screen {:.4f}\nset bmargin at screen {:.4f}\n", 1.0 - kAbove / height,
                                 (below + kLegendRow * rows) / height);
  for (int i = 0; i < static_cast<int>(entries.size()); ++i) {
    const int row = i / columns, column = i % columns;
    const double x = left + column * entry_width, y = (kLegendRow * (rows - 1 - row) + 12) / height;
    const LegendEntry& entry = entries[static_cast<std::size_t>(i)];
    text += legend_mark(entry, i, x / width, y, kMarkWidth / width);
    text += fmt::format("set label {} {} at screen {:.4f}, screen {:.4f} left\n", i + 700, gnuplot_text(entry.title),
                        (x + kMarkWidth + 6.0) / width, y);
  }
  return text;
}

Range range_of(const std::vector<std::vector<double>>& rows, int column) {
  Range range{std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()};
  for (const auto& row : rows)
    if (!row.empty()) {
      const double value = row[static_cast<std::size_t>(column - 1)];
      if (std::isfinite(value)) range = joined(range, {value, value});
    }
  return range;
}

Range joined(Range a, Range b) { return {std::fmin(a.low, b.low), std::fmax(a.high, b.high)}; }

std::string axis(char letter, Range range, Range limits, double least_mark, int most) {
  if (!std::isfinite(range.low) || !std::isfinite(range.high)) return {};
  double length = range.high - range.low;
  if (length <= 0.0) length = std::max(1e-6, 0.1 * std::abs(range.high));
  const Range shown{std::max(limits.low, range.low - 0.05 * length), std::min(limits.high, range.high + 0.05 * length)};
  return fmt::format("set {0}range [{1:.6g}:{2:.6g}]\nset {0}tics {3:.6g}\n", letter, shown.low, shown.high,
                     std::max(least_mark, mark_distance(std::max(1e-9, shown.high - shown.low), most)));
}

std::string cost_axis(const std::vector<Range>& costs, double divisor) {
  constexpr double kFar = 10.0;
  Range ends = range_of({}, 1), all = ends;
  for (const Range& cost : costs) {
    if (!(cost.high > 0.0)) continue;
    ends = joined(ends, {cost.high, cost.high});
    // A point without a cost has no place on a logarithmic axis.
    all = joined(all, {cost.low > 0.0 ? cost.low : cost.high, cost.high});
  }
  if (!(ends.high >= kFar * ends.low)) return axis('x', {0.0, ends.high / divisor}, {0.0, 1e300});
  return logarithmic_axis({all.low / divisor, all.high / divisor});
}

std::string logarithmic_axis(Range range) {
  return fmt::format("set logscale x\nset format x '%g'\nset xrange [{:.6g}:{:.6g}]\n", 0.8 * range.low, 1.25 * range.high);
}

const std::vector<std::string>& palette() {
  static const std::vector<std::string> colours{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00",
                                                "#56B4E9", "#8A6D3B", "#8A63D2", "#7F8790", "#B8A800"};
  return colours;
}

const std::string& palette_colour(std::size_t i) { return palette()[i % palette().size()]; }

std::string amount_palette() {
  return palette_of(
      "0 '#440154', 0.13 '#482878', 0.25 '#3e4a89', 0.38 '#31688e', 0.5 '#21918c', 0.63 '#35b779', 0.75 '#6ece58', 0.88 '#b5de2b', 1 "
      "'#fde725'");
}

std::string signed_palette() { return palette_of("-1 '#0b5fa5', -0.5 '#6aa7d6', 0 '#d9d9d9', 0.5 '#f0a35e', 1 '#b34700'"); }

std::string angle_palette() { return palette_of("0 '#e2d9e2', 0.25 '#6276ba', 0.5 '#2f1436', 0.75 '#b25652', 1 '#e2d9e2'"); }

}  // namespace ffzero
