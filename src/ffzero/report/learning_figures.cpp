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
constexpr int kEvaluations = 1, kEpoch = 2, kTest = 3, kTrain = 4, kTestLoss = 5, kTrainLoss = 6, kStepLoss = 7;

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
    curve.rows.push_back({p.forward_evals, p.epoch, p.test, p.train, p.test_loss, p.train_loss, p.training_loss});
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

// The curve of a whole run, layer after layer.
std::vector<std::vector<double>> run_rows(const RunData& run) {
  std::vector<std::vector<double>> rows;
  int layer = -1;
  double before = 0.0, last = 0.0;
  for (const EpochPoint& p : values_when_stopped(run)) {
    if (layer >= 0 && p.layer_index != layer) before = last;
    layer = p.layer_index;
    last = before + p.epoch;
    rows.push_back({p.forward_evals, last, p.test, p.train, p.test_loss, p.train_loss, p.training_loss});
  }
  return rows;
}

// What is drawn over evaluations or epochs: columns of its values on the two sets.
struct Quantity {
  std::string name, title, caption;
  int test, train;
};

Quantity metric_of(const RunData& run) {
  return {run.metric, metric_title(run.metric), "Solid: test set; dashed: train set. One colour a layer.", kTest, kTrain};
}
Quantity loss_of_sets() { return {"loss", "Loss", "Solid: test set; dashed: train set. One colour a layer.", kTestLoss, kTrainLoss}; }
// What there is where the sets are not evaluated while a layer is trained, as on devices.
Quantity loss_of_steps() {
  return {"step_loss", "Loss of the steps", "Mean over the steps of each epoch. One colour a layer.", kStepLoss, kStepLoss};
}

void add_curves(const RunData& run, const std::vector<LayerCurve>& layers, const Quantity& quantity, bool over_evaluations,
                std::vector<Figure>& figures) {
  const AxisUnit unit = evaluation_unit(largest_evaluations(run));
  const std::string x = over_evaluations ? fmt::format("(${}/{})", kEvaluations, unit.divisor) : std::to_string(kEpoch);
  const auto [test, train] = std::pair{quantity.test, quantity.train};
  Figure f;
  std::vector<Curve> curves;
  std::vector<LegendEntry> entries;
  // Layers begin anew; the run goes on.
  const bool whole = over_evaluations && layers.size() > 1 && test != train;
  Range y = joined(range_of_layers(layers, test), range_of_layers(layers, train));
  if (whole) {
    const auto rows = run_rows(run);
    f.data += data_block("run", rows);
    y = joined(y, range_of(rows, test));
    curves.push_back({"run", fmt::format("{}:{}", x, test), "with lines lw 1.2 lc rgb \"black\""});
    entries.push_back({"whole run", "black"});
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string look = fmt::format("lc rgb \"{}\"", palette_colour(i));
    const std::string points = layers[i].rows.size() <= 40 ? "with linespoints pt 7 ps 0.45" : "with lines";
    if (layers[i].has(test)) curves.push_back({layers[i].block, fmt::format("{}:{}", x, test), points + " lw 2 " + look});
    if (train != test && layers[i].has(train))
      curves.push_back({layers[i].block, fmt::format("{}:{}", x, train), "with lines dt 2 lw 1.8 " + look});
    if (layers[i].has(test) || layers[i].has(train)) entries.push_back({layers[i].name, palette_colour(i)});
  }
  if (curves.size() == (whole ? 1U : 0U)) return;
  f.name = fmt::format("{}_over_{}", quantity.name, over_evaluations ? "evaluations" : "epochs");
  f.title = fmt::format("{} over {}", quantity.title, over_evaluations ? "forward evaluations" : "epochs");
  f.caption = quantity.caption + (whole ? " The whole run: what it gives if it stops there." : "");
  for (const auto& layer : layers) f.data += data_block(layer.block, layer.rows);
  f.plot = legend(f, entries) +
           (over_evaluations ? axis('x', {0.0, largest_evaluations(run) / unit.divisor}, {0.0, 1e300})
                             : axis('x', range_of_layers(layers, kEpoch), {0.0, 1e300}, 1.0)) +
           axis('y', y, metric_limits(test == kTest ? run.metric : "loss")) +
           fmt::format("set xlabel {}\nset ylabel {}\n",
                       gnuplot_text(over_evaluations ? unit.word + "forward evaluations, all layers" : "epoch of the layer"),
                       gnuplot_text(quantity.title)) +
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
  if (const auto& vote = run.summary.at("vote"); vote.is_object()) bars.push_back({"vote", vote.at("test"), vote.at("train")});
  if (const auto& baseline = baseline_of(run.summary); baseline.is_object())
    bars.push_back({"baseline", baseline.at("test"), baseline.at("train")});
  return bars;
}

Figure bar_figure(const RunData& run) {
  const std::vector<Bar> bars = bars_of(run);
  std::vector<std::vector<double>> rows;
  std::string names, numbers;
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const double y = static_cast<double>(bars.size() - 1 - i);
    rows.push_back({y, bars[i].test, bars[i].train});
    names += fmt::format("{}{} {}", i == 0 ? "" : ", ", gnuplot_text(shortened(bars[i].label, 24)), y);
    numbers += fmt::format("{}\"{:.3f}\" {}", i == 0 ? "" : ", ", bars[i].test, y);
  }
  const Range x = joined(range_of(rows, 2), range_of(rows, 3)), y{-0.6, static_cast<double>(bars.size()) - 0.4};
  Figure f;
  f.name = "layers_and_vote";
  f.title = fmt::format("{} by layer", metric_title(run.metric));
  f.caption = "Final values; numbers: test set.";
  f.height = static_cast<int>(110 + 30 * bars.size());
  f.data = data_block("values", rows);
  // Dots, so that the axis need not begin at 0. Long names leave room for few numbers on it.
  f.plot = legend(f, {{"test set", palette_colour(0), LegendEntry::Mark::dot}, {"train set", palette_colour(1), LegendEntry::Mark::ring}}) +
           axis('x', x, metric_limits(run.metric), 0.0, 3) +
           fmt::format(
               "set ytics ({0})\nset yrange [{1}:{2}]\nset y2range [{1}:{2}]\nset y2tics scale 0 ({3})\nset xlabel {4}\n"
               "plot $values using 3:1 with points pt 6 ps 1 lw 2 lc rgb \"{5}\" notitle, "
               "$values using 2:1 with points pt 7 ps 0.8 lc rgb \"{6}\" notitle\n",
               names, y.low, y.high, numbers, gnuplot_text(metric_title(run.metric)), palette_colour(1), palette_colour(0));
  return f;
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
  const auto layers = curves_of(run);
  const bool evaluated =
      std::any_of(layers.begin(), layers.end(), [](const LayerCurve& l) { return l.has(kTestLoss) || l.has(kTrainLoss); });
  const std::vector<Quantity> quantities =
      evaluated ? std::vector<Quantity>{metric_of(run), loss_of_sets()} : std::vector<Quantity>{loss_of_steps()};
  if (!layers.empty())
    for (const Quantity& quantity : quantities)
      for (const bool over_evaluations : {true, false}) add_curves(run, layers, quantity, over_evaluations, group.figures);
  if (run.summary.is_object()) group.figures.insert(group.figures.begin(), bar_figure(run));
  return group;
}

FigureGroup comparison_figures(const std::vector<RunData>& runs) {
  FigureGroup group{"Runs side by side", {}};
  double largest = 0.0;
  for (const RunData& run : runs) largest = std::max(largest, largest_evaluations(run));
  const AxisUnit unit = evaluation_unit(largest);
  struct View {
    const char* name;
    std::string title, label;
    bool over_epochs;
    int y;
  };
  const std::string evaluations = fmt::format("($1/{})", unit.divisor), evaluation_label = unit.word + "forward evaluations of training";
  const bool alike = std::all_of(runs.begin(), runs.end(), [&](const RunData& run) { return run.metric == runs.front().metric; });
  const Range limits = metric_limits(alike ? runs.front().metric : "r2");
  const std::string metric = alike ? metric_words(runs.front().metric) : "metric";
  const std::vector<View> views{{"test_over_evaluations", "Test " + metric + " over forward evaluations", "test " + metric, false, kTest},
                                {"test_over_epochs", "Test " + metric + " over epochs", "test " + metric, true, kTest},
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
    std::vector<Range> costs;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const LayerCurve rows{"", fmt::format("run{}", i), run_rows(runs[i])};
      const Range own = range_of(rows.rows, view.y);
      if (!std::isfinite(own.low)) continue;
      y = joined(y, own);
      x = joined(x, range_of(rows.rows, kEpoch));
      costs.push_back(range_of(rows.rows, kEvaluations));
      f.data += data_block(rows.block, rows.rows);
      const LookOfCurve look = look_of_curve(i);
      curves.push_back({rows.block, fmt::format("{}:{}", view.over_epochs ? "2" : evaluations, view.y),
                        fmt::format("with linespoints pt 7 ps 0.4 lw 2 dt {} lc rgb \"{}\"", look.dash, look.colour)});
      entries.push_back({runs[i].name, look.colour, look.mark});
    }
    if (curves.empty()) continue;
    f.plot = legend(f, entries) + (view.over_epochs ? axis('x', {0.0, x.high}, {0.0, 1e300}, 1.0) : cost_axis(costs, unit.divisor)) +
             axis('y', y, view.y == kTest ? limits : metric_limits("loss")) +
             fmt::format("set xlabel {}\nset ylabel {}\n", gnuplot_text(view.over_epochs ? "epochs, layer after layer" : evaluation_label),
                         gnuplot_text(view.label)) +
             plot_command(curves);
    group.figures.push_back(std::move(f));
  }
  return group;
}

}  // namespace ffzero
