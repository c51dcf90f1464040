// Inference and state of a network.
// SPDX-License-Identifier: MIT
#include "ffzero/train/network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/map/fixed_state.hpp"
#include "ffzero/train/readout.hpp"

namespace ffzero {

namespace {

constexpr Index kInferRows = 256;

template <class S>
void apply(const ForwardMap<S>& map, std::span<const S> theta, const ConstMatrixRef<S>& x, Matrix<S>& y) {
  y.resize(x.rows(), map.output_shape().size());
  if (const auto* stateful = dynamic_cast<const StatefulMap<S>*>(&map))
    stateful->infer(theta, x, y);
  else
    map.forward(theta, x, y);
}

}  // namespace

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
bool Network<S>::rows_are_independent(Index i) const {
  const Layer<S>& layer = layers_[usize(i)];
  bool independent = layer.map->independent_rows();
  for (const auto& map : layer.passed_on) independent = independent && map->independent_rows();
  return independent && (!layer.readout || layer.readout->independent_rows());
}

template <class S>
const Head<S>& Network<S>::head_of(Index i) const {
  return end_to_end_ && i + 1 == layers() ? *end_to_end_head_ : *layers_.at(usize(i)).head;
}

template <class S>
void Network<S>::infer(Index i, const ConstMatrixRef<S>& x, bool want_head, LayerOutput<S>& out, bool front_done) const {
  const Layer<S>& layer = layers_[usize(i)];
  const Head<S>& head = head_of(i);
  out.passed_on.resize(x.rows(), layer.output_shape().size());
  if (want_head) {
    out.head_input.resize(x.rows(), head.input_size());
    out.scores.resize(x.rows(), head.groups() * head.classes());
  }
  if (!rows_are_independent(i)) return infer_rows(i, x, want_head, out, front_done, 0);
  executor_->run((x.rows() + kInferRows - 1) / kInferRows, [&](Index shard) {
    const Index first = shard * kInferRows, rows = std::min(kInferRows, x.rows() - first);
    infer_rows(i, x.middleRows(first, rows), want_head, out, front_done, first);
  });
}

template <class S>
void Network<S>::infer_rows(Index i, const ConstMatrixRef<S>& x, bool want_head, LayerOutput<S>& out, bool front_done, Index first) const {
  const Layer<S>& layer = layers_[usize(i)];
  const Head<S>& head = head_of(i);
  Matrix<S> current, next;
  if (fronts_[usize(i)] && !front_done) {
    apply<S>(*fronts_[usize(i)], {}, x, current);
    apply<S>(*layer.map, theta(i, i + 1), current, next);
  } else {
    apply<S>(*layer.map, theta(i, i + 1), x, next);
  }
  current.swap(next);
  const auto look = [&] {
    if (layer.readout) apply<S>(*layer.readout, {}, current, next);
    const Matrix<S>& z = layer.readout ? next : current;
    out.head_input.middleRows(first, x.rows()) = z;
    if (has_readout(i)) {
      out.scores.middleRows(first, x.rows()).setZero();
      readout_scores<S>(readouts_[usize(i)], readout_features<S>(z), out.scores.block(first, 0, x.rows(), classes_));
    } else {
      head.scores(z, out.scores.middleRows(first, x.rows()));
    }
  };
  const Index loss_after = &head == end_to_end_head_.get() ? 0 : layer.loss_after;
  if (want_head && loss_after == 0) look();
  for (std::size_t k = 0; k < layer.passed_on.size(); ++k) {
    apply<S>(*layer.passed_on[k], {}, current, next);
    current.swap(next);
    if (want_head && loss_after == isize(k) + 1) look();
  }
  out.passed_on.middleRows(first, x.rows()) = current;
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
    if (auto* map = dynamic_cast<StatefulMap<S>*>(layers_[i].map.get())) add(prefix + "statistics", map->state());
    if (auto* readout = dynamic_cast<FixedState<S>*>(layers_[i].readout.get())) add(prefix + "projection", readout->state());
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
