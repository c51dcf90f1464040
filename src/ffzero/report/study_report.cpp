// The page of a study.
// SPDX-License-Identifier: MIT
#include "ffzero/report/study_report.hpp"

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/report/findings.hpp"
#include "ffzero/report/page.hpp"
#include "ffzero/report/study_results.hpp"

namespace ffzero {

namespace fs = std::filesystem;

std::vector<std::string> write_study_report(const Study& study, const fs::path& out, const GnuplotOptions& gnuplot) {
  const std::vector<SettingResult> results = collect(study, out);
  const Table table = study_table(results);
  std::string notes, notes_html;
  for (const auto& note : study.notes()) {
    notes += "* " + note + "\n";
    notes_html += "<li>" + html_escaped(note) + "</li>\n";
  }
  std::string findings, findings_html;
  for (const auto& finding : cell_findings(results)) {
    findings += "* " + finding + "\n";
    findings_html += "<li>" + html_escaped(finding) + "</li>\n";
  }
  write_file_atomically(out / "table.md",
                        table.markdown() + (findings.empty() ? "" : "\n" + findings) + (notes.empty() ? "" : "\n" + notes));
  write_file_atomically(out / "table.csv", table.csv());
  write_file_atomically(out / "table.json", study_json(study, results, out).dump(2) + "\n");
  const FigureGroup group = study_figures(results);
  const Drawing drawing = draw(group.figures, out / "figures", gnuplot);
  const auto notices = drawing_notices(drawing);
  std::string body =
      "<h1>" + html_escaped(study.name) + "</h1>\n" + ffzero::notices_html(notices) + figures_html(group, out / "figures", "s");
  if (!findings_html.empty()) body += "<h2>In words</h2>\n<ul>\n" + findings_html + "</ul>\n";
  body += "<h2>Table</h2>\n" + table.html();
  if (!notes_html.empty()) body += "<h2>Settings that do not apply</h2>\n<ul>\n" + notes_html + "</ul>\n";
  write_file_atomically(out / "report.html", page(study.name + " - ffzero", body));
  return notices;
}

}  // namespace ffzero
