// Curves of learning.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "ffzero/report/run_figures.hpp"

namespace ffzero {

namespace {

// Column numbers of the data blocks.
enum Column { kEvaluations = 1, kEpoch, kTest, kTrain, kTestLoss, kTrainLoss };

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

std::vector<Curve> styled(const std::vector<LayerCurve>& layers, const std::string& x, int test, int train) {
  std::vector<Curve> curves;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string look = fmt::format("lc rgb \"{}\"", palette_colour(i));
    const std::string points = layers[i].rows.size() <= 40 ? "with linespoints pt 7 ps 0.45" : "with lines";
    if (layers[i].has(test)) curves.push_back({layers[i].block, layers[i].name, fmt::format("{}:{}", x, test), points + " lw 2 " + look});
    if (layers[i].has(train))
      curves.push_back({layers[i].block, layers[i].has(test) ? "" : layers[i].name + " (train)", fmt::format("{}:{}", x, train),
                        "with lines dt 2 lw 1.4 " + look});
  }
  return curves;
}

void add_curves(const RunData& run, const std::vector<LayerCurve>& layers, bool loss, bool over_evaluations, std::vector<Figure>& figures) {
  const AxisUnit unit = evaluation_unit(largest_evaluations(run));
  const std::string x = over_evaluations ? fmt::format("(${}/{})", static_cast<int>(kEvaluations), unit.divisor) : std::to_string(kEpoch);
  const auto curves = styled(layers, x, loss ? kTestLoss : kTest, loss ? kTrainLoss : kTrain);
  if (curves.empty()) return;
  const std::string what = loss ? "Loss" : metric_title(run.metric);
  Figure f;
  f.name = fmt::format("{}_over_{}", loss ? "loss" : run.metric, over_evaluations ? "evaluations" : "epochs");
  f.title = fmt::format("{} over {}", what, over_evaluations ? "forward evaluations" : "epochs");
  f.caption = "Solid: test set; dashed: train set. One colour a layer.";
  for (const auto& layer : layers) f.data += data_block(layer.block, layer.rows);
  f.plot = fmt::format("set xlabel {}\nset ylabel {}\nset offsets graph 0.03, graph 0.03, graph 0.05, graph 0.05\n",
                       gnuplot_text(over_evaluations ? unit.word + "forward evaluations of training, all layers" : "epoch of the layer"),
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
  if (const auto& control = run.summary.at("control"); control.is_object())
    bars.push_back({"control", control.at("test"), control.at("train")});
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
  f.title = fmt::format("{} of each layer{}", metric_title(run.metric), run.summary.at("vote").is_object() ? " and of the vote" : "");
  f.caption = "Final values. Wide bars and numbers: test set; thin bars: train set.";
  f.height = static_cast<int>(std::max<std::size_t>(170, 80 + 42 * bars.size()));
  f.data = data_block("bars", rows);
  f.plot = fmt::format(
      "set ytics ({})\nset xlabel {}\nset xrange [{}:1.12]\nset xtics 0.2\nset yrange [-0.6:{}]\nunset key\nset grid noytics\n"
      "plot $bars using (0):1:(0):2:($1-0.32):($1+0.2) with boxxyerror fc rgb \"{}\" notitle, "
      "$bars using (0):1:(0):3:($1+0.22):($1+0.36) with boxxyerror fc rgb \"{}\" notitle, "
      "$bars using ($2>0?$2:0):($1-0.06):(sprintf(\"%.3f\",$2)) with labels left offset 0.4,0 font \",12\" notitle\n",
      tics, gnuplot_text(metric_title(run.metric)), lowest < 0.0 ? std::max(-1.0, lowest) : 0.0, static_cast<double>(bars.size()) - 0.4,
      palette_colour(0), palette_colour(4));
  return f;
}

// The curve of a whole run: layer after layer, parted by empty rows.
std::vector<std::vector<double>> run_rows(const RunData& run) {
  std::vector<std::vector<double>> rows;
  int layer = -1;
  double before = 0.0, last = 0.0;
  for (const EpochPoint& p : run.epochs) {
    if (layer >= 0 && p.layer_index != layer) {
      rows.emplace_back();
      before = last;
    }
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

std::string plot_command(const std::vector<Curve>& curves) {
  std::string text = "plot ";
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const Curve& c = curves[i];
    text += fmt::format("{}${} using {} {} {}", i == 0 ? "" : ", \\\n  ", c.block, c.columns, c.style,
                        c.title.empty() ? "notitle" : "title " + gnuplot_text(c.title));
  }
  return text + "\n";
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
    std::string x;
    int y;
  };
  const std::string evaluations = fmt::format("($1/{})", unit.divisor), evaluation_label = unit.word + "forward evaluations of training";
  const std::vector<View> views{{"test_over_evaluations", "Test metric over forward evaluations", "test metric", evaluations, kTest},
                                {"test_over_epochs", "Test metric over epochs", "test metric", "2", kTest},
                                {"loss_over_evaluations", "Train loss over forward evaluations", "train loss", evaluations, kTrainLoss}};
  for (const View& view : views) {
    Figure f{.name = view.name, .title = view.title, .caption = "One colour a run; layers follow one another.", .data = {}, .plot = {}};
    std::vector<Curve> curves;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const LayerCurve rows{"", fmt::format("run{}", i), run_rows(runs[i])};
      const bool finite =
          std::any_of(rows.rows.begin(), rows.rows.end(), [&](const auto& r) { return !r.empty() && std::isfinite(r[usize(view.y - 1)]); });
      if (!finite) continue;
      f.data += data_block(rows.block, rows.rows);
      curves.push_back({rows.block, runs[i].name, fmt::format("{}:{}", view.x, view.y),
                        fmt::format("with linespoints pt 7 ps 0.4 lw 2 dt {} lc rgb \"{}\"", 1 + i / palette().size(), palette_colour(i))});
    }
    if (curves.empty()) continue;
    f.height = 340 + 18 * static_cast<int>(curves.size() / 2);
    f.plot = fmt::format("set xlabel {}\nset ylabel {}\nset offsets graph 0.03, graph 0.03, graph 0.05, graph 0.05\n",
                         gnuplot_text(view.x == "2" ? "epochs, layer after layer" : evaluation_label), gnuplot_text(view.label)) +
             plot_command(curves);
    group.figures.push_back(std::move(f));
  }
  return group;
}

}  // namespace ffzero
