// The page of a study.
// SPDX-License-Identifier: MIT
#include "ffzero/report/study_report.hpp"

#include <fmt/format.h>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/report/findings.hpp"
#include "ffzero/report/interactive.hpp"
#include "ffzero/report/page.hpp"
#include "ffzero/report/run_data.hpp"
#include "ffzero/report/study_results.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

// The runs that have begun, each under the name of its setting.
std::vector<RunData> runs_of(const Study& study, const fs::path& out) {
  std::vector<RunData> runs;
  for (const PlannedRun& planned : study.runs) {
    const fs::path folder = out / "runs" / planned.name;
    if (!fs::exists(folder / "metrics.jsonl")) continue;
    runs.push_back(read_run(folder));
    runs.back().arrays.clear();
    runs.back().name = setting_title(planned.axes);
  }
  return runs;
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
         "<p class=\"quiet\">A run has a page of its own once ffzero report has written it; sweep then leads there.</p></details>\n";
}

}  // namespace

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
  const nlohmann::ordered_json said = study_json(study, results, out);
  write_file_atomically(out / "table.json", said.dump(2) + "\n");
  const FigureGroup group = study_figures(results);
  const Drawing drawing = draw(group.figures, out / "figures", gnuplot);
  const auto notices = drawing_notices(drawing);
  std::string body =
      "<h1>" + html_escaped(study.name) + "</h1>\n" + ffzero::notices_html(notices) + figures_html(group, out / "figures", "s");
  const std::string curves = interactive_html(runs_of(study, out));
  body += curves;
  if (!findings_html.empty()) body += "<h2>In words</h2>\n<ul>\n" + findings_html + "</ul>\n";
  body += "<h2>Table</h2>\n" + table.html() + runs_html(said, study, out);
  if (!notes_html.empty()) body += "<h2>Settings that do not apply</h2>\n<ul>\n" + notes_html + "</ul>\n";
  write_file_atomically(out / "report.html", page(study.name + " - ffzero", body + script_html()));
  return notices;
}

}  // namespace ffzero
