// Pages.
// SPDX-License-Identifier: MIT
#include "ffzero/report/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <regex>
#include <sstream>

#include "ffzero/dataset/image_file.hpp"
#include "ffzero/report/table.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPageStyle = R"CSS(
:root{color-scheme:light dark;--page:#fff;--card:#f6f7f9;--ink:#1b1f24;--quiet:#57606a;--line:#d5d9de;--accent:#0b5fa5;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--page:#14171b;--card:#1d2126;--ink:#e8eaed;--quiet:#a3abb5;--line:#3a4048;--accent:#7fbcf0;--bad:#ff9b8e}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:1320px;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:.3rem 0 .6rem}
h2{font-size:1.2rem;margin:2.2rem 0 .7rem;border-bottom:1px solid var(--line);padding-bottom:.25rem}
h3{font-size:1rem;margin:1rem 0 .4rem}
p{margin:.5rem 0}
.quiet{color:var(--quiet)}
.lead{font-size:1.05rem}
.notice{border-left:4px solid var(--bad);padding:.5rem .8rem;background:var(--card)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.7rem;margin:1rem 0}
.tile{background:var(--card);border-radius:8px;padding:.6rem .8rem}
.tile b{display:block;font-size:1.35rem;line-height:1.3}
.tile span{color:var(--quiet);font-size:.86rem}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,380px),1fr));gap:1rem}
figure{margin:0;background:var(--card);border-radius:8px;padding:.6rem;break-inside:avoid}
figure svg{display:block;width:100%;height:auto;color:var(--ink)}
figcaption{font-size:.86rem;color:var(--quiet);margin-top:.3rem}
.curves label{margin-right:.9rem;white-space:nowrap}
.curves select{margin-right:.9rem;font:inherit}
.curves button{font:inherit;min-width:2.2rem;margin-right:.3rem}
.curves button:last-of-type{margin-right:.9rem}
.curves>svg{display:block;width:100%;height:auto;background:var(--card);border-radius:8px;touch-action:pan-y;user-select:none;-webkit-user-select:none}
.table{overflow-x:auto;margin:.6rem 0;max-width:100%}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:normal}
th{color:var(--quiet);font-weight:600}
pre{background:var(--card);border-radius:8px;padding:.7rem;overflow-x:auto;font-size:.84rem;line-height:1.4;white-space:pre-wrap}
a{color:var(--accent)}
td a{white-space:nowrap}
details summary{cursor:pointer;color:var(--accent)}
.samples{display:grid;margin:.6rem 0;grid-template-columns:repeat(auto-fill,minmax(104px,1fr));gap:.6rem}
.sample{background:var(--card);border-radius:8px;padding:.5rem;font-size:.82rem;line-height:1.35;break-inside:avoid}
.sample i{display:block;width:84px;height:84px;margin:0 auto .3rem;image-rendering:pixelated;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.sample b{color:var(--bad)}
.sample b.right{color:inherit}
@media (max-width:480px){body{padding:.7rem}figure{padding:.4rem .15rem}figcaption{padding:0 .4rem}th,td{padding-right:.6rem}}
@media print{.explore{display:none}:root{--page:#fff;--card:#fff;--ink:#000;--quiet:#444;--line:#bbb;--accent:#000;--bad:#a00}
body{max-width:none;padding:0;font-size:10pt}figure,.tile,.sample,pre{border:1px solid #ccc}.figures{grid-template-columns:1fr 1fr}h2{break-after:avoid}}
)CSS";

std::string picture_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
}

// A box of a scale of colours, as gnuplot draws it: one of 128 on top of each other.
struct ScaleBox {
  std::string colour;
  double left, bottom, right, top;
};

std::optional<ScaleBox> scale_box(const std::string& line) {
  static const std::regex box(
      R"(\s*<polygon fill = '(rgb\([^']*\))'(?: fill-opacity = '[^']*')? points = '([0-9.]+),([0-9.]+) ([0-9.]+),[0-9.]+ [0-9.]+,([0-9.]+) [0-9.]+,[0-9.]+ '/>)");
  std::smatch parts;
  if (!line.starts_with("\t\t<polygon") || !std::regex_match(line, parts, box)) return std::nullopt;
  return ScaleBox{parts[1], std::stod(parts[2]), std::stod(parts[3]), std::stod(parts[4]), std::stod(parts[5])};
}

// The same scale as one box with a gradient.
std::string gradient(const std::vector<ScaleBox>& boxes) {
  constexpr std::size_t kParts = 16;
  std::string svg = "<linearGradient id=\"scale\" x1=\"0\" y1=\"1\" x2=\"0\" y2=\"0\">";
  for (std::size_t i = 0; i <= kParts; ++i)
    svg += fmt::format("<stop offset=\"{:g}\" stop-color=\"{}\"/>", static_cast<double>(i) / kParts,
                       boxes[i * (boxes.size() - 1) / kParts].colour);
  const ScaleBox &first = boxes.front(), &last = boxes.back();
  return svg + fmt::format("</linearGradient>\n<rect x=\"{}\" y=\"{}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"url(#scale)\"/>\n",
                           first.left, last.top, first.right - first.left, first.bottom - last.top);
}

// Without groups that hold nothing, and with scales of colours as gradients.
std::string without_empty_groups(const std::string& svg) {
  constexpr std::size_t kFewest = 100;
  std::string out;
  std::vector<ScaleBox> boxes;
  std::string raw;
  const auto end_of_boxes = [&] {
    out += boxes.size() >= kFewest ? gradient(boxes) : raw;
    boxes.clear();
    raw.clear();
  };
  std::istringstream lines(svg);
  for (std::string line, before; std::getline(lines, line); before = line) {
    if (const auto box = scale_box(line)) {
      // The cells of a matrix are such boxes too, but side by side.
      const bool above =
          boxes.empty() || (box->left == boxes.back().left && box->right == boxes.back().right && box->top < boxes.back().top);
      if (!above) end_of_boxes();
      boxes.push_back(*box);
      raw += line + "\n";
      continue;
    }
    if (!boxes.empty()) end_of_boxes();
    if (line == "</g>" && before.starts_with("<g ") && before.ends_with(">"))
      out.resize(out.size() - before.size() - 1);
    else
      out += line + "\n";
  }
  return out;
}

// Every file defines all marks that gnuplot has; those of a higher number may be made of lower ones.
void remove_unused_definitions(std::string& svg) {
  constexpr int kMarks = 15;
  const auto remove = [&](const std::string& begin, const std::string& end) {
    const auto at = svg.find(begin);
    if (at != std::string::npos) svg.erase(at, svg.find(end, at) + end.size() - at);
  };
  for (const char* filter : {"textbox", "greybox"})
    if (svg.find(fmt::format("url(#{})", filter)) == std::string::npos) remove(fmt::format("<filter id='{}'", filter), "</filter>\n");
  for (int mark = kMarks - 1; mark >= 0; --mark) {
    const std::string name = fmt::format("gpPt{}'", mark);
    if (svg.find("'#" + name) != std::string::npos) continue;
    const auto at = svg.find("id='" + name);
    if (at == std::string::npos) continue;
    const auto begin = svg.rfind('\n', at) + 1;
    svg.erase(begin, svg.find('\n', at) + 1 - begin);
  }
}

GreyImage sheet_of(const NpyArray& images, Index columns) {
  const Index count = images.shape[0], height = images.shape[1], width = images.shape[2];
  const Index rows = divide_up(count, columns);
  GreyImage sheet{rows * height, columns * width, std::vector<std::uint8_t>(usize(rows * height * columns * width), 0)};
  const auto pixels = images.to<std::uint8_t>();
  for (Index i = 0; i < count; ++i)
    for (Index y = 0; y < height; ++y)
      for (Index x = 0; x < width; ++x)
        sheet.pixels[usize(((i / columns) * height + y) * sheet.width + (i % columns) * width + x)] =
            pixels[usize((i * height + y) * width + x)];
  return sheet;
}

// Writes the image, and gives it as an address for CSS.
std::string png_address(const fs::path& file, const GreyImage& image) {
  write_png(file, image);
  const std::string png = picture_text(file);
  return fmt::format("url(data:image/png;base64,{})", base64({reinterpret_cast<const unsigned char*>(png.data()), png.size()}));
}

// What the samples are, what they were taken for, in words.
std::vector<std::string> words_of_samples(const RunData& run, const std::vector<std::int32_t>& samples) {
  std::vector<std::string> words;
  if (run.has("test_targets")) {
    const Matrix<double> targets = run.matrix("test_targets"), scores = run.test_scores(run.deciding_layer());
    const auto row = [](const Matrix<double>& of, Index i) {
      std::string text;
      for (Index t = 0; t < of.cols(); ++t) text += fmt::format("{}{:.3f}", t > 0 ? ", " : "", of(i, t));
      return text;
    };
    for (const std::int32_t i : samples) words.push_back(fmt::format("target {}<br><b>got {}</b>", row(targets, i), row(scores, i)));
    return words;
  }
  const auto labels = run.integers("test_labels");
  const auto decided = run.decisions();
  for (const std::int32_t sample : samples) {
    const auto i = static_cast<std::size_t>(sample);
    const bool right = labels[i] == decided[i];
    words.push_back(fmt::format("is {}<br><b{}>taken for {}</b>", html_escaped(run.class_name(labels[i])), right ? " class=\"right\"" : "",
                                html_escaped(run.class_name(decided[i]))));
  }
  return words;
}

}  // namespace

std::string base64(std::span<const unsigned char> bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) word = word << 8U | (k < left ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= left ? kDigits[word >> (18U - 6U * k) & 63U] : '=';
  }
  return out;
}

std::string page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
      html_escaped(title), kPageStyle, body);
}

std::string inline_svg(const fs::path& file, const std::string& prefix) {
  std::string svg = picture_text(file);
  const auto begin = svg.find("<svg");
  if (begin == std::string::npos) return {};
  svg.erase(0, begin);
  static const std::regex head(R"(\s(xmlns(:xlink)?="[^"]*"))"), words(R"(<(title|desc)>[^<]*</(title|desc)>)");
  const std::size_t open_end = svg.find('>');
  svg = std::regex_replace(svg.substr(0, open_end), head, "") + svg.substr(open_end);
  svg = std::regex_replace(svg.substr(0, std::min<std::size_t>(svg.size(), 400)), words, "") + (svg.size() > 400 ? svg.substr(400) : "");
  // gnuplot names black for what it was given no colour for; the page knows better.
  for (const char* black : {" color=\"black\"", " color=\"white\""}) replace_all(svg, black, "");
  for (const char* black : {"\"black\"", "\"rgb(0,0,0)\"", "\"rgb(  0,   0,   0)\""}) replace_all(svg, black, "\"currentColor\"");
  for (const char* black : {"'black'", "'rgb(  0,   0,   0)'", "'rgb(0,0,0)'"}) replace_all(svg, black, "'currentColor'");
  remove_unused_definitions(svg);
  svg = without_empty_groups(svg);
  for (const char quote : {'"', '\''}) {
    replace_all(svg, fmt::format(" id={}", quote), fmt::format(" id={}{}-", quote, prefix));
    replace_all(svg, fmt::format("href={}#", quote), fmt::format("href={}#{}-", quote, prefix));
  }
  replace_all(svg, "url(#", "url(#" + prefix + "-");
  return svg;
}

std::string notices_html(const std::vector<std::string>& notices) {
  std::string html;
  for (const auto& notice : notices) html += "<p class=\"notice\">" + html_escaped(notice) + "</p>\n";
  return html;
}

std::string figures_html(const FigureGroup& group, const fs::path& folder, const std::string& prefix, std::size_t most) {
  constexpr std::string_view kSvg = "<svg";
  std::string html;
  int number = 0, left_out = 0;
  for (const Figure& figure : group.figures) {
    std::string svg = inline_svg(folder / (figure.name + ".svg"), fmt::format("{}{}", prefix, ++number));
    if (svg.empty()) continue;
    if (html.size() + svg.size() > most) {
      ++left_out;
      continue;
    }
    svg.insert(kSvg.size(), fmt::format(" role=\"img\" aria-label=\"{}\"", html_escaped(figure.title)));
    html += fmt::format("<figure id=\"{}\">{}<figcaption>{}</figcaption></figure>\n", html_escaped(prefix + "-" + figure.name), svg,
                        html_escaped(figure.caption));
  }
  if (left_out > 0)
    html += fmt::format("<p class=\"quiet\">{} more figures lie in {}: with them this page would be too large to send.</p>\n", left_out,
                        html_escaped(folder.string()));
  return html.empty() ? html : fmt::format("<h2>{}</h2>\n<div class=\"figures\">\n{}</div>\n", html_escaped(group.title), html);
}

std::string sample_html(const NpyArray* picture, const fs::path& file, const std::string& words) {
  std::string shown;
  if (picture != nullptr)
    shown = fmt::format("<i role=\"img\" aria-label=\"the sample\" style=\"background-image:{};background-size:84px 84px\"></i>",
                        png_address(file, {picture->shape.at(0), picture->shape.at(1), picture->to<std::uint8_t>()}));
  return "<div class=\"samples\">\n<div class=\"sample\">" + shown + words + "</div>\n</div>\n";
}

std::string worst_samples_html(const RunData& run, const fs::path& folder) {
  if (!run.has("worst_indices") || !run.has("test_scores")) return {};
  const auto samples = run.integers("worst_indices");
  const auto words = words_of_samples(run, samples);
  constexpr Index kSheetColumns = 6;
  std::string html = "<h2>Sample predictions, the worst first</h2>\n";
  const bool pictures = run.has("worst_images") && run.arrays.at("worst_images").shape.size() == 3;
  Index rows = 1;
  if (pictures) {
    const GreyImage sheet = sheet_of(run.arrays.at("worst_images"), kSheetColumns);
    rows = divide_up(isize(samples.size()), kSheetColumns);
    html += fmt::format("<style>.sample i{{background-image:{};background-size:{}px {}px}}</style>\n",
                        png_address(folder / "worst_samples.png", sheet), 84 * kSheetColumns, 84 * rows);
  }
  html += "<div class=\"samples\">\n";
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto at = isize(i);
    const std::string picture =
        pictures ? fmt::format("<i role=\"img\" aria-label=\"test sample {}\" style=\"background-position:-{}px -{}px\"></i>", samples[i],
                               84 * (at % kSheetColumns), 84 * (at / kSheetColumns))
                 : "";
    html += fmt::format("<div class=\"sample\">{}{}<br><span class=\"quiet\">test {}</span></div>\n", picture, words[i], samples[i]);
  }
  return html + "</div>\n";
}

}  // namespace ffzero
