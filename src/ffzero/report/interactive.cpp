// Curves that answer the mouse.
// SPDX-License-Identifier: MIT
#include "ffzero/report/interactive.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "ffzero/report/run_figures.hpp"
#include "ffzero/report/table.hpp"

namespace ffzero {

namespace {

using json = nlohmann::ordered_json;

constexpr std::string_view kScript = R"JS('use strict';
const showCurves = () => document.querySelectorAll('.curves:empty').forEach(home => {
  // As wide as the page, so that letters keep their size on a small screen.
  const given = JSON.parse(home.dataset.curves), W = Math.max(300, home.clientWidth), H = W < 600 ? 280 : 380;
  const L = 64, R = 24, T = 12, B = 44;
  // range: what is shown of the x axis, null for all of it.
  const filled = given.y.findIndex((name, i) => given.curves.some(c => c.points.some(p => p[2 + i] !== null)));
  // As cost_axis of the figures: curves that end far apart share a linear axis badly.
  const costs = given.curves.map(c => Math.max(0, ...c.points.map(p => p[0] ?? 0))).filter(v => v > 0);
  const far = costs.length > 0 && Math.max(...costs) >= 10 * Math.min(...costs);
  const shown = {x: 0, y: Math.max(0, filled), logX: far, logY: false, off: new Set(), range: null};
  const html = (name, text, parent) => { const e = document.createElement(name); e.textContent = text; parent.append(e); return e; };
  const draw = (name, attributes, parent, text) => {
    const e = document.createElementNS(svg.namespaceURI, name);
    for (const key in attributes) e.setAttribute(key, attributes[key]);
    if (text !== undefined) e.textContent = text;
    parent.append(e);
    return e;
  };
  const axis = v => Math.abs(v) >= 1e6 ? Number((v / 1e6).toPrecision(6)) + ' M' : Math.abs(v) >= 1e4 ? Number((v / 1e3).toPrecision(6)) + ' k' : short(v);
  const short = v => Math.abs(v) >= 1e5 || (v !== 0 && Math.abs(v) < 1e-3) ? v.toExponential(2) : String(Number(v.toPrecision(6)));
  const bar = html('p', '', home);
  const choice = (names, key) => {
    const select = html('select', '', bar);
    names.forEach((name, i) => { html('option', name, select).value = i; });
    select.value = shown[key];
    select.addEventListener('change', () => { shown[key] = Number(select.value); if (key === 'x') shown.range = null; paint(); });
  };
  const box = (words, on, change, colour) => {
    const label = html('label', '', bar), input = html('input', '', label);
    input.type = 'checkbox';
    input.checked = on;
    input.addEventListener('change', () => { change(input.checked); paint(); });
    // The colour under the name: as that of letters some are too dark for a dark page.
    html('span', words, label).style.borderBottom = colour ? '3px solid ' + colour : '';
  };
  choice(given.y, 'y');
  choice(given.x, 'x');
  box('log x', shown.logX, on => { shown.logX = on; shown.range = null; });
  box('log y', false, on => { shown.logY = on; });
  const reset = () => { shown.range = null; paint(); };
  const half = (W - L - R) / 2;
  for (const [sign, name, act] of [['+', 'zoom in', () => zoom(L + half / 2, W - R - half / 2)], ['\u2212', 'zoom out', () => zoom(L - half, W - R + half)],
    ['\u2190', 'move to the left', () => zoom(L - half, W - R - half)], ['\u2192', 'move to the right', () => zoom(L + half, W - R + half)], ['all', 'show all', reset]]) {
    const button = html('button', sign, bar);
    button.type = 'button';
    button.title = name;
    button.setAttribute('aria-label', name);
    button.addEventListener('click', act);
  }
  const toggle = name => on => { if (on) shown.off.delete(name); else shown.off.add(name); };
  for (const set of ['test', 'train']) box(set, true, toggle(set + ' set'));
  const names = new Map(given.curves.map(c => [c.name, c.colour]));
  for (const [name, colour] of names) box(name, true, toggle(name), colour);
  home.insertAdjacentHTML('beforeend', `<svg viewBox="0 0 ${W} ${H}" role="img"></svg>`);
  const svg = home.querySelector('svg');
  svg.setAttribute('aria-label', 'curves of ' + [...names.keys()].join(', '));
  const words = html('p', '', home);
  words.className = 'quiet';
  words.setAttribute('role', 'status');
  let spots = [], spot = -1, x = null, whole = null, dragged = null;

  // Numbers on an axis: round ones, or powers of ten.
  const marks = (low, high, log, most) => {
    const at = [];
    if (log && high >= 10 * low) {
      const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), few = last - first < 3;
      for (let p = first; p <= last; ++p) for (const d of few ? [1, 2, 5] : [1]) at.push(d * 10 ** p);
      return at.filter(v => v >= low && v <= high);
    }
    const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw)), step = power * [1, 2, 5, 10].find(d => d * power >= raw);
    for (let i = Math.ceil(low / step); i * step <= high; ++i) at.push(i * step);
    return at;
  };
  const ends = (values, log) => {
    const low = Math.min(...values), high = Math.max(...values);
    return low < high ? [low, high] : log ? [low / 2, high * 2] : [low - 0.5, high + 0.5];
  };
  const scale = ([low, high], log, from, to, most) => {
    const f = v => log ? Math.log10(v) : v, back = v => log ? 10 ** v : v, size = (f(high) - f(low)) / (to - from);
    return {marks: marks(low, high, log, most), place: v => from + (f(v) - f(low)) / size, value: at => back(f(low) + (at - from) * size)};
  };
  // Shows what lies between two places of the picture now, within the whole and not less than a thousandth of it.
  const zoom = (from, to) => {
    if (x === null) return;
    const first = x.place(whole[0]), last = x.place(whole[1]), width = Math.min(to - from, last - first);
    const at = Math.min(Math.max(from, first), last - width);
    if (width < (last - first) / 1000) return;
    shown.range = width < last - first ? [x.value(at), x.value(at + width)] : null;
    paint();
  };
  const paint = () => {
    svg.replaceChildren();
    [spots, spot, x, dragged] = [[], -1, null, null];
    words.textContent = 'Point at a curve for its values, or step with the arrow keys. Drag over a range to enlarge it; a double click shows all.';
    const usable = p => p[shown.x] !== null && p[2 + shown.y] !== null && !(shown.logX && p[shown.x] <= 0) && !(shown.logY && p[2 + shown.y] <= 0);
    const curves = given.curves.filter(c => !shown.off.has(c.name) && !shown.off.has(c.set + ' set'))
      .map(c => ({...c, points: c.points.filter(usable)})).filter(c => c.points.length > 0);
    if (curves.length === 0) { words.textContent = 'Nothing to show: no curve is chosen, or none has such values.'; return; }
    const all = curves.flatMap(c => c.points);
    whole = ends(all.map(p => p[shown.x]), shown.logX);
    const [low, high] = shown.range || whole, inside = p => p[shown.x] >= low && p[shown.x] <= high;
    x = scale([low, high], shown.logX, L, W - R, W < 600 ? 3 : 6);
    const y = scale(ends((all.some(inside) ? all.filter(inside) : all).map(p => p[2 + shown.y]), shown.logY), shown.logY, H - B, T, 6);
    const text = {fill: 'currentColor', 'font-size': 13};
    for (const v of x.marks) {
      draw('line', {x1: x.place(v), x2: x.place(v), y1: T, y2: H - B, stroke: 'currentColor', opacity: 0.15}, svg);
      draw('text', {...text, x: x.place(v), y: H - B + 17, 'text-anchor': 'middle'}, svg, axis(v));
    }
    for (const v of y.marks) {
      draw('line', {x1: L, x2: W - R, y1: y.place(v), y2: y.place(v), stroke: 'currentColor', opacity: 0.15}, svg);
      draw('text', {...text, x: L - 7, y: y.place(v) + 4, 'text-anchor': 'end'}, svg, axis(v));
    }
    draw('text', {...text, x: (L + W - R) / 2, y: H - 6, 'text-anchor': 'middle'}, svg, given.x[shown.x]);
    // Lines go on to points beyond the range. The margin keeps those along an edge whole.
    const plot = draw('svg', {x: L - 6, y: T - 6, width: W - L - R + 12, height: H - T - B + 12, viewBox: `${L - 6} ${T - 6} ${W - L - R + 12} ${H - T - B + 12}`}, svg);
    // The first on top of the others.
    for (const c of curves.reverse()) {
      const line = c.points.map(p => x.place(p[shown.x]).toFixed(1) + ',' + y.place(p[2 + shown.y]).toFixed(1));
      draw('polyline', {points: line.join(' '), fill: 'none', stroke: c.colour, 'stroke-width': 2, 'stroke-dasharray': c.set === 'train' ? '6 4' : ''}, plot);
      // A run of one epoch has no line.
      if (c.points.length === 1) draw('rect', {x: x.place(c.points[0][shown.x]) - 3, y: y.place(c.points[0][2 + shown.y]) - 3, width: 6, height: 6, fill: c.set === 'train' ? 'none' : c.colour, stroke: c.colour}, plot);
      for (const p of c.points.filter(inside)) spots.push({x: x.place(p[shown.x]), y: y.place(p[2 + shown.y]), curve: c, point: p});
    }
    spots.sort((a, b) => a.x - b.x);
  };
  const tell = chosen => {
    if (spots.length === 0) return;
    spot = (chosen + spots.length) % spots.length;
    const s = spots[spot], p = s.point;
    svg.querySelectorAll('circle').forEach(c => c.remove());
    draw('circle', {cx: s.x, cy: s.y, r: 5, fill: s.curve.colour}, svg);
    const seed = s.curve.seed === null ? '' : `, seed ${s.curve.seed}`, epoch = p[1] === null ? '' : `epoch ${p[1]}, `;
    const values = given.y.map((name, i) => p[2 + i] === null ? '' : `, ${name} ${short(p[2 + i])}`).join('');
    words.textContent = `${s.curve.name}, ${s.curve.set} set${seed}: ${epoch}${p[0]} forward evaluations${values}`;
  };
  const place = event => {
    const box = svg.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * W, (event.clientY - box.top) / box.height * H];
  };
  svg.addEventListener('pointerdown', event => {
    if (!event.isPrimary || event.button !== 0 || x === null) return;
    svg.setPointerCapture(event.pointerId);
    dragged = {from: place(event)[0], to: null, mark: draw('rect', {y: T, height: H - T - B, fill: 'currentColor', opacity: 0.15}, svg)};
  });
  svg.addEventListener('pointermove', event => {
    if (!event.isPrimary) return;
    const [px, py] = place(event), far = s => (s.x - px) ** 2 + (s.y - py) ** 2;
    if (dragged === null) return tell(spots.reduce((a, s, i) => far(s) <= far(spots[a]) ? i : a, 0));
    const within = [dragged.from, px].map(v => Math.min(Math.max(v, L), W - R)).sort((a, b) => a - b);
    dragged.to = within;
    dragged.mark.setAttribute('x', within[0]);
    dragged.mark.setAttribute('width', within[1] - within[0]);
  });
  const drop = event => {
    if (dragged === null || !event.isPrimary) return;
    const within = dragged.to;
    dragged.mark.remove();
    dragged = null;
    // Less is the trembling of a click.
    if (event.type === 'pointerup' && within !== null && within[1] - within[0] > 8) zoom(...within);
  };
  svg.addEventListener('pointerup', drop);
  svg.addEventListener('pointercancel', drop);
  svg.addEventListener('dblclick', reset);
  svg.tabIndex = 0;
  svg.addEventListener('keydown', event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (step === undefined) return;
    event.preventDefault();
    tell(spot < 0 && step < 0 ? -1 : spot + step);
  });
  paint();
});
showCurves();
)JS";

// Six digits are enough for the eye, and half the weight.
json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return std::stod(fmt::format("{:.6g}", value));
}

struct Points {
  json test = json::array(), train = json::array();

  void add(const EpochPoint& p, double epoch) {
    const json evals = std::isfinite(p.forward_evals) ? json(static_cast<std::int64_t>(p.forward_evals)) : json(nullptr);
    test.push_back({evals, rounded(epoch), rounded(p.test), rounded(p.test_loss), nullptr});
    train.push_back({evals, rounded(epoch), rounded(p.train), rounded(p.train_loss), rounded(p.training_loss)});
  }
};

json thinned(const json& points, std::size_t most) {
  if (points.size() <= most) return points;
  json kept = json::array();
  for (std::size_t i = 0; i < most; ++i) kept.push_back(points[i * (points.size() - 1) / (most - 1)]);
  return kept;
}

// Pages of many curves stay light.
void thin(json& curves) {
  constexpr std::size_t kMost = 400, kLeast = 20, kTogether = 16000;
  for (json& curve : curves) curve["points"] = thinned(curve["points"], std::clamp(kTogether / curves.size(), kLeast, kMost));
}

json curve_of(const std::string& name, const char* set, const json& seed, const std::string& colour, const json& points) {
  return {{"name", name}, {"set", set}, {"seed", seed}, {"colour", colour}, {"points", points}};
}

void add_curves_of(const std::string& name, const json& seed, const std::string& colour, const Points& points, json& curves) {
  curves.push_back(curve_of(name, "test", seed, colour, points.test));
  curves.push_back(curve_of(name, "train", seed, colour, points.train));
}

json seed_of(const RunData& run) { return run.summary.is_object() ? run.summary.at("seed") : json(nullptr); }

// The epochs of a whole run in a row.
enum class Epochs { counted, left_out };
Points points_of(const RunData& run, Epochs epochs) {
  Points points;
  double before = 0.0, last = 0.0;
  int layer = -1;
  for (const EpochPoint& p : values_when_stopped(run)) {
    if (layer >= 0 && p.layer_index != layer) before = last;
    layer = p.layer_index;
    last = before + p.epoch;
    points.add(p, epochs == Epochs::counted ? last : std::nan(""));
  }
  return points;
}

json curves_of_layers(const RunData& run) {
  std::map<int, std::pair<std::string, Points>> layers;
  for (const EpochPoint& p : run.epochs) {
    auto& [name, points] = layers[p.layer_index];
    name = p.layer;
    points.add(p, p.epoch);
  }
  json curves = json::array();
  std::size_t number = 0;
  for (const auto& [index, layer] : layers) add_curves_of(layer.first, seed_of(run), palette_colour(number++), layer.second, curves);
  // Layers begin anew; the run goes on. Epochs are those of a layer.
  if (layers.size() > 1)
    curves.push_back(curve_of("whole run", "test", seed_of(run), "currentColor", points_of(run, Epochs::left_out).test));
  return curves;
}

}  // namespace

std::string interactive_html(const std::vector<RunData>& runs) {
  json curves = json::array();
  if (runs.size() == 1) {
    curves = curves_of_layers(runs.front());
  } else {
    std::map<std::string, std::size_t> names;
    for (const RunData& run : runs)
      if (!run.epochs.empty())
        add_curves_of(run.name, seed_of(run), look_of_curve(names.try_emplace(run.name, names.size()).first->second).colour,
                      points_of(run, Epochs::counted), curves);
  }
  if (curves.empty()) return {};
  thin(curves);
  const bool alike = std::all_of(runs.begin(), runs.end(), [&](const RunData& run) { return run.metric == runs.front().metric; });
  const json all = {{"x", {"forward evaluations", "epoch"}},
                    {"y", {alike ? metric_words(runs.front().metric) : "metric", "loss", "loss of the steps"}},
                    {"curves", curves}};
  return "<section class=\"explore\"><h2>Curves to explore</h2>\n<noscript><p class=\"quiet\">These need JavaScript; the figures below do "
         "not.</p></noscript>\n<div class=\"curves\" data-curves=\"" +
         html_escaped(all.dump(-1, ' ', false, json::error_handler_t::replace)) + "\"></div></section>\n";
}

std::string_view interactive_script() { return kScript; }

std::string script_html() { return "<script>\n" + std::string(kScript) + "</script>\n"; }

}  // namespace ffzero
