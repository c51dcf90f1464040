// Pictures of phases and light.
// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <numbers>

#include "ffzero/base/error.hpp"
#include "ffzero/map/mesh/layout.hpp"
#include "ffzero/report/run_figures.hpp"
#include "ffzero/run/mesh_light.hpp"

namespace ffzero {

namespace {

constexpr double kPi = std::numbers::pi;
constexpr Index kMostCells = 128;  // in a row or column of a picture; larger meshes are thinned out
constexpr int kPhaseBins = 36;
constexpr int kSectors = 24;

double in_turn(double angle) { return angle - 2.0 * kPi * std::floor(angle / (2.0 * kPi)); }

struct MeshPhases {
  std::string name;
  MeshLayout layout;
  Matrix<double> before, after;  // one column
};

std::vector<MeshPhases> phases_of(const RunData& run) {
  std::vector<MeshPhases> meshes;
  for (const auto& mesh : run.about.value("meshes", nlohmann::json::array())) {
    const auto i = meshes.size();
    const MeshLayout layout(mesh.at("ports").get<Index>(), mesh_geometry(mesh.at("layout").get<std::string>()),
                            mesh.at("dead_parameters").get<bool>());
    MeshPhases phases{mesh.at("name"), layout, run.matrix(fmt::format("phases_initial.{}", i)),
                      run.matrix(fmt::format("phases_final.{}", i))};
    // Names become names of files.
    if (phases.name.empty() ||
        !std::all_of(phases.name.begin(), phases.name.end(),
                     [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.'; }) ||
        phases.name.front() == '.')
      throw DataError((run.folder / "evaluation.npz").string(), "meshes have names of letters and digits", phases.name,
                      "the file is damaged");
    if (phases.before.rows() != layout.parameter_count() || phases.after.rows() != layout.parameter_count())
      throw DataError((run.folder / "evaluation.npz").string(),
                      fmt::format("{} must have {} phases", phases.name, layout.parameter_count()), std::to_string(phases.after.rows()),
                      "the file is damaged");
    meshes.push_back(std::move(phases));
  }
  return meshes;
}

// A phase of each interferometer, laid over both of its waveguides: (n, columns); 0 where there is none.
Matrix<double> on_the_mesh(const MeshLayout& layout, const Matrix<double>& phases, Index block_begin) {
  Matrix<double> map = Matrix<double>::Zero(layout.ports(), layout.columns());
  for (Index column = 0; column < layout.columns(); ++column)
    for (Index pair = 0; pair < layout.pairs(column); ++pair) {
      const Index top = MeshLayout::top_waveguide(column, pair);
      map(top, column) = map(top + 1, column) = phases(block_begin + layout.offset(column) + pair, 0);
    }
  return map;
}

struct Thinned {
  Matrix<double> cells;
  Index row_step, column_step;
};

Thinned thinned(const Matrix<double>& m) {
  const Index row_step = divide_up(m.rows(), kMostCells), column_step = divide_up(m.cols(), kMostCells);
  Matrix<double> cells(divide_up(m.rows(), row_step), divide_up(m.cols(), column_step));
  for (Index i = 0; i < cells.rows(); ++i)
    for (Index j = 0; j < cells.cols(); ++j) cells(i, j) = m(i * row_step, j * column_step);
  return {std::move(cells), row_step, column_step};
}

// Waveguides downwards, columns to the right, as light passes through a drawing of the mesh.
Figure map_figure(const Matrix<double>& map, const std::string& colours, const std::string& x_label, const std::string& y_label) {
  const Thinned t = thinned(map);
  Figure f;
  f.height = 360;
  f.data = data_block("cells", t.cells);
  f.plot =
      colours + fmt::format(
                    "unset grid\nset border 0\nset tics scale 0\nset xlabel {}\nset ylabel {}\nset xrange [{}:{}]\nset yrange [{}:{}]\n"
                    "plot $cells matrix using ($1*{}):($2*{}):3 with image notitle\n",
                    gnuplot_text(x_label), gnuplot_text(y_label), -0.5 * static_cast<double>(t.column_step),
                    (static_cast<double>(t.cells.cols()) - 0.5) * static_cast<double>(t.column_step),
                    (static_cast<double>(t.cells.rows()) - 0.5) * static_cast<double>(t.row_step), -0.5 * static_cast<double>(t.row_step),
                    t.column_step, t.row_step);
  if (t.row_step > 1 || t.column_step > 1)
    f.caption = fmt::format(" Every {}th column and {}th waveguide is shown.", t.column_step, t.row_step);
  return f;
}

const char* const kTurnTics = "set cbrange [0:2*pi]\nset cbtics (\"0\" 0, \"π\" pi, \"2π\" 2*pi)\n";
const char* const kHalfTurnTics = "set cbtics (\"-π\" -pi, \"-π/2\" -pi/2, \"0\" 0, \"π/2\" pi/2, \"π\" pi)\n";

// Scale of differences: the whole half turn is rarely needed.
std::string difference_range(const Matrix<double>& map) {
  double most = 1e-3;
  most = std::max(most, map.cwiseAbs().maxCoeff());
  if (most > kPi / 2) return std::string("set cbrange [-pi:pi]\n") + kHalfTurnTics;
  return fmt::format("set cbrange [{}:{}]\n", -most, most);
}

void add_phase_maps(const MeshPhases& mesh, const char* kind, const char* letter, Index begin, std::vector<Figure>& figures) {
  const Matrix<double> before = on_the_mesh(mesh.layout, mesh.before, begin).unaryExpr(&in_turn);
  const Matrix<double> after = on_the_mesh(mesh.layout, mesh.after, begin).unaryExpr(&in_turn);
  const Matrix<double> difference = on_the_mesh(mesh.layout, mesh.after - mesh.before, begin).unaryExpr(&wrapped);
  const auto add = [&](const char* when, const Matrix<double>& map, const std::string& colours, const std::string& title,
                       const std::string& caption) {
    Figure f = map_figure(map, colours, "column", "waveguide");
    f.name = fmt::format("phases_{}_{}_{}", mesh.name, kind, when);
    f.title = fmt::format("{}: {} {}", mesh.name, letter, title);
    f.caption = caption + f.caption;
    figures.push_back(std::move(f));
  };
  add("before", before, angle_palette() + kTurnTics, "before training", "Radians, modulo 2 pi; 0 where there is no interferometer.");
  add("after", after, angle_palette() + kTurnTics, "after training", "Radians, modulo 2 pi; 0 where there is no interferometer.");
  add("difference", difference, signed_palette() + difference_range(difference), "after - before", "Radians, wrapped to (-π, π].");
}

std::vector<double> block_of(const Matrix<double>& phases, Index begin, Index size) {
  std::vector<double> values;
  for (Index i = 0; i < size; ++i) values.push_back(in_turn(phases(begin + i, 0)));
  return values;
}

// Phases that drive something: dead entries of the reference's layout are left out.
std::vector<double> live_phases(const MeshPhases& mesh, const Matrix<double>& phases, Index begin) {
  std::vector<double> values;
  for (Index column = 0; column < mesh.layout.columns(); ++column) {
    const auto part = block_of(phases, begin + mesh.layout.offset(column), mesh.layout.pairs(column));
    values.insert(values.end(), part.begin(), part.end());
  }
  return values;
}

std::vector<double> histogram(const std::vector<double>& angles, int bins) {
  std::vector<double> counts(static_cast<std::size_t>(bins), 0.0);
  for (const double a : angles) counts[static_cast<std::size_t>(std::clamp(static_cast<int>(a / (2.0 * kPi) * bins), 0, bins - 1))] += 1.0;
  return counts;
}

std::string before_and_after(Figure& f, LegendEntry::Mark mark_after, std::size_t colour_after, int below = 66) {
  const auto mark_before = mark_after == LegendEntry::Mark::dot ? LegendEntry::Mark::ring : LegendEntry::Mark::line;
  return legend(f, {{"before", palette_colour(1), mark_before}, {"after", palette_colour(colour_after), mark_after}}, below);
}

Figure histogram_figure(const MeshPhases& mesh, const char* kind, const char* letter, Index begin) {
  const auto before = histogram(live_phases(mesh, mesh.before, begin), kPhaseBins),
             after = histogram(live_phases(mesh, mesh.after, begin), kPhaseBins);
  std::vector<std::vector<double>> rows;
  for (int b = 0; b < kPhaseBins; ++b) {
    const auto i = static_cast<std::size_t>(b);
    rows.push_back({2.0 * kPi * (b + 0.5) / kPhaseBins, before[i], after[i]});
  }
  Figure f{.name = fmt::format("histogram_{}_{}", mesh.name, kind),
           .title = fmt::format("{}: distribution of {}", mesh.name, letter),
           .caption = "Phases of all interferometers, modulo 2 pi.",
           .data = data_block("bins", rows),
           .plot = {}};
  f.plot = before_and_after(f, LegendEntry::Mark::box, 5) +
           axis('y', joined({0.0, 0.0}, joined(range_of(rows, 2), range_of(rows, 3))), {0.0, 1e300}, 1.0) +
           fmt::format(
               "set xrange [0:2*pi]\nset xtics (\"0\" 0, \"π/2\" pi/2, \"π\" pi, \"3π/2\" 3*pi/2, \"2π\" 2*pi)\nset "
               "xlabel \"radians\"\nset ylabel \"interferometers\"\nplot $bins using 1:3 with boxes lc rgb \"{}\" notitle, "
               "$bins using 1:2 with histeps lw 2 lc rgb \"{}\" notitle\n",
               palette_colour(5), palette_colour(1));
  return f;
}

// Sectors whose area is the share of the phases.
std::vector<std::vector<double>> rose(const std::vector<double>& counts, double most) {
  std::vector<std::vector<double>> outline;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    const double radius = std::sqrt(counts[s] / most);
    for (int k = 0; k <= 4; ++k) {
      const double angle = 2.0 * kPi * (static_cast<double>(s) + k / 4.0) / static_cast<double>(counts.size());
      outline.push_back({radius * std::cos(angle), radius * std::sin(angle)});
    }
  }
  outline.push_back(outline.front());
  return outline;
}

Figure rose_figure(const MeshPhases& mesh, const char* kind, const char* letter, Index begin) {
  const auto before = histogram(live_phases(mesh, mesh.before, begin), kSectors),
             after = histogram(live_phases(mesh, mesh.after, begin), kSectors);
  const double most = std::max({1.0, *std::max_element(before.begin(), before.end()), *std::max_element(after.begin(), after.end())});
  Figure f{.name = fmt::format("rose_{}_{}", mesh.name, kind),
           .title = fmt::format("{}: rose of {}", mesh.name, letter),
           .caption = "The same on the circle; areas are proportional to numbers, the ring is the fullest sector.",
           .data = data_block("before", rose(before, most)) + data_block("after", rose(after, most)),
           .plot = {}};
  f.plot = before_and_after(f, LegendEntry::Mark::box, 5, 12) +
           fmt::format(
               "set size ratio -1\nunset tics\nunset grid\nset border 0\nset xrange [-1.45:1.45]\nset yrange [-1.25:1.25]\n"
               "set object 1 circle at 0,0 size 1 fs empty border lc rgb \"#9aa0a8\" lw 0.8\n"
               "set label 1 \"0\" at 1.1,0\nset label 2 \"π/2\" at 0,1.13 center\nset label 3 \"π\" at -1.1,0 right\nset "
               "label 4 \"3π/2\" at 0,-1.15 center\n"
               "plot $after using 1:2 with filledcurves closed lc rgb \"{}\" notitle, $before using 1:2 with lines "
               "lw 2 lc rgb \"{}\" notitle\n",
               palette_colour(5), palette_colour(1));
  return f;
}

Figure gamma_figure(const MeshPhases& mesh) {
  std::vector<std::vector<double>> rows;
  const Index begin = mesh.layout.gamma_begin();
  for (Index i = 0; i < mesh.layout.ports(); ++i)
    rows.push_back({static_cast<double>(i), in_turn(mesh.before(begin + i, 0)), in_turn(mesh.after(begin + i, 0))});
  Figure f{.name = fmt::format("phases_{}_gamma", mesh.name),
           .title = fmt::format("{}: input phases γ", mesh.name),
           .caption = "Radians, modulo 2 pi.",
           .data = data_block("ports", rows),
           .plot = {}};
  f.plot = before_and_after(f, LegendEntry::Mark::dot, 0) + axis('x', range_of(rows, 1), {-0.5, 1e300}, 1.0) +
           fmt::format(
               "set xlabel \"waveguide\"\nset ylabel \"radians\"\nset yrange [0:2*pi]\nset ytics (\"0\" 0, \"π\" pi, \"2π\" "
               "2*pi)\nplot $ports using 1:2:(0):($3-$2) with vectors nohead lw 1 lc rgb \"#9aa0a8\" notitle, $ports using 1:3 "
               "with points pt 7 ps 0.6 lc rgb \"{}\" notitle, "
               "$ports using 1:2 with points pt 6 ps 0.9 lw 1.5 lc rgb \"{}\" notitle\n",
               palette_colour(0), palette_colour(1));
  return f;
}

Figure power_figure(const RunData& run, std::size_t mesh, const std::string& name) {
  const Matrix<double> power = run.matrix(fmt::format("mesh_power.{}", mesh));
  Figure f = map_figure(power, amount_palette() + "set cbrange [0:*]\n", "waveguide", "class");
  std::string tics;
  const Index step = std::max<Index>(1, (power.rows() + 15) / 16);
  for (Index k = 0; k < power.rows(); k += step)
    tics += fmt::format("{}{} {}", k == 0 ? "" : ", ", gnuplot_text(shortened(run.class_name(k))), k);
  f.plot = fmt::format("set ytics ({})\n", tics) + f.plot;
  f.name = "power_" + name;
  f.title = name + ": mean power per waveguide and class";
  f.caption = "Power behind the mesh, mean over the first test samples of each class." + f.caption;
  f.height = 320;
  return f;
}

Figure light_figure(const RunData& run, std::size_t mesh, const std::string& name, const char* when) {
  const Matrix<double> amplitude = run.matrix(fmt::format("light_{}.{}", when, mesh)).cwiseAbs().cwiseSqrt().transpose();
  Figure f = map_figure(amplitude, amount_palette() + "set cbrange [0:*]\n", "behind column (0: input, 1: behind γ)", "waveguide");
  f.name = fmt::format("light_{}_{}", name, when);
  f.title = fmt::format("{}: light |E|, {} training", name, when);
  f.caption = fmt::format("Light of {} on its way through the mesh.", sample_words(run, run.about.value("light_sample", 0))) + f.caption;
  return f;
}

Figure energy_figure(const RunData& run) {
  const Matrix<double> energy = run.matrix("energy");
  std::vector<std::vector<double>> rows;
  std::string tics;
  for (Index i = 0; i < energy.rows(); ++i) {
    rows.push_back({static_cast<double>(i), energy(i, 0), energy(i, 1), energy(i, 2)});
    tics += fmt::format("{}\"mesh{}\" {}", i == 0 ? "" : ", ", i, i);
  }
  Figure f{.name = "energy",
           .title = "Energy balance: mean power of a sample",
           .caption = "A mesh is unitary: what goes in comes out. Between meshes the nonlinearity takes its part and the gain gives.",
           .data = data_block("layers", rows),
           .plot = {}};
  const std::vector<LegendEntry> entries{{"in front of the mesh", palette_colour(0), LegendEntry::Mark::box},
                                         {"behind it", palette_colour(1), LegendEntry::Mark::box},
                                         {"passed on", palette_colour(2), LegendEntry::Mark::box}};
  f.plot = legend(f, entries, 40) + axis('y', {0.0, 1.1 * energy.maxCoeff()}, {0.0, 1e300}) +
           fmt::format("set xtics ({})\nset xrange [-0.5:{}]\nset boxwidth 0.28\nset grid noxtics\nplot ", tics,
                       static_cast<double>(energy.rows()) - 0.5);
  for (std::size_t i = 0; i < entries.size(); ++i)
    // Powers of a later mesh may be too small for a bar to be seen: every bar has its number.
    f.plot += fmt::format(
        "{0}$layers using ($1{1:+}):{2} with boxes lc rgb \"{3}\" notitle, $layers using ($1{1:+}):{2}:(sprintf(\"%.2g\",${2})) "
        "with labels offset 0,0.6 font \",12\" notitle",
        i == 0 ? "" : ", ", 0.3 * (static_cast<double>(i) - 1.0), i + 2, entries[i].colour);
  f.plot += "\n";
  return f;
}

}  // namespace

FigureGroup photonic_figures(const RunData& run) {
  FigureGroup group{"Light and phases", {}};
  const auto meshes = phases_of(run);
  for (std::size_t i = 0; i < meshes.size(); ++i) {
    for (const char* when : {"before", "after"}) group.figures.push_back(light_figure(run, i, meshes[i].name, when));
    group.figures.push_back(power_figure(run, i, meshes[i].name));
  }
  if (!meshes.empty() && run.has("energy")) group.figures.push_back(energy_figure(run));
  for (const MeshPhases& mesh : meshes) {
    add_phase_maps(mesh, "theta", "θ", 0, group.figures);
    add_phase_maps(mesh, "phi", "φ", mesh.layout.phi_begin(), group.figures);
    group.figures.push_back(gamma_figure(mesh));
    group.figures.push_back(histogram_figure(mesh, "theta", "θ", 0));
    group.figures.push_back(rose_figure(mesh, "theta", "θ", 0));
    group.figures.push_back(histogram_figure(mesh, "phi", "φ", mesh.layout.phi_begin()));
    group.figures.push_back(rose_figure(mesh, "phi", "φ", mesh.layout.phi_begin()));
  }
  return group;
}

}  // namespace ffzero
