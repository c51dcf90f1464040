// The report.
// SPDX-License-Identifier: MIT
#include "ffzero/report/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <system_error>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/base/error.hpp"
#include "ffzero/report/interactive.hpp"
#include "ffzero/report/page.hpp"
#include "ffzero/report/run_data.hpp"
#include "ffzero/report/run_figures.hpp"
#include "ffzero/report/table.hpp"
#include "ffzero/run/baseline.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

using json = nlohmann::ordered_json;

// Pages are sent by mail: figures of many meshes that would make one heavier than 1.5 MB are named instead.
constexpr std::size_t kMostReportBytes = 1'400'000;

std::string short_number(double n) {
  if (n >= 2e9) return fmt::format("{:.2f} G", n / 1e9);
  if (n >= 1e6) return fmt::format("{:.2f} M", n / 1e6);
  if (n >= 1e4) return fmt::format("{:.1f} k", n / 1e3);
  return fmt::format("{:.0f}", n);
}

std::string seconds(double s) { return s < 120.0 ? fmt::format("{:.1f} s", s) : fmt::format("{:.1f} min", s / 60.0); }

std::string shown(const json& value) { return value.is_number() ? fmt::format("{:.4f}", value.get<double>()) : "-"; }

std::string tile(const std::string& value, const std::string& label) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", html_escaped(value), html_escaped(label));
}

std::string text_of_value(const json& v) { return v.is_string() ? v.get<std::string>() : v.dump(); }

std::string tiles_of(const RunData& run) {
  const json& s = run.summary;
  std::string html = "<div class=\"tiles\">\n";
  const std::string metric = metric_words(run.metric);
  html += tile(shown(s.at("final").at("test")), "test " + metric);
  html += tile(shown(s.at("final").at("train")), "train " + metric);
  if (const auto& baseline = baseline_of(s); baseline.is_object())
    html += tile(shown(baseline.at("test")), "baseline: " + baseline.at("kind").get<std::string>());
  html += tile(short_number(s.at("forward_evals").at("training")), "forward evaluations of training");
  html += tile(seconds(s.at("wall_s").at("total")), "wall time, of which " + seconds(s.at("wall_s").at("training")) + " training");
  if (s.contains("peak_rss_bytes")) html += tile(fmt::format("{:.0f} MB", s.at("peak_rss_bytes").get<double>() / 1e6), "largest memory");
  html += tile(s.at("information"), "information used by the gradient");
  return html + "</div>\n";
}

Table layer_table(const RunData& run) {
  Table table{{"layer", "test", "train", "test loss", "parameters", "information"}, {}};
  for (const auto& layer : run.summary.at("layers"))
    table.rows.push_back({layer.at("name"), shown(layer.at("test").at("value")), shown(layer.at("train").at("value")),
                          shown(layer.at("test").at("loss")), layer.at("parameters").dump(), layer.at("information")});
  const json& vote = run.summary.at("vote");
  if (vote.is_object())
    table.rows.push_back({"vote: " + vote.at("rule").get<std::string>(), shown(vote.at("test")), shown(vote.at("train")), "-", "-", "-"});
  const json& baseline = baseline_of(run.summary);
  if (baseline.is_object())
    table.rows.push_back(
        {"baseline: " + baseline.at("kind").get<std::string>(), shown(baseline.at("test")), shown(baseline.at("train")), "-", "-", "-"});
  return table;
}

// Classes one by one, or the targets of a regression with several; no rows where there is nothing to tell.
Table details_table(const RunData& run) {
  constexpr std::size_t kMostRows = 200;
  const json& s = run.summary;
  if (s.contains("outputs")) {
    Table table{{"target", "test R\u00b2"}, {}};
    for (const auto& output : s["outputs"]) table.rows.push_back({text_of_value(output.at("name")), shown(output.at("r2"))});
    return table;
  }
  Table table{{"class", "test samples", "recall", "precision"}, {}};
  const json classes = s.value("classes", json::array());
  const Matrix<double> counts = confusion_counts(run, isize(classes.size()));
  for (const auto& entry : classes) {
    if (table.rows.size() == kMostRows) break;
    const Index k = isize(table.rows.size());
    const double taken = counts.size() > 0 ? counts.col(k).sum() : 0.0;
    table.rows.push_back({text_of_value(entry.at("name")), entry.at("samples").dump(), shown(entry.at("recall")),
                          taken > 0.0 ? fmt::format("{:.4f}", counts(k, k) / taken) : "-"});
  }
  if (!table.rows.empty() && s.at("final").contains("balanced_accuracy"))
    table.rows.push_back({"balanced accuracy (mean recall)", "", shown(s.at("final").at("balanced_accuracy")), ""});
  return table;
}

// The pairs of classes that are taken for each other most often.
std::string confusions_html(const RunData& run) {
  constexpr std::size_t kMost = 10;
  const Matrix<double> counts = confusion_counts(run, isize(run.summary.value("classes", json::array()).size()));
  std::vector<std::pair<Index, Index>> pairs;
  for (Index k = 0; k < counts.rows(); ++k)
    for (Index j = 0; j < counts.cols(); ++j)
      if (k != j && counts(k, j) > 0.0) pairs.emplace_back(k, j);
  std::stable_sort(pairs.begin(), pairs.end(), [&](auto a, auto b) { return counts(a.first, a.second) > counts(b.first, b.second); });
  Table table{{"true class", "taken for", "samples", "of its class"}, {}};
  for (const auto& [k, j] : pairs) {
    if (table.rows.size() == kMost) break;
    table.rows.push_back({run.class_name(k), run.class_name(j), fmt::format("{:.0f}", counts(k, j)),
                          fmt::format("{:.1f} %", 100.0 * counts(k, j) / counts.row(k).sum())});
  }
  return table.rows.empty() ? std::string() : "<details><summary>Worst confusions</summary>" + table.html() + "</details>\n";
}

Table cost_table(const RunData& run) {
  Table table{{"cost", "value"}, {}};
  for (const auto& [name, value] : run.summary.at("forward_evals").items())
    if (value.is_number())
      table.rows.push_back({name == "pullbacks" ? "pullbacks (adjoint)"
                            : name == "checks"  ? "pullbacks of the check of first steps, not seen by training"
                            : name == "failed"  ? "readings of devices in steps that failed and were repeated"
                                                : "forward evaluations, " + name,
                            value.dump()});
  if (run.about.contains("evaluations"))
    table.rows.push_back({"forward evaluations for the figures (not part of the counts above)", run.about["evaluations"].dump()});
  for (const auto& [name, value] : run.summary.at("wall_s").items())
    if (value.is_number()) table.rows.push_back({"seconds, " + name, fmt::format("{:.2f}", value.get<double>())});
  if (run.summary.contains("peak_rss_bytes")) table.rows.push_back({"largest memory, bytes", run.summary["peak_rss_bytes"].dump()});
  return table;
}

Table machine_table(const RunData& run) {
  Table table{{"machine", "value"}, {}};
  const json machine = run.summary.value("machine", json::object());
  for (const auto& [name, value] : machine.items()) table.rows.push_back({name, text_of_value(value)});
  table.rows.push_back({"ffzero", run.summary.value("version", "?")});
  return table;
}

}  // namespace

std::string devices_html(const json& of) {
  if (!of.contains("devices") || of["devices"].empty()) return {};
  Table table{
      {"device", "layer", "readings", "writes", "failures", "dropped", "retries", "restarts", "projected", "noise", "drift", "seconds"},
      {}};
  const auto steady = [](const json& value) { return value.is_number() ? fmt::format("{:.3g}", value.get<double>()) : std::string("-"); };
  const auto layer_of = [](const json& d) {
    std::string layer = d.at("name");
    if (d.contains("number")) layer += fmt::format(", number {}", d["number"].dump());
    if (const auto unasked = d.value("unasked", std::int64_t{0}); unasked > 0)
      layer += fmt::format(", not asked for {} of the dropped rows", unasked);
    if (const json since = d.value("without_since", json()); !since.is_null())
      layer += fmt::format(", left out after {} evaluations", since.dump());
    return layer;
  };
  for (const json& d : of.at("devices"))
    table.rows.push_back({d.at("identity").get<std::string>() + " at " + d.at("address").get<std::string>(), layer_of(d),
                          d.at("readings").dump(), d.at("writes").dump(), d.at("failures").dump(),
                          d.contains("dropped") ? d["dropped"].dump() : "0", d.at("retries").dump(), d.at("restarts").dump(),
                          d.at("projected").dump(), steady(d.at("noise").at("measured")), steady(d.at("drift")),
                          fmt::format("{:.1f}", d.at("seconds").get<double>())});
  const json skipped = of.value("skipped", json::object());
  const auto count = [&](const char* name) { return skipped.value(name, std::int64_t{0}); };
  const std::string left_out =
      count("steps") + count("directions") == 0
          ? std::string()
          : fmt::format("<p>{} steps had no reading and changed nothing; {} directions of other steps were left out.</p>\n", count("steps"),
                        count("directions"));
  return "<h2>Devices</h2>\n" + table.html() + left_out +
         "<p class=\"quiet\">Readings: rows that came back. Dropped: rows that did not, and that training went on without. Writes: "
         "parameter vectors that were set. Noise: standard deviation of a "
         "reading of a "
         "fixed input at the end. Drift: largest change of its mean since the start. Seconds: spent waiting for the device.</p>\n";
}

namespace {

std::string headline(const RunData& run) {
  const json& s = run.summary;
  std::string front;
  for (const auto& f : s.value("front_ends", json::array())) front += ", " + f.get<std::string>();
  return fmt::format("<p class=\"lead\">{} on {}: estimator {}, information {}{}, preset {}, seed {}, stopped by {}.</p>\n",
                     html_escaped(s.at("solver").get<std::string>()), html_escaped(s.at("dataset").get<std::string>()),
                     html_escaped(s.at("estimator").get<std::string>()), html_escaped(s.at("information").get<std::string>()),
                     html_escaped(front), html_escaped(s.at("preset").get<std::string>()), s.at("seed").dump(),
                     html_escaped(s.at("stopped_by").get<std::string>()));
}

std::string repeat_html(const RunData& run) {
  return fmt::format(
      "<h2>What was run, and how to repeat it</h2>\n<pre>ffzero train {0}/config.toml --out {0}-again</pre>\n"
      "<p class=\"quiet\">The settings are complete; the same version on the same type of processor gives the same bits, with any number "
      "of threads.</p>\n"
      "<details open><summary>config.toml</summary><pre>{1}</pre></details>\n",
      html_escaped(run.folder.lexically_normal().string()), html_escaped(run.config));
}

// Says of layers that have nothing left to learn from the train set, and get worse on the test set.
std::string overfitting_html(const RunData& run) {
  constexpr double kAllRight = 0.9995, kRise = 1.05;
  std::map<int, std::vector<const EpochPoint*>> layers;
  for (const EpochPoint& p : run.epochs)
    if (std::isfinite(p.test_loss)) layers[p.layer_index].push_back(&p);
  std::string html;
  for (const auto& [index, points] : layers) {
    const EpochPoint& last = *points.back();
    const EpochPoint& best = **std::ranges::min_element(points, {}, [](const EpochPoint* p) { return p->test_loss; });
    if (run.metric != "accuracy" || !(last.train >= kAllRight) || last.test_loss <= kRise * best.test_loss) continue;
    html += fmt::format(
        "<p class=\"quiet\">{}: train accuracy is {:.4f}, and the test loss has risen since epoch {:g}, from {:.4g} to {:.4g}: more epochs "
        "of this layer fit the train set only.</p>\n",
        html_escaped(last.layer), last.train, best.epoch, best.test_loss, last.test_loss);
  }
  return html;
}

void draw_groups(const std::vector<FigureGroup>& groups, const fs::path& folder, const GnuplotOptions& gnuplot, ReportResult& result) {
  std::vector<Figure> all;
  for (const auto& group : groups) all.insert(all.end(), group.figures.begin(), group.figures.end());
  const Drawing drawing = draw(all, folder, gnuplot);
  result.notices = drawing_notices(drawing);
  if (drawing.available) result.figures = static_cast<int>(all.size() - drawing.failures.size());
}

}  // namespace

std::string report_body(const RunData& run, const fs::path& figures, const GnuplotOptions& gnuplot, ReportResult& result) {
  const std::vector<FigureGroup> groups{learning_figures(run), prediction_figures(run), convolution_figures(run), photonic_figures(run)};
  draw_groups(groups, figures, gnuplot, result);
  if (!run.summary.is_object())
    result.notices.emplace_back("This run has not finished: only its curves are shown. Go on with ffzero train --resume " +
                                run.folder.string());
  else if (!run.has("features"))
    result.notices.emplace_back("evaluation.npz is missing or of an earlier version: pictures of features and samples are left out.");
  std::string body = fmt::format("<h1>{}</h1>\n", html_escaped(run.name)) + notices_html(result.notices);
  if (run.summary.is_object()) body += headline(run) + tiles_of(run) + layer_table(run).html() + devices_html(run.summary);
  if (run.summary.is_object())
    if (const Table details = details_table(run); !details.rows.empty())
      body += "<details><summary>" + std::string(run.summary.contains("outputs") ? "Targets" : "Classes") + " one by one</summary>" +
              details.html() + "</details>\n" + confusions_html(run);
  body += interactive_html({run}) + overfitting_html(run) + figures_html(groups[0], figures, "l") + figures_html(groups[1], figures, "p") +
          worst_samples_html(run, figures);
  // What follows and the page around it are small.
  const auto rest = [&] { return body.size() < kMostReportBytes ? kMostReportBytes - body.size() : 0; };
  body += figures_html(groups[2], figures, "k", rest());
  body += figures_html(groups[3], figures, "m", rest()) + repeat_html(run);
  if (run.summary.is_object()) body += "<h2>What it cost, and where</h2>\n" + cost_table(run).html() + machine_table(run).html();
  return body;
}

namespace {

ReportResult report_one(const RunData& run, const ReportOptions& options) {
  const fs::path out = options.out.empty() ? run.folder : options.out;
  ReportResult result{out / "report.html", 0, {}};
  write_file_atomically(result.file,
                        page(run.name + " - ffzero", report_body(run, out / "figures", options.gnuplot, result) + script_html()));
  return result;
}

Table comparison_table(const std::vector<RunData>& runs) {
  Table table{{"run", "data set", "solver", "information", "seed", "test", "train", "evaluations", "seconds"}, {}};
  for (const RunData& run : runs) {
    const json& s = run.summary;
    if (!s.is_object()) {
      table.rows.push_back({run.name + " (unfinished)", "-", "-", "-", "-",
                            run.epochs.empty() ? "-" : fmt::format("{:.4f}", run.epochs.back().test), "-",
                            run.epochs.empty() ? "0" : short_number(run.epochs.back().forward_evals), "-"});
      continue;
    }
    table.rows.push_back({run.name, s.at("dataset"), s.at("solver"), s.at("information"), s.at("seed").dump(),
                          shown(s.at("final").at("test")), shown(s.at("final").at("train")),
                          short_number(s.at("forward_evals").at("training")),
                          fmt::format("{:.1f}", s.at("wall_s").at("total").get<double>())});
  }
  return table;
}

ReportResult report_many(const std::vector<RunData>& runs, const ReportOptions& options) {
  const fs::path out = options.out.empty() ? fs::path("report") : options.out;
  ReportResult result{out / "report.html", 0, {}};
  const FigureGroup curves = comparison_figures(runs);
  draw_groups({curves}, out / "figures", options.gnuplot, result);
  std::string body =
      fmt::format("<h1>{} runs side by side</h1>\n", runs.size()) + notices_html(result.notices) + comparison_table(runs).html();
  body += interactive_html(runs) + figures_html(curves, out / "figures", "c") + "<h2>What was run</h2>\n";
  for (const RunData& run : runs)
    body +=
        fmt::format("<details><summary>{}</summary><pre>{}</pre></details>\n", html_escaped(run.folder.string()), html_escaped(run.config));
  write_file_atomically(result.file, page("Comparison - ffzero", body + script_html()));
  return result;
}

}  // namespace

ReportResult write_report(const std::vector<fs::path>& folders, const ReportOptions& options) {
  if (folders.empty()) throw UsageError("report", "needs at least one run folder", "none", "for example ffzero report runs/glyphs-ff_dd");
  std::vector<RunData> runs;
  for (const auto& folder : folders) runs.push_back(read_run(folder));
  try {
    return runs.size() == 1 ? report_one(runs[0], options) : report_many(runs, options);
  } catch (const nlohmann::json::exception& e) {
    throw DataError((folders[0] / "summary.json").string(), "must be a summary of schema 1", e.what(),
                    "the file is damaged or of another version");
  }
}

void report_run(const fs::path& run, const std::function<void(const std::string&)>& say) {
  try {
    const ReportResult report = write_report({run});
    for (const auto& notice : report.notices) say(notice);
    say("report: " + report.file.string());
  } catch (const std::exception& e) {
    say(std::string("the report could not be written: ") + e.what());
  }
}

}  // namespace ffzero
