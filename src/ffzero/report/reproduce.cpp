// The paper's comparison.
// SPDX-License-Identifier: MIT
#include "ffzero/report/reproduce.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ffzero/base/atomic_file.hpp"
#include "ffzero/report/findings.hpp"
#include "ffzero/report/reference_results.hpp"
#include "ffzero/report/study_page.hpp"
#include "ffzero/run/run.hpp"

namespace ffzero {

namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kCells{"ff_dd", "ff_ad", "bp_dd", "bp_ad"};
constexpr double kTolerance = 0.03;  // beside the range of the reference's few seeds

using Keys = std::vector<std::pair<std::string, nlohmann::json>>;

Keys joined(Keys a, const Keys& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Keys data_keys(const Panel& panel, const ReproduceOptions& options) {
  if (!panel.images) return {};
  if (options.mnist.empty()) return {{"dataset.name", "glyphs"}};
  return {{"dataset.name", "mnist"}, {"dataset.dir", fs::absolute(options.mnist).string()}};
}

RunSettings paper_settings(const Panel& panel, const ReproduceOptions& options, const std::string& cell) {
  const bool has_preset = std::any_of(panel.paper.begin(), panel.paper.end(), [](const auto& kv) { return kv.first == "preset"; });
  Keys keys = joined(joined(data_keys(panel, options), panel.task), panel.paper);
  if (!has_preset) keys.emplace_back("preset", "paper");
  keys.emplace_back("training.epochs", panel.paper_epochs);
  return {.cell = cell, .keys = std::move(keys), .layer_tables = {}};
}

RunSettings own_settings(const Panel& panel, const ReproduceOptions& options, const std::string& cell) {
  Keys keys = joined(data_keys(panel, options), panel.task);
  keys.emplace_back("preset", cell.ends_with("dd") ? "opaque" : "adjoint");
  keys.emplace_back("training.epochs", panel.own_epochs);
  return {.cell = cell, .keys = std::move(keys), .layer_tables = {}};
}

const SettingResult* find(const std::vector<SettingResult>& results, const std::string& panel, const std::string& settings,
                          const std::string& cell) {
  const auto found = std::find_if(results.begin(), results.end(), [&](const SettingResult& r) {
    return r.axes[0].second == panel && r.axes[1].second == settings && r.axes[2].second == cell;
  });
  return found == results.end() ? nullptr : &*found;
}

// Measurements of the reference for this cell, of the number of epochs that the panel runs in full.
std::vector<nlohmann::json> references(const std::string& panel, const std::string& cell) {
  std::vector<nlohmann::json> found;
  for (const nlohmann::json& r : reference_results())
    if (r.at("panel") == panel && r.at("solver") == cell && (panel != "mlp" || r.at("epochs") == 20)) found.push_back(r);
  if (found.empty())
    for (const nlohmann::json& r : reference_results())
      if (r.at("panel") == panel && r.at("solver") == cell) found.push_back(r);
  return found;
}

// Test value of the first layer after so many epochs, between the kept points; NaN beyond them.
double first_layer_at(const nlohmann::json& reference, double epoch) {
  double before_epoch = kNoValue, before = kNoValue;
  for (const nlohmann::json& point : reference.at("layers").at(0)) {
    const double at = point.at(0), value = point.at(1);
    if (at == epoch) return value;
    if (at > epoch) return std::isnan(before) ? kNoValue : before + (value - before) * (epoch - before_epoch) / (at - before_epoch);
    before_epoch = at;
    before = value;
  }
  return kNoValue;
}

double first_layer_of(const SettingResult& result) {
  double last = kNoValue;
  for (const auto& row : result.curve) {
    if (row.empty()) break;
    last = row[2];
  }
  return last;
}

std::string three_digits(double value) { return std::isfinite(value) ? fmt::format("{:.3f}", value) : "-"; }

std::string shown(const Quartiles& q) {
  if (q.count == 0) return "-";
  return q.count == 1 ? three_digits(q.median)
                      : fmt::format("{} ({} .. {})", three_digits(q.median), three_digits(q.low), three_digits(q.high));
}

std::vector<std::string> result_row(const std::string& cell, const char* settings, const SettingResult& r) {
  std::string remarks = r.diverged > 0 ? fmt::format("{} of {} diverged", r.diverged, r.seeds.size()) : "";
  if (r.missing > 0) remarks += fmt::format("{}{} missing", remarks.empty() ? "" : ", ", r.missing);
  return {cell,
          settings,
          std::to_string(r.seeds.size()),
          three_digits(first_layer_of(r)),
          shown(r.test),
          std::isfinite(r.forward_evals) ? fmt::format("{:.3g}", r.forward_evals) : "-",
          r.information,
          remarks};
}

Table panel_table(const Panel& panel, const std::vector<SettingResult>& results, bool with_reference) {
  Table table{{"cell", "settings", "seeds", "first layer", "final (quartiles)", "training evaluations", "information", "remarks"}, {}};
  for (const std::string& cell : kCells) {
    const auto known = with_reference ? references(panel.id, cell) : std::vector<nlohmann::json>{};
    if (!known.empty()) {
      std::vector<double> first, last;
      for (const nlohmann::json& r : known) {
        first.push_back(first_layer_at(r, panel.paper_epochs));
        last.push_back(r.at("final").is_number() ? r.at("final").get<double>() : kNoValue);
      }
      table.rows.push_back({cell, "the reference program", std::to_string(known.size()), three_digits(quantile(first, 0.5)),
                            shown(quartiles(last)), "-", "-", fmt::format("{} epochs", known.front().at("epochs").dump())});
    }
    if (const auto* r = find(results, panel.id, "paper", cell)) table.rows.push_back(result_row(cell, "the paper's", *r));
    if (const auto* r = find(results, panel.id, "own", cell)) table.rows.push_back(result_row(cell, "our own", *r));
  }
  return table;
}

// In words: where the paper's settings agree with the reference at equal numbers of epochs, and where they do not.
std::string verdicts(const Panel& panel, const std::vector<SettingResult>& results) {
  std::string text;
  for (const std::string& cell : kCells) {
    const auto* ours = find(results, panel.id, "paper", cell);
    if (ours == nullptr) continue;
    std::vector<double> values;
    for (const nlohmann::json& r : references(panel.id, cell))
      if (const double v = first_layer_at(r, panel.paper_epochs); std::isfinite(v)) values.push_back(v);
    const double mine = first_layer_of(*ours);
    if (values.empty() || !std::isfinite(mine)) continue;
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    const char* verdict = mine < *low - kTolerance    ? "**below** the reference"
                          : mine > *high + kTolerance ? "**above** the reference"
                                                      : "agrees";
    text += fmt::format("* {}: after {} epochs the {} stands at {}, the reference at {}: {}.\n", cell, panel.paper_epochs,
                        cell.starts_with("ff") ? "first layer" : "network", three_digits(mine),
                        values.size() == 1 ? three_digits(*low) : three_digits(*low) + " .. " + three_digits(*high), verdict);
  }
  return text;
}

// In words: what the four cells show with our own settings.
std::string own_words(const Panel& panel, const std::vector<SettingResult>& results) {
  std::vector<SettingResult> cells;
  for (const std::string& cell : kCells)
    if (const auto* r = find(results, panel.id, "own", cell)) {
      cells.push_back(*r);
      cells.back().axes = {{"solver", cell}};
    }
  const auto findings = cell_findings(cells);
  std::string text;
  for (std::size_t i = 1; i < findings.size(); ++i) text += "* Our own settings. " + findings[i] + "\n";
  return text;
}

// The reference's curves over evaluations: an epoch costs it what it costs us. Of each layer the epochs that we run, too.
std::vector<std::vector<double>> reference_rows(const nlohmann::json& reference, double evals_per_epoch, int epochs) {
  std::vector<std::vector<double>> rows;
  double before = 0.0;
  for (const nlohmann::json& layer : reference.at("layers")) {
    if (!rows.empty()) rows.emplace_back();
    for (const nlohmann::json& point : layer)
      if (const double epoch = point.at(0); epoch <= epochs) rows.push_back({(before + epoch) * evals_per_epoch, point.at(1)});
    before += epochs;
  }
  return rows;
}

double evaluations_per_epoch(const SettingResult& r) {
  for (const auto& row : r.curve)
    if (!row.empty()) return row[0];
  return 0.0;
}

Figure panel_figure(const Panel& panel, const std::vector<SettingResult>& results, bool with_reference) {
  Figure f;
  f.name = panel.id;
  f.title = panel.title;
  f.caption =
      "Medians over seeds, with quartiles as bands; layers follow one another. Rings: the reference program at equal numbers of "
      "epochs; its later layers stand on layers that were trained to the end.";
  double largest = 1.0;
  for (const auto& r : results)
    if (r.axes[0].second == panel.id)
      for (const auto& row : r.curve)
        if (!row.empty()) largest = std::max(largest, row[0]);
  const AxisUnit unit = evaluation_unit(largest);
  std::vector<Curve> bands, lines, rings;
  std::vector<LegendEntry> entries;
  Range y = range_of({}, 1);
  std::vector<Range> costs;
  for (std::size_t c = 0; c < kCells.size(); ++c) {
    const std::string colour = palette_colour(c), x = fmt::format("($1/{})", unit.divisor);
    entries.push_back({kCells[c], colour});
    for (const char* settings : {"paper", "own"}) {
      const auto* r = find(results, panel.id, settings, kCells[c]);
      if (r == nullptr || r->curve.empty()) continue;
      const std::string block = fmt::format("{}_{}", kCells[c], settings);
      const bool paper = std::string_view(settings) == "paper";
      f.data += data_block(block, r->curve);
      costs.push_back(range_of(r->curve, 1));
      y = joined(y, joined(range_of(r->curve, 2), range_of(r->curve, 4)));
      bands.push_back({block, x + ":2:4", fmt::format("with filledcurves fc rgb \"{}\" fs transparent solid 0.15 noborder", colour)});
      lines.push_back({block, x + ":3",
                       fmt::format("with linespoints pt 7 ps {} lw 2 dt {} lc rgb \"{}\"", paper ? 0.35 : 0.2, paper ? 1 : 2, colour)});
      if (!paper || !with_reference) continue;
      int number = 0;
      for (const nlohmann::json& reference : references(panel.id, kCells[c])) {
        const std::string name = fmt::format("{}_reference{}", kCells[c], number++);
        const auto rows = reference_rows(reference, evaluations_per_epoch(*r), panel.paper_epochs);
        f.data += data_block(name, rows);
        y = joined(y, range_of(rows, 2));
        rings.push_back({name, x + ":2", fmt::format("with points pt 6 ps 0.6 lw 1.3 lc rgb \"{}\"", colour)});
      }
    }
  }
  bands.insert(bands.end(), lines.begin(), lines.end());
  bands.insert(bands.end(), rings.begin(), rings.end());
  if (lines.empty()) return f;
  const std::string grey = palette_colour(8);
  entries.push_back({"the paper's settings", grey});
  entries.push_back({"our own", grey, LegendEntry::Mark::dashed});
  if (!rings.empty()) entries.push_back({"reference program", grey, LegendEntry::Mark::ring});
  const bool regression = panel.id.find("regression") != std::string::npos || panel.id.find("function") != std::string::npos;
  f.width = 520;
  f.height = 380;
  f.plot = legend(f, entries) + cost_axis(costs, unit.divisor) + axis('y', y, regression ? Range{-0.2, 1.0} : Range{0.0, 1.0}) +
           fmt::format("set xlabel {}\nset ylabel {}\n", gnuplot_text(unit.word + "forward evaluations of training, all layers"),
                       gnuplot_text(regression ? "test R²" : "test accuracy")) +
           plot_command(bands);
  return f;
}

std::string introduction(const ReproduceOptions& options) {
  std::string text =
      "Four cells (local or end-to-end losses, directional differences or exact gradients), each with the "
      "paper's settings and with our own.";
  text += options.quick ? " **Quick**: few epochs and one seed; the numbers show directions, not results.\n"
                        : " Medians and quartiles over three seeds.\n";
  text += options.mnist.empty() ? "\n**MNIST was not found**, so the built-in glyphs stand in for it, and the numbers of the reference "
                                  "program, measured on MNIST, are left out where images are concerned.\n"
                                : "\nThe reference program's numbers were measured with it, on a CPU in float32 with its own defaults; "
                                  "they are kept in the library as data.\n";
  const auto machine = machine_description(1);
  text += fmt::format("\nWritten by `ffzero reproduce{}`, ffzero {}, one core a run ({}, {} cores).\n", options.quick ? " --quick" : "",
                      version(), machine.value("processor", "unknown processor"), machine.at("cores").dump());
  return text + fmt::format(
                    "\n\"First layer\" is the test value of the first trained layer (of the network, end to end), which does not depend on "
                    "how long later layers are trained. "
                    "\"Agrees\" means: within {} of the range of the reference's seeds.\n",
                    kTolerance);
}

}  // namespace

std::vector<Panel> reproduction_panels(const ReproduceOptions& o) {
  const auto epochs = [&](int quick, int full) { return o.quick ? quick : full; };
  std::vector<Panel> panels{
      {"mlp", "Dense network, classification", {{"model.kind", "mlp"}}, {}, epochs(4, 20), epochs(2, 15)},
      {"mlp-regression",
       "Dense network, labels as numbers",
       {{"model.kind", "mlp"}, {"dataset.task", "regression"}},
       {},
       epochs(2, 5),
       epochs(2, 5)},
      {"mlp-function1",
       "Dense network, function 1",
       {{"model.kind", "mlp"}, {"dataset.name", "function1"}},
       {},
       epochs(10, 60),
       epochs(10, 60),
       false},
      {"mlp-function2",
       "Dense network, function 2",
       {{"model.kind", "mlp"}, {"dataset.name", "function2"}},
       {},
       epochs(10, 60),
       epochs(10, 60),
       false},
      {"cnn", "Convolutions, classification", {{"model.kind", "cnn"}}, {{"preset", "paper_mnist"}}, epochs(1, 5), epochs(1, 5)},
      {"cnn-regression",
       "Convolutions, labels as numbers",
       {{"model.kind", "cnn"}, {"dataset.task", "regression"}},
       {{"preset", "paper_mnist"}},
       1,
       1},
      {"photonic-5",
       "Two meshes of 25 ports, digits 0 to 4",
       {{"model.kind", "photonic"},
        {"model.mesh.layers", 2},
        {"dataset.crop", 5},
        {"dataset.optical_field", "amplitude"},
        {"dataset.classes", 5}},
       {},
       epochs(10, 100),
       epochs(10, 40)},
      {"photonic-8",
       "Two meshes of 64 ports, ten digits",
       {{"model.kind", "photonic"}, {"model.mesh.layers", 2}, {"dataset.crop", 8}, {"dataset.optical_field", "amplitude"}},
       {},
       epochs(4, 30),
       epochs(4, 20)}};
  if (o.quick) std::erase_if(panels, [](const Panel& p) { return p.id == "mlp-function2" || p.id == "cnn-regression"; });
  return panels;
}

Study reproduction_study(const ReproduceOptions& options) {
  Study study{.name = "reproduction", .runs = {}, .dropped = {}};
  const std::vector<std::int64_t> seeds = options.quick ? std::vector<std::int64_t>{0} : std::vector<std::int64_t>{0, 1, 2};
  for (const Panel& panel : reproduction_panels(options))
    for (const std::string& cell : kCells) {
      add_setting(study, paper_settings(panel, options, cell), {{"panel", panel.id}, {"settings", "paper"}, {"solver", cell}}, seeds);
      add_setting(study, own_settings(panel, options, cell), {{"panel", panel.id}, {"settings", "own"}, {"solver", cell}}, seeds);
    }
  return study;
}

std::vector<std::string> write_reproduction(const ReproduceOptions& options, const fs::path& out, const GnuplotOptions& gnuplot) {
  const Study study = reproduction_study(options);
  const std::vector<SettingResult> results = collect(study, out);
  StudyPage page{.title = "The paper's comparison", .introduction = introduction(options), .sections = {}, .command = options.command};
  for (const Panel& panel : reproduction_panels(options)) {
    const bool with_reference = !panel.images || !options.mnist.empty();
    Figure figure = panel_figure(panel, results, with_reference);
    StudySection section{.title = panel.title,
                         .figures = {},
                         .curves = {},
                         .table = panel_table(panel, results, with_reference),
                         .words = (with_reference ? verdicts(panel, results) : "") + own_words(panel, results)};
    if (!figure.plot.empty()) section.figures.push_back(std::move(figure));
    page.sections.push_back(std::move(section));
  }
  const nlohmann::ordered_json said = study_json(study, results, out);
  const auto notices = write_study_page(page, study, said, out, gnuplot);
  write_file_atomically(out / "report.md", study_markdown(page, study, notices));
  write_file_atomically(out / "table.json", said.dump(2) + "\n");
  return notices;
}

}  // namespace ffzero
