// The page of a study.
// SPDX-License-Identifier: MIT
#include "ffzero/report/study_report.hpp"

#include <utility>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/report/findings.hpp"
#include "ffzero/report/interactive.hpp"
#include "ffzero/report/run_data.hpp"
#include "ffzero/report/study_page.hpp"
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

}  // namespace

std::vector<std::string> write_study_report(const Study& study, const fs::path& out, const GnuplotOptions& gnuplot) {
  const std::vector<SettingResult> results = collect(study, out);
  const Table table = study_table(results);
  std::string notes, findings;
  for (const auto& note : study.notes()) notes += "* " + note + "\n";
  for (const auto& finding : cell_findings(results)) findings += "* " + finding + "\n";
  write_file_atomically(out / "table.md",
                        table.markdown() + (findings.empty() ? "" : "\n" + findings) + (notes.empty() ? "" : "\n" + notes));
  write_file_atomically(out / "table.csv", table.csv());
  const nlohmann::ordered_json said = study_json(study, results, out);
  write_file_atomically(out / "table.json", said.dump(2) + "\n");
  FigureGroup group = study_figures(results);
  const StudyPage page{.title = study.name,
                       .introduction = {},
                       .sections = {{.title = group.title,
                                     .figures = std::move(group.figures),
                                     .curves = interactive_html(runs_of(study, out)),
                                     .table = {},
                                     .words = {}},
                                    {.title = "In words", .figures = {}, .curves = {}, .table = {}, .words = findings},
                                    {.title = "Table", .figures = {}, .curves = {}, .table = table, .words = {}}},
                       .command = {}};
  return write_study_page(page, study, said, out, gnuplot);
}

}  // namespace ffzero
