// Results of a study.
// SPDX-License-Identifier: MIT
#include "ffzero/report/study_results.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "ffzero/report/run_data.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

using json = nlohmann::ordered_json;

// What a finished or diverged run contributes.
struct RunOutcome {
  bool there = false, diverged = false;
  double test = kNoValue, train = kNoValue, forward_evals = kNoValue;
  RunData data;
};

double last_finite(const std::vector<EpochPoint>& epochs, double EpochPoint::*value) {
  for (auto p = epochs.rbegin(); p != epochs.rend(); ++p)
    if (std::isfinite((*p).*value)) return (*p).*value;
  return kNoValue;
}

RunOutcome outcome_of(const fs::path& folder) {
  RunOutcome outcome;
  if (!fs::exists(folder / "metrics.jsonl")) return outcome;
  outcome.data = read_run(folder);
  outcome.data.arrays.clear();
  outcome.diverged = fs::exists(folder / "diverged.txt");
  outcome.there = outcome.diverged || outcome.data.summary.is_object();
  if (outcome.diverged) {
    outcome.test = last_finite(outcome.data.epochs, &EpochPoint::test);
    outcome.train = last_finite(outcome.data.epochs, &EpochPoint::train);
    outcome.forward_evals = last_finite(outcome.data.epochs, &EpochPoint::forward_evals);
  } else if (outcome.there) {
    outcome.test = outcome.data.summary.at("final").at("test");
    outcome.train = outcome.data.summary.at("final").at("train");
    outcome.forward_evals = outcome.data.summary.at("forward_evals").at("training");
  }
  return outcome;
}

enum class CurveOf { layers, stopped_runs };

std::vector<std::vector<double>> median_curve(const std::vector<RunOutcome>& outcomes, CurveOf what) {
  struct Point {
    std::vector<double> evals, test;
  };
  std::map<std::pair<int, double>, Point> points;
  for (const RunOutcome& o : outcomes)
    for (const EpochPoint& p : what == CurveOf::stopped_runs ? values_when_stopped(o.data) : o.data.epochs)
      if (std::isfinite(p.test)) {
        Point& point = points[{p.layer_index, p.epoch}];
        point.evals.push_back(p.forward_evals);
        point.test.push_back(p.test);
      }
  std::vector<std::vector<double>> rows;
  int layer = points.empty() ? 0 : points.begin()->first.first;
  for (const auto& [key, point] : points) {
    if (key.first != layer && what == CurveOf::layers) rows.emplace_back();
    layer = key.first;
    const Quartiles q = quartiles(point.test);
    rows.push_back({quantile(point.evals, 0.5), q.low, q.median, q.high});
  }
  return rows;
}

SettingResult setting_result(const PlannedRun& first, const std::vector<RunOutcome>& outcomes, const std::vector<std::int64_t>& seeds) {
  SettingResult result;
  result.setting = first.setting;
  result.axes = first.axes;
  std::vector<double> test, train, evals;
  std::vector<RunOutcome> there;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const RunOutcome& o = outcomes[i];
    if (!o.there) {
      ++result.missing;
      continue;
    }
    if (o.diverged) ++result.diverged;
    if (o.data.summary.is_object()) {
      result.information = o.data.summary.value("information", "");
      if (o.data.summary.contains("unreached")) ++result.cut_short;
    }
    result.metric = o.data.metric.empty() ? result.metric : o.data.metric;
    result.seeds.push_back(seeds[i]);
    test.push_back(o.test);
    train.push_back(o.train);
    evals.push_back(o.forward_evals);
    there.push_back(o);
  }
  result.test = quartiles(test);
  result.train = quartiles(train);
  result.forward_evals = quantile(evals, 0.5);
  result.curve = median_curve(there, CurveOf::layers);
  result.curve_when_stopped = median_curve(there, CurveOf::stopped_runs);
  return result;
}

std::string four_digits(double value) { return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-"; }

json number_or_null(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

json quartiles_json(const Quartiles& q) {
  return {{"low", number_or_null(q.low)}, {"median", number_or_null(q.median)}, {"high", number_or_null(q.high)}};
}

json axes_json(const std::vector<std::pair<std::string, std::string>>& axes) {
  json j = json::object();
  for (const auto& [key, value] : axes) j[key] = value;
  return j;
}

Figure curves_figure(const std::vector<SettingResult>& results) {
  double largest = 0.0;
  for (const auto& r : results)
    for (const auto& row : r.curve_when_stopped) largest = std::max(largest, row[0]);
  const AxisUnit unit = evaluation_unit(largest);
  const std::string metric = metric_title(results.front().metric);
  Figure f{.name = "test_over_evaluations",
           .title = metric + " over forward evaluations",
           .caption =
               "Test set. Lines: medians over seeds; bands: quartiles. While a later layer is still worse on the train samples, "
               "the best earlier one counts; the last point is the result of the run.",
           .data = {},
           .plot = {},
           .width = 520,
           .height = 380};
  std::vector<Curve> bands, lines;
  std::vector<LegendEntry> entries;
  Range y = range_of({}, 1);
  std::vector<Range> costs;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].curve_when_stopped.empty()) continue;
    costs.push_back(range_of(results[i].curve_when_stopped, 1));
    const LookOfCurve look = look_of_curve(i);
    const std::string x = fmt::format("($1/{})", unit.divisor);
    f.data += data_block(results[i].setting, results[i].curve_when_stopped);
    bands.push_back(
        {results[i].setting, x + ":2:4", fmt::format("with filledcurves fc rgb \"{}\" fs transparent solid 0.2 noborder", look.colour)});
    lines.push_back(
        {results[i].setting, x + ":3", fmt::format("with linespoints pt 7 ps 0.35 lw 2 dt {} lc rgb \"{}\"", look.dash, look.colour)});
    entries.push_back({setting_title(results[i].axes), look.colour, look.mark});
    y = joined(y, joined(range_of(results[i].curve_when_stopped, 2), range_of(results[i].curve_when_stopped, 4)));
  }
  bands.insert(bands.end(), lines.begin(), lines.end());
  f.plot =
      legend(f, entries) + cost_axis(costs, unit.divisor) + axis('y', y, metric_limits(results.front().metric)) +
      fmt::format("set xlabel {}\nset ylabel {}\n", gnuplot_text(unit.word + "forward evaluations of training"), gnuplot_text(metric)) +
      plot_command(bands);
  return f;
}

Figure finals_figure(const std::vector<SettingResult>& results) {
  std::vector<std::vector<double>> rows;
  std::string tics;
  for (std::size_t i = 0; i < results.size(); ++i) {
    const double y = static_cast<double>(results.size() - 1 - i);
    rows.push_back({y, results[i].test.median, results[i].test.low, results[i].test.high});
    tics += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_text(setting_title(results[i].axes)), y);
  }
  // Room for the number to the right of the last mark.
  Range x = joined(range_of(rows, 3), range_of(rows, 4));
  x.high += 0.22 * std::max(x.high - x.low, 0.01);
  return {.name = "final_values",
          .title = "Final test " + std::string(results.front().metric == "accuracy" ? "accuracy" : metric_title(results.front().metric)),
          .caption = "Medians and quartiles over seeds.",
          .data = data_block("finals", rows),
          .plot = fmt::format("set ytics ({})\nset yrange [-0.6:{}]\n{}set xlabel {}\n"
                              "plot $finals using 2:1:3:4 with xerrorbars pt 7 ps 0.8 lw 2 lc rgb \"{}\" notitle, "
                              "$finals using 4:1:(sprintf(\"%.3f\",$2)) with labels left offset 0.7,0 font \",13\" notitle\n",
                              tics, static_cast<double>(results.size()) - 0.4,
                              axis('x', x, {results.front().metric == "accuracy" ? 0.0 : -1e300, 1e300}),
                              gnuplot_text(metric_title(results.front().metric)), palette_colour(0)),
          .width = 520,
          .height = static_cast<int>(std::max<std::size_t>(180, 100 + 26 * results.size()))};
}

}  // namespace

std::vector<SettingResult> collect(const Study& study, const fs::path& out) {
  std::vector<SettingResult> results;
  for (std::size_t i = 0; i < study.runs.size();) {
    const PlannedRun& first = study.runs[i];
    std::vector<RunOutcome> outcomes;
    std::vector<std::int64_t> seeds;
    for (; i < study.runs.size() && study.runs[i].setting == first.setting; ++i) {
      outcomes.push_back(outcome_of(out / "runs" / study.runs[i].name));
      seeds.push_back(study.runs[i].seed);
    }
    results.push_back(setting_result(first, outcomes, seeds));
  }
  return results;
}

Table study_table(const std::vector<SettingResult>& results) {
  Table table;
  if (results.empty()) return table;
  for (const auto& [key, value] : results.front().axes) table.columns.push_back(key);
  for (const char* column : {"seeds", "metric", "test median", "test low quartile", "test high quartile", "train median",
                             "training evaluations", "information", "remarks"})
    table.columns.emplace_back(column);
  for (const SettingResult& r : results) {
    std::vector<std::string> row;
    for (const auto& [key, value] : r.axes) row.push_back(value);
    std::string remarks;
    for (const auto& [count, what] : {std::pair{r.diverged, "diverged"}, {r.missing, "missing"}, {r.cut_short, "with layers untrained"}})
      if (count > 0) remarks += fmt::format("{}{} {}", remarks.empty() ? "" : ", ", count, what);
    row.insert(row.end(), {std::to_string(r.seeds.size()), r.metric, four_digits(r.test.median), four_digits(r.test.low),
                           four_digits(r.test.high), four_digits(r.train.median),
                           std::isfinite(r.forward_evals) ? fmt::format("{:.0f}", r.forward_evals) : "-", r.information, remarks});
    table.rows.push_back(std::move(row));
  }
  return table;
}

json study_json(const Study& study, const std::vector<SettingResult>& results, const fs::path& out) {
  json settings = json::array(), runs = json::array();
  for (const SettingResult& r : results)
    settings.push_back({{"setting", r.setting},
                        {"axes", axes_json(r.axes)},
                        {"seeds", r.seeds},
                        {"metric", r.metric},
                        {"information", r.information},
                        {"test", quartiles_json(r.test)},
                        {"train", quartiles_json(r.train)},
                        {"training_evaluations", number_or_null(r.forward_evals)},
                        {"diverged", r.diverged},
                        {"missing", r.missing}});
  for (const PlannedRun& run : study.runs) {
    const RunOutcome o = outcome_of(out / "runs" / run.name);
    runs.push_back({{"run", run.name},
                    {"setting", run.setting},
                    {"seed", run.seed},
                    {"status", o.diverged ? "diverged"
                               : o.there  ? "finished"
                                          : "missing"},
                    {"test", number_or_null(o.test)},
                    {"train", number_or_null(o.train)},
                    {"training_evaluations", number_or_null(o.forward_evals)}});
  }
  return {{"schema", 1}, {"name", study.name}, {"settings", settings}, {"runs", runs}, {"notes", study.notes()}};
}

FigureGroup study_figures(const std::vector<SettingResult>& results) {
  FigureGroup group{"Results", {}};
  if (results.empty() || std::all_of(results.begin(), results.end(), [](const auto& r) { return r.curve.empty(); })) return group;
  group.figures.push_back(curves_figure(results));
  group.figures.push_back(finals_figure(results));
  return group;
}

}  // namespace ffzero
