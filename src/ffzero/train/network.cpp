// Inference and state of a network.
// SPDX-License-Identifier: MIT
#include "ffzero/train/network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/head/prototypes.hpp"
#include "ffzero/map/fixed_state.hpp"
#include "ffzero/train/readout.hpp"

namespace ffzero {

namespace {

// Rows of a piece that is evaluated by one thread: so many that products are efficient, so few that maps stay in its cache.
constexpr Index kMostRows = 256, kLeastRows = 32, kPieceNumbers = Index{1} << 18;

template <class S>
bool infers_tail_apart(const Layer<S>& layer) {
  return (!layer.readout || rows_apart<S>(*layer.readout, Phase::inference)) &&
         std::all_of(layer.passed_on.begin(), layer.passed_on.end(), [](const auto& map) { return rows_apart<S>(*map, Phase::inference); });
}

// y is sized here.
template <class S>
void infer_map(const ForwardMap<S>& map, std::span<const S> theta, const ConstMatrixRef<S>& x, Matrix<S>& y) {
  y.resize(x.rows(), map.output_shape().size());
  run_map<S>(map, Phase::inference, theta, x, y);
}

}  // namespace

std::vector<Matrix<double>> layer_prototypes(Index classes, Index outputs, Index groups, std::uint64_t seed, Index layer) {
  std::vector<Matrix<double>> prototypes;
  for (Index g = 0; g < groups; ++g)
    prototypes.push_back(
        simplex_prototypes(classes, outputs / groups,
                           RandomStream(seed, Stream::prototype, static_cast<std::uint32_t>(layer), static_cast<std::uint64_t>(g))));
  return prototypes;
}

template <class S>
Network<S>::Network(NetworkParts<S> parts, std::shared_ptr<const Executor> executor, std::vector<std::shared_ptr<FrontEnd<S>>> fronts)
    : input_(parts.input),
      classes_(parts.classes),
      layers_(std::move(parts.layers)),
      fronts_(std::move(fronts)),
      executor_(std::move(executor)),
      end_to_end_(parts.end_to_end) {
  if (layers_.empty()) throw ConfigError("network", "needs at least one layer", "none");
  if (classes_ < 1) throw ConfigError("network", "needs at least one class (1 in regression)", std::to_string(classes_));
  fronts_.resize(layers_.size());
  Shape shape = input_;
  for (Index i = 0; i < layers(); ++i) {
    complete_layer(i, parts.seed);
    const Layer<S>& layer = layers_[usize(i)];
    if (fronts_[usize(i)]) shape = fronts_[usize(i)]->output_shape();
    if (layer.map->input_shape().size() != shape.size())
      throw ConfigError(layer.name, fmt::format("must take {} inputs, what comes before it gives", shape.size()),
                        to_string(layer.map->input_shape()), "make the shapes follow one another");
    // Several targets of a regression may be learnt by groups with one prototype each, target g mod T by group g.
    const bool by_groups = layer.head->classes() == 1 && layer.head->groups() % classes_ == 0;
    if (!end_to_end_ && layer.head->classes() != classes_ && !by_groups)
      throw ConfigError(layer.name, fmt::format("must have a head for {} classes, as the network", classes_),
                        std::to_string(layer.head->classes()), "give the heads one prototype for each class");
    shape = layer.output_shape();
  }
  if (end_to_end_) {
    const Layer<S>& last = layers_.back();
    const Index outputs = last.readout ? last.readout->output_shape().size() : last.map->output_shape().size();
    if (classes_ > outputs)
      throw ConfigError("model.layers", fmt::format("the last layer needs at least one output for each of the {} classes", classes_),
                        std::to_string(outputs), "widen it");
    end_to_end_head_ = std::make_shared<LogitsHead<S>>(outputs, classes_);
  }
  Index offset = 0;
  for (const auto& layer : layers_) {
    readouts_.push_back(parts.fitted_readout ? Matrix<S>(Matrix<S>::Zero(classes_, layer.head->input_size() + 1)) : Matrix<S>());
    offsets_.push_back(offset);
    offset += layer.map->parameter_count();
    auto& passed = passed_on_.emplace_back();
    for (const auto& map : layer.passed_on) passed.push_back(fixed_step<S>(*map, isize(passed_on_.size()) - 1));
  }
  readout_active_.assign(layers_.size(), 0);
  offsets_.push_back(offset);
  theta_ = initial_parameters(0, layers(), parts.seed);
}

template <class S>
void Network<S>::complete_layer(Index i, std::uint64_t seed) {
  Layer<S>& layer = layers_[usize(i)];
  if (layer.name.empty()) layer.name = fmt::format("layer{}", i);
  if (!layer.map) throw ConfigError(layer.name, "needs a map", "none");
  if (layer.head) return;
  const auto tail = layer.tail();
  const Index outputs = (tail.empty() ? layer.map->output_shape() : tail.back()->output_shape()).size();
  if (classes_ > outputs && !end_to_end_)
    throw ConfigError(layer.name,
                      fmt::format("needs at least K = {} outputs: a simplex of K prototypes does not fit into fewer dimensions", classes_),
                      std::to_string(outputs), "give it more outputs or use fewer classes");
  if (end_to_end_)
    layer.head = std::make_shared<LogitsHead<S>>(outputs, std::min(classes_, outputs));
  else
    layer.head = std::make_shared<PrototypeHead<S>>(layer_prototypes(classes_, outputs, 1, seed, i));
}

template <class S>
std::span<S> Network<S>::theta(Index first, Index last) {
  const Index begin = offsets_.at(usize(first));
  return as_span(theta_).subspan(usize(begin), usize(offsets_.at(usize(last)) - begin));
}

template <class S>
std::span<const S> Network<S>::theta(Index first, Index last) const {
  const Index begin = offsets_.at(usize(first));
  return as_span(theta_).subspan(usize(begin), usize(offsets_.at(usize(last)) - begin));
}

template <class S>
const Head<S>& Network<S>::head_of(Index i) const {
  return end_to_end_ && i + 1 == layers() ? *end_to_end_head_ : *layers_.at(usize(i)).head;
}

template <class S>
Vector<S> Network<S>::initial_parameters(Index first, Index last, std::uint64_t seed) const {
  Vector<S> initial(offsets_.at(usize(last)) - offsets_.at(usize(first)));
  Index at = 0;
  for (Index i = first; i < last; ++i) {
    const ForwardMap<S>& map = *layer(i).map;
    map.initialise(as_span(initial).subspan(usize(at), usize(map.parameter_count())),
                   RandomStream(seed, Stream::initial, static_cast<std::uint32_t>(i)));
    at += map.parameter_count();
  }
  return initial;
}

template <class S>
void Network<S>::infer(Index i, const ConstMatrixRef<S>& x, Wanted wanted, LayerOutput<S>& out, bool front_done) const {
  const Layer<S>& layer = layers_[usize(i)];
  const Head<S>& head = head_of(i);
  if (wanted != Wanted::head) out.passed_on.resize(x.rows(), layer.output_shape().size());
  if (wanted != Wanted::passed_on) {
    out.head_input.resize(x.rows(), head.input_size());
    out.scores.resize(x.rows(), head.groups() * head.classes());
  }
  const bool map_apart = rows_apart<S>(*layer.map, Phase::inference), tail_apart = infers_tail_apart(layer);
  const Index fitting = kPieceNumbers / layer.map->output_shape().size() / kLeastRows * kLeastRows;
  const Index rows = tail_apart ? std::clamp(fitting, kLeastRows, kMostRows) : std::max<Index>(1, x.rows());
  const Index pieces = divide_up(x.rows(), rows);
  out.buffers.resize(usize(pieces + 1));
  Buffers& whole = out.buffers.back();
  const bool together = !map_apart || !tail_apart;
  if (together) map_rows(i, x, front_done, whole);
  executor_->run(pieces, [&](Index piece) {
    const Index first = piece * rows, count = std::min(rows, x.rows() - first);
    Buffers& own = out.buffers[usize(piece)];
    if (!together) map_rows(i, x.middleRows(first, count), front_done, own);
    finish_rows(i, together ? whole.mapped.middleRows(first, count) : own.mapped.middleRows(0, count), wanted, out, first, own);
  });
}

template <class S>
void Network<S>::map_rows(Index i, const ConstMatrixRef<S>& x, bool front_done, Buffers& buffers) const {
  const auto& map = *layers_[usize(i)].map;
  if (!fronts_[usize(i)] || front_done) return infer_map<S>(map, theta(i, i + 1), x, buffers.mapped);
  infer_map<S>(*fronts_[usize(i)], {}, x, buffers.front);
  infer_map<S>(map, theta(i, i + 1), buffers.front, buffers.mapped);
}

template <class S>
void Network<S>::finish_rows(Index i, const ConstMatrixRef<S>& mapped, Wanted wanted, LayerOutput<S>& out, Index first,
                             Buffers& buffers) const {
  const Layer<S>& layer = layers_[usize(i)];
  const Head<S>& head = head_of(i);
  const Index rows = mapped.rows();
  const auto look = [&](const ConstMatrixRef<S>& from) {
    MatrixRef<S> z = out.head_input.middleRows(first, rows), scores = out.scores.middleRows(first, rows);
    if (layer.readout)
      run_map<S>(*layer.readout, Phase::inference, {}, from, z);
    else
      z = from;
    if (!has_readout(i)) return head.scores(z, scores);
    scores.setZero();
    readout_scores<S>(readouts_[usize(i)], readout_features<S>(z), scores.leftCols(classes_));
  };
  const bool want_head = wanted != Wanted::passed_on;
  const Index loss_after = &head == end_to_end_head_.get() ? 0 : layer.loss_after, maps = isize(layer.passed_on.size());
  if (want_head && loss_after == 0) look(mapped);
  if (wanted != Wanted::head && maps == 0) out.passed_on.middleRows(first, rows) = mapped;
  const auto steps = std::span<const LayerStep<S>>(passed_on_[usize(i)]).first(usize(wanted == Wanted::head ? loss_after : maps));
  run_steps<S>(
      steps, Phase::inference, {}, mapped, {},
      [&](std::size_t k) -> MatrixRef<S> {
        if (isize(k) + 1 == maps && wanted != Wanted::head) return out.passed_on.middleRows(first, rows);
        Matrix<S>& scratch = k % 2 == 0 ? buffers.even : buffers.odd;
        scratch.resize(rows, steps[k].outputs);
        return scratch;
      },
      [&](std::size_t k, const MatrixRef<S>& y) {
        if (want_head && loss_after == isize(k) + 1) look(y);
      });
}

template <class S>
void Network<S>::pass_on(Index first, Index last, Matrix<S>& x, LayerOutput<S>& out, bool front_done) const {
  for (Index i = first; i < last; ++i) {
    infer(i, x, Wanted::passed_on, out, front_done && i == first);
    x.swap(out.passed_on);
  }
}

template <class S>
std::vector<ForwardMap<S>*> Network<S>::maps_of(Index i) const {
  const Layer<S>& layer = layers_.at(usize(i));
  std::vector<ForwardMap<S>*> maps{layer.map.get()};
  for (const auto& map : layer.passed_on) maps.push_back(map.get());
  if (layer.readout) maps.push_back(layer.readout.get());
  return maps;
}

template <class S>
void Network<S>::infer_until(Index i, Index map, const ConstMatrixRef<S>& x, Matrix<S>& seen, bool front_done) const {
  const Layer<S>& layer = layers_.at(usize(i));
  const Index passed = isize(layer.passed_on.size());
  Buffers buffers;
  if (fronts_[usize(i)] && !front_done)
    infer_map<S>(*fronts_[usize(i)], {}, x, seen);
  else
    seen = x;
  if (map == 0) return;
  infer_map<S>(*layer.map, theta(i, i + 1), seen, buffers.mapped);
  seen.swap(buffers.mapped);
  const bool whole_network = end_to_end_ && i + 1 == layers();
  const Index before = map <= passed ? map - 1 : (whole_network ? 0 : layer.loss_after);
  const auto steps = std::span<const LayerStep<S>>(passed_on_[usize(i)]).first(usize(before));
  if (steps.empty()) return;
  std::vector<Matrix<S>> outputs(steps.size());
  run_steps<S>(
      steps, Phase::inference, {}, seen, {},
      [&](std::size_t k) -> MatrixRef<S> {
        outputs[k].resize(seen.rows(), steps[k].outputs);
        return outputs[k];
      },
      [](std::size_t, const MatrixRef<S>&) {});
  seen.swap(outputs.back());
}

template <class S>
std::vector<typename Network<S>::StateSlot> Network<S>::slots() const {
  std::vector<StateSlot> all;
  const auto add = [&](const std::string& name, std::span<S> values) {
    if (!values.empty()) all.push_back({name, values});
  };
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const std::string prefix = fmt::format("layer{}.", i);
    add(prefix + "prototypes", layers_[i].head->state());
    const auto add_map = [&](const std::string& name, ForwardMap<S>* map) {
      if (auto* fixed = dynamic_cast<FixedState<S>*>(map)) add(prefix + name, fixed->state());
    };
    add_map("statistics", layers_[i].map.get());
    for (std::size_t k = 0; k < layers_[i].passed_on.size(); ++k) add_map(fmt::format("passed_on{}", k), layers_[i].passed_on[k].get());
    add_map("projection", layers_[i].readout.get());
    if (fronts_[i]) add(prefix + "pca", fronts_[i]->state());
    auto& readout = const_cast<Matrix<S>&>(readouts_[i]);  // slots are written by load alone
    add(prefix + "readout", {readout.data(), usize(readout.size())});
  }
  return all;
}

template <class S>
void Network<S>::save(NpzArchive& archive) const {
  for (Index i = 0; i < layers(); ++i) {
    const auto values = theta(i, i + 1);
    archive[fmt::format("layer{}.theta", i)] = NpyArray::of<S>(values, {isize(values.size())});
  }
  for (const StateSlot& slot : slots()) archive[slot.name] = NpyArray::of<S>(slot.values, {isize(slot.values.size())});
}

template <class S>
void Network<S>::load(const NpzArchive& archive, const std::string& place) {
  const auto read = [&](const std::string& name, std::span<S> target) {
    const auto found = archive.find(name);
    if (found == archive.end())
      throw DataError(place, "must hold the array " + name, "none", "this checkpoint is of another architecture or version");
    const auto values = found->second.to<S>();
    if (values.size() != target.size())
      throw DataError(place, fmt::format("{} must have {} numbers", name, target.size()), std::to_string(values.size()),
                      "this checkpoint is of another architecture");
    std::copy(values.begin(), values.end(), target.begin());
  };
  for (Index i = 0; i < layers(); ++i) read(fmt::format("layer{}.theta", i), theta(i, i + 1));
  for (const StateSlot& slot : slots()) read(slot.name, slot.values);
  for (std::size_t i = 0; i < readouts_.size(); ++i) readout_active_[i] = readouts_[i].size() > 0 && readouts_[i].squaredNorm() > S{0};
}

template <class S>
void Network<S>::take_parameters(const Network& other) {
  theta_ = other.theta_;
  readouts_ = other.readouts_;
  readout_active_ = other.readout_active_;
}

template <class S>
void Network<S>::set_readout(Index layer, const Matrix<S>& readout) {
  Matrix<S>& own = readouts_.at(usize(layer));
  if (own.rows() != readout.rows() || own.cols() != readout.cols())
    throw ShapeError("readout", fmt::format("must be {} x {}", own.rows(), own.cols()),
                     fmt::format("{} x {}", readout.rows(), readout.cols()));
  own = readout;
  readout_active_[usize(layer)] = 1;
}

template <class S>
Matrix<S> readout_features(const ConstMatrixRef<S>& head_input) {
  Matrix<S> features = head_input;
  for (Index i = 0; i < features.rows(); ++i) {
    const double mean = features.row(i).template cast<double>().mean();
    if (std::abs(mean) > 0.0) features.row(i) *= static_cast<S>(1.0 / mean);
  }
  return features;
}

template Matrix<float> readout_features(const ConstMatrixRef<float>&);
template Matrix<double> readout_features(const ConstMatrixRef<double>&);
template class Network<float>;
template class Network<double>;

}  // namespace ffzero
