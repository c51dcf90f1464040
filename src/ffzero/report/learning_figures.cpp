// Curves of learning.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "ffzero/report/run_figures.hpp"
#include "ffzero/run/baseline.hpp"

namespace ffzero {

namespace {

// Column numbers of the data blocks.
constexpr int kEvaluations = 1, kEpoch = 2, kTest = 3, kTrain = 4, kTestLoss = 5, kTrainLoss = 6;

struct LayerCurve {
  std::string name, block;
  std::vector<std::vector<double>> rows;

  [[nodiscard]] bool has(int column) const {
    return std::any_of(rows.begin(), rows.end(), [&](const auto& row) { return std::isfinite(row[usize(column - 1)]); });
  }
};

std::vector<LayerCurve> curves_of(const RunData& run) {
  std::map<int, LayerCurve> by_layer;
  for (const EpochPoint& p : run.epochs) {
    LayerCurve& curve = by_layer[p.layer_index];
    curve.name = p.layer;
    curve.block = fmt::format("layer{}", p.layer_index);
    curve.rows.push_back({p.forward_evals, p.epoch, p.test, p.train, p.test_loss, p.train_loss});
  }
  std::vector<LayerCurve> curves;
  for (auto& [index, curve] : by_layer) curves.push_back(std::move(curve));
  return curves;
}

double largest_evaluations(const RunData& run) {
  double largest = 0.0;
  for (const EpochPoint& p : run.epochs) largest = std::max(largest, p.forward_evals);
  return largest;
}

// Where the curves of a figure lie, in one of the columns.
Range range_of_layers(const std::vector<LayerCurve>& layers, int column) {
  Range range = range_of({}, 1);
  for (const auto& layer : layers) range = joined(range, range_of(layer.rows, column));
  return range;
}

void add_curves(const RunData& run, const std::vector<LayerCurve>& layers, bool loss, bool over_evaluations, std::vector<Figure>& figures) {
  const AxisUnit unit = evaluation_unit(largest_evaluations(run));
  const std::string x = over_evaluations ? fmt::format("(${}/{})", kEvaluations, unit.divisor) : std::to_string(kEpoch);
  const int test = loss ? kTestLoss : kTest, train = loss ? kTrainLoss : kTrain;
  std::vector<Curve> curves;
  std::vector<LegendEntry> entries;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string look = fmt::format("lc rgb \"{}\"", palette_colour(i));
    const std::string points = layers[i].rows.size() <= 40 ? "with linespoints pt 7 ps 0.45" : "with lines";
    if (layers[i].has(test)) curves.push_back({layers[i].block, fmt::format("{}:{}", x, test), points + " lw 2 " + look});
    if (layers[i].has(train)) curves.push_back({layers[i].block, fmt::format("{}:{}", x, train), "with lines dt 2 lw 1.4 " + look});
    if (layers[i].has(test) || layers[i].has(train)) entries.push_back({layers[i].name, palette_colour(i)});
  }
  if (curves.empty()) return;
  const std::string what = loss ? "Loss" : metric_title(run.metric);
  Figure f;
  f.name = fmt::format("{}_over_{}", loss ? "loss" : run.metric, over_evaluations ? "evaluations" : "epochs");
  f.title = fmt::format("{} over {}", what, over_evaluations ? "forward evaluations" : "epochs");
  f.caption = "Solid: test set; dashed: train set. One colour a layer.";
  for (const auto& layer : layers) f.data += data_block(layer.block, layer.rows);
  const Range y = joined(range_of_layers(layers, test), range_of_layers(layers, train));
  f.plot = legend(f, entries) +
           (over_evaluations ? axis('x', {0.0, largest_evaluations(run) / unit.divisor}, {0.0, 1e300})
                             : axis('x', range_of_layers(layers, kEpoch), {0.0, 1e300}, 1.0)) +
           axis('y', y, metric_limits(loss ? "loss" : run.metric)) +
           fmt::format("set xlabel {}\nset ylabel {}\n",
                       gnuplot_text(over_evaluations ? unit.word + "forward evaluations, all layers" : "epoch of the layer"),
                       gnuplot_text(what)) +
           plot_command(curves);
  figures.push_back(std::move(f));
}

struct Bar {
  std::string label;
  double test, train;
};

std::vector<Bar> bars_of(const RunData& run) {
  std::vector<Bar> bars;
  for (const auto& layer : run.summary.at("layers"))
    bars.push_back({layer.at("name"), layer.at("test").at("value"), layer.at("train").at("value")});
  if (const auto& vote = run.summary.at("vote"); vote.is_object())
    bars.push_back({"vote: " + vote.at("rule").get<std::string>(), vote.at("test"), vote.at("train")});
  if (const auto& baseline = baseline_of(run.summary); baseline.is_object())
    bars.push_back({"baseline", baseline.at("test"), baseline.at("train")});
  return bars;
}

Figure bar_figure(const RunData& run) {
  const std::vector<Bar> bars = bars_of(run);
  std::vector<std::vector<double>> rows;
  std::string tics;
  double lowest = 0.0;
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const double y = static_cast<double>(bars.size() - 1 - i);
    rows.push_back({y, bars[i].test, bars[i].train});
    tics += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_text(bars[i].label), y);
    lowest = std::min({lowest, bars[i].test, bars[i].train});
  }
  Figure f;
  f.name = "layers_and_vote";
  f.title = fmt::format("{} by layer", metric_title(run.metric));
  f.caption = "Final values. Wide bars and numbers: test set; thin bars: train set.";
  f.height = static_cast<int>(std::max<std::size_t>(170, 96 + 42 * bars.size()));
  f.data = data_block("bars", rows);
  f.plot = fmt::format(
      "set ytics ({})\nset xlabel {}\nset xrange [{}:1.15]\nset xtics 0.2\nset yrange [-0.6:{}]\nset grid noytics\n"
      "plot $bars using (0):1:(0):2:($1-0.32):($1+0.2) with boxxyerror fc rgb \"{}\" notitle, "
      "$bars using (0):1:(0):3:($1+0.22):($1+0.36) with boxxyerror fc rgb \"{}\" notitle, "
      "$bars using ($2>0?$2:0):($1-0.06):(sprintf(\"%.3f\",$2)) with labels left offset 0.4,0 font \",13\" notitle\n",
      tics, gnuplot_text(metric_title(run.metric)), lowest < 0.0 ? std::max(-1.0, lowest) : 0.0, static_cast<double>(bars.size()) - 0.4,
      palette_colour(0), palette_colour(4));
  return f;
}

// The curve of a whole run, layer after layer.
std::vector<std::vector<double>> run_rows(const RunData& run) {
  std::vector<std::vector<double>> rows;
  int layer = -1;
  double before = 0.0, last = 0.0;
  for (const EpochPoint& p : values_when_stopped(run)) {
    if (layer >= 0 && p.layer_index != layer) before = last;
    layer = p.layer_index;
    last = before + p.epoch;
    rows.push_back({p.forward_evals, last, p.test, p.train, p.test_loss, p.train_loss});
  }
  return rows;
}

}  // namespace

AxisUnit evaluation_unit(double largest) {
  if (largest >= 2e9) return {1e9, "billion "};
  if (largest >= 2e6) return {1e6, "million "};
  if (largest >= 2e3) return {1e3, "thousand "};
  return {1.0, ""};
}

LookOfCurve look_of_curve(std::size_t i) {
  constexpr LegendEntry::Mark kMarks[] = {LegendEntry::Mark::line, LegendEntry::Mark::dashed, LegendEntry::Mark::dotted};
  const std::size_t round = i / palette().size() % 3;
  return {palette_colour(i), static_cast<int>(1 + round), kMarks[round]};
}

std::string plot_command(const std::vector<Curve>& curves) {
  std::string text = "plot ";
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const Curve& c = curves[i];
    text += fmt::format("{}${} using {} {} notitle", i == 0 ? "" : ", \\\n  ", c.block, c.columns, c.style);
  }
  return text + "\n";
}

Range metric_limits(const std::string& metric) {
  if (metric == "accuracy") return {0.0, 1.0};
  return metric == "loss" ? Range{0.0, 1e300} : Range{-1e300, 1.0};
}

FigureGroup learning_figures(const RunData& run) {
  FigureGroup group{"Learning", {}};
  if (const auto layers = curves_of(run); !layers.empty())
    for (const bool loss : {false, true})
      for (const bool over_evaluations : {true, false}) add_curves(run, layers, loss, over_evaluations, group.figures);
  if (run.summary.is_object()) group.figures.insert(group.figures.begin(), bar_figure(run));
  return group;
}

FigureGroup comparison_figures(const std::vector<RunData>& runs) {
  FigureGroup group{"Runs side by side", {}};
  double largest = 0.0;
  for (const RunData& run : runs) largest = std::max(largest, largest_evaluations(run));
  const AxisUnit unit = evaluation_unit(largest);
  struct View {
    const char *name, *title, *label;
    bool over_epochs;
    int y;
  };
  const std::string evaluations = fmt::format("($1/{})", unit.divisor), evaluation_label = unit.word + "forward evaluations of training";
  const bool accuracies = std::all_of(runs.begin(), runs.end(), [](const RunData& run) { return run.metric == "accuracy"; });
  const Range limits = metric_limits(accuracies ? "accuracy" : "r2");
  const std::vector<View> views{{"test_over_evaluations", "Test metric over forward evaluations", "test metric", false, kTest},
                                {"test_over_epochs", "Test metric over epochs", "test metric", true, kTest},
                                {"loss_over_evaluations", "Train loss over forward evaluations", "train loss", false, kTrainLoss}};
  for (const View& view : views) {
    Figure f{.name = view.name,
             .title = view.title,
             .caption =
                 "One colour a run. While a later layer is still worse on the train samples, the best earlier one counts; the last point "
                 "is the result.",
             .data = {},
             .plot = {}};
    std::vector<Curve> curves;
    std::vector<LegendEntry> entries;
    Range x = range_of({}, 1), y = x;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const LayerCurve rows{"", fmt::format("run{}", i), run_rows(runs[i])};
      const Range own = range_of(rows.rows, view.y);
      if (!std::isfinite(own.low)) continue;
      y = joined(y, own);
      x = joined(x, range_of(rows.rows, view.over_epochs ? kEpoch : kEvaluations));
      f.data += data_block(rows.block, rows.rows);
      const LookOfCurve look = look_of_curve(i);
      curves.push_back({rows.block, fmt::format("{}:{}", view.over_epochs ? "2" : evaluations, view.y),
                        fmt::format("with linespoints pt 7 ps 0.4 lw 2 dt {} lc rgb \"{}\"", look.dash, look.colour)});
      entries.push_back({runs[i].name, look.colour, look.mark});
    }
    if (curves.empty()) continue;
    const double divisor = view.over_epochs ? 1.0 : unit.divisor;
    f.plot = legend(f, entries) + axis('x', {0.0, x.high / divisor}, {0.0, 1e300}, view.over_epochs ? 1.0 : 0.0) +
             axis('y', y, view.y == kTest ? limits : metric_limits("loss")) +
             fmt::format("set xlabel {}\nset ylabel {}\n", gnuplot_text(view.over_epochs ? "epochs, layer after layer" : evaluation_label),
                         gnuplot_text(view.label)) +
             plot_command(curves);
    group.figures.push_back(std::move(f));
  }
  return group;
}

}  // namespace ffzero
