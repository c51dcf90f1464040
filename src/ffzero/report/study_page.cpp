// Pages of studies.
// SPDX-License-Identifier: MIT
#include "ffzero/report/study_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <sstream>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/report/interactive.hpp"
#include "ffzero/report/page.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

// Figures that would make a page heavier than what mail takes are named instead.
constexpr std::size_t kMostStudyBytes = 1'300'000;

std::string inline_words(std::string_view line) {
  static const std::regex strong(R"(\*\*([^*]+)\*\*)"), code("`([^`]+)`");
  return std::regex_replace(std::regex_replace(html_escaped(line), strong, "<strong>$1</strong>"), code, "<code>$1</code>");
}

// What the page of the study leads to: the report of a run, or what it says of itself.
std::string address_of(const fs::path& out, const std::string& run) {
  for (const char* file : {"report.html", "summary.json"})
    if (fs::exists(out / "runs" / run / file)) return "runs/" + run + "/" + file;
  return {};
}

std::string runs_html(const nlohmann::ordered_json& said, const Study& study, const fs::path& out) {
  Table table{{"run", "setting", "seed", "status", "test", "train", "training evaluations"}, {}};
  std::vector<std::string> links;
  for (std::size_t i = 0; i < study.runs.size(); ++i) {
    const PlannedRun& run = study.runs[i];
    const auto& result = said.at("runs").at(i);
    const auto number = [&](const char* name, int decimals) {
      return result.at(name).is_number() ? fmt::format("{:.{}f}", result.at(name).get<double>(), decimals) : std::string("-");
    };
    table.rows.push_back({run.name, setting_title(run.axes), std::to_string(run.seed), result.at("status"), number("test", 4),
                          number("train", 4), number("training_evaluations", 0)});
    links.push_back(address_of(out, run.name));
  }
  return "<details><summary>Runs one by one</summary>" + table.html(links) +
         "<p class=\"quiet\">A run has a page of its own once ffzero report has written it; the same command as before then leads there."
         "</p></details>\n";
}

std::string section_html(const StudySection& section, const fs::path& figures, const std::string& prefix, std::size_t most) {
  std::string html = figures_html({section.title, section.figures}, figures, prefix, most);
  const std::string rest = section.curves + (section.table.rows.empty() ? std::string() : section.table.html()) + words_html(section.words);
  if (html.empty() && !rest.empty() && !section.title.empty()) html = "<h2>" + html_escaped(section.title) + "</h2>\n";
  return html + rest;
}

std::string commands_html(const StudyPage& page, const Study& study, const fs::path& out) {
  std::string text = page.command.empty() ? std::string() : page.command + "\n";
  if (!study.runs.empty()) {
    const std::string run = (out / "runs" / study.runs.front().name).lexically_normal().string();
    text += fmt::format("ffzero report {0}\nffzero train {0}/config.toml --out {0}-again\n", run);
  }
  return text.empty() ? text
                      : "<h2>What was run, and how to repeat it</h2>\n<pre>" + html_escaped(text) +
                            "</pre>\n<p class=\"quiet\">The study, the report of one of its runs, and that run again.</p>\n";
}

}  // namespace

std::string words_html(std::string_view markdown) {
  std::istringstream lines{std::string(markdown)};
  std::string html;
  const char* end = "";  // of the paragraph or list that is open
  for (std::string line; std::getline(lines, line);) {
    const bool item = line.starts_with("* ");
    if (line.empty() || (item && end != std::string_view("</ul>\n"))) {
      html += end;
      end = "";
    }
    if (line.empty()) continue;
    if (*end == '\0') {
      html += item ? "<ul>\n" : "<p>";
      end = item ? "</ul>\n" : "</p>\n";
    } else if (!item) {
      html += " ";
    }
    html += item ? "<li>" + inline_words(std::string_view(line).substr(2)) + "</li>\n" : inline_words(line);
  }
  return html + end;
}

std::string study_markdown(const StudyPage& page, const Study& study, const std::vector<std::string>& notices) {
  std::string text = "# " + page.title + "\n\n" + page.introduction;
  for (const StudySection& section : page.sections) {
    if (!section.title.empty()) text += fmt::format("\n## {}\n", section.title);
    for (const Figure& figure : section.figures)
      text += fmt::format("\n![{}](figures/{}.png)\n\n{}\n", figure.title, figure.name, figure.caption);
    if (!section.table.rows.empty()) text += "\n" + section.table.markdown();
    if (!section.words.empty()) text += "\n" + section.words;
  }
  const auto notes = study.notes();
  if (!notes.empty()) text += "\n## Settings that do not apply\n\n";
  for (const auto& note : notes) text += "* " + note + "\n";
  for (const auto& notice : notices) text += "\n" + notice + "\n";
  return text;
}

std::vector<std::string> write_study_page(const StudyPage& page, const Study& study, const nlohmann::ordered_json& said,
                                          const fs::path& out, const GnuplotOptions& gnuplot) {
  std::vector<Figure> figures;
  for (const StudySection& section : page.sections) figures.insert(figures.end(), section.figures.begin(), section.figures.end());
  const auto notices = drawing_notices(draw(figures, out / "figures", gnuplot));
  std::string body = "<h1>" + html_escaped(page.title) + "</h1>\n" + notices_html(notices) + words_html(page.introduction);
  int number = 0;
  for (const StudySection& section : page.sections) {
    const std::string prefix = number++ == 0 ? "s" : fmt::format("s{}_", number);
    body += section_html(section, out / "figures", prefix, kMostStudyBytes - std::min(kMostStudyBytes, body.size()));
  }
  body += runs_html(said, study, out);
  std::string notes;
  for (const auto& note : study.notes()) notes += "* " + note + "\n";
  if (!notes.empty()) body += "<h2>Settings that do not apply</h2>\n" + words_html(notes);
  body += commands_html(page, study, out);
  write_file_atomically(out / "report.html", ffzero::page(page.title + " - ffzero", body + script_html()));
  return notices;
}

}  // namespace ffzero
