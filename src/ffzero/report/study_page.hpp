// The page of a study: figures, tables and words, and the way to its runs.
// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/report/figure.hpp"
#include "ffzero/report/gnuplot.hpp"
#include "ffzero/report/table.hpp"
#include "ffzero/run/study.hpp"

namespace ffzero {

/// What stands under one heading, in this order; what is empty is left out. Words are Markdown: paragraphs, lists with "* ", **strong**
/// words and `code`.
struct StudySection {
  std::string title;
  std::vector<Figure> figures;
  std::string curves;  ///< of interactive_html; pages only
  Table table;
  std::string words;
};

struct StudyPage {
  std::string title;
  std::string introduction;  ///< Markdown, under the title
  std::vector<StudySection> sections;
  std::string command;  ///< that wrote it; empty: not said
};

/// Words (see StudySection) as HTML; everything else in them is escaped.
[[nodiscard]] std::string words_html(std::string_view markdown);

/// The page as Markdown, with figures/<name>.png, the study's notes and lines about what is missing; without its runs.
[[nodiscard]] std::string study_markdown(const StudyPage& page, const Study& study, const std::vector<std::string>& notices);

/// Draws the figures into <out>/figures and writes <out>/report.html: the sections, a list of the runs that leads to their reports, notes,
/// and commands. said: study_json of the study. Returns notices about what is missing. @throws OutputError if a file cannot be written
[[nodiscard]] std::vector<std::string> write_study_page(const StudyPage& page, const Study& study, const nlohmann::ordered_json& said,
                                                        const std::filesystem::path& out, const GnuplotOptions& gnuplot);

}  // namespace ffzero
