// Several instruments of one size that hold the same parameters and share the samples of a batch.
// SPDX-License-Identifier: MIT
#include "ffzero/map/replicated.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

template <class S>
std::string size_of(const ForwardMap<S>& map) {
  return "[" + std::to_string(map.input_shape().size()) + "," + std::to_string(map.output_shape().size()) + "," +
         std::to_string(map.parameter_count()) + "]";
}

}  // namespace

RowShare share_of(Index rows, Index shares, Index i) {
  const Index least = rows / shares, larger = rows % shares;
  return {.first = i * least + std::min(i, larger), .rows = least + (i < larger ? 1 : 0)};
}

template <class S>
ReplicatedMap<S>::ReplicatedMap(std::vector<NumberedInstrument<S>> replicas) : InstrumentSet<S>(std::move(replicas)) {
  attendance_.resize(this->members().size());
  require_equal_sizes();
}

template <class S>
void ReplicatedMap<S>::require_equal_sizes() const {
  const std::string wanted = size_of(this->first());
  for (std::size_t p = 1; p < this->present().size(); ++p)
    if (const std::string found = size_of(this->map_of(p)); found != wanted)
      throw ConfigError(this->name_of(p),
                        "must have the inputs, outputs and parameters of " + this->name_of(0) + ", " + wanted +
                            ", with which it shares one parameter vector",
                        found, "make it a layer of its own");
}

template <class S>
std::string ReplicatedMap<S>::remedy_without(const std::vector<Index>& failed) const {
  std::string remedy = "to go on without:";
  for (const Index number : failed) remedy += " --without-device " + std::to_string(number);
  return remedy;
}

template <class S>
auto ReplicatedMap<S>::attendance(std::size_t i) const -> Attendance {
  const std::lock_guard lock(noting_);
  return attendance_.at(i);
}

template <class S>
void ReplicatedMap<S>::resume_attendance(std::size_t i, Index lost) const {
  const std::lock_guard lock(noting_);
  attendance_.at(i).lost = std::min(lost, kMostLost);
}

template <class S>
void ReplicatedMap<S>::ask_all() const {
  const std::lock_guard lock(noting_);
  for (Attendance& one : attendance_) one.lost = 0;
}

template <class S>
void ReplicatedMap<S>::take_attendance(const std::vector<RowShare>& shares, const std::vector<bool>& asked,
                                       const std::vector<std::vector<Matrix<S>>>& found) const {
  std::vector<bool> came(found.size());
  for (std::size_t p = 0; p < found.size(); ++p)
    came[p] = std::ranges::any_of(found[p], [](const Matrix<S>& y) {
      for (Index b = 0; b < y.rows(); ++b)
        if (y.row(b).allFinite()) return true;
      return false;
    });
  const bool anything = std::ranges::find(came, true) != came.end();
  const std::lock_guard lock(noting_);
  for (std::size_t p = 0; p < found.size(); ++p) {
    Attendance& one = attendance_[this->present()[p].member];
    if (!asked[p]) one.unasked += shares[p].rows * isize(found[p].size());
    if (!anything || came[p])
      one.lost = 0;
    else if (asked[p] && shares[p].rows > 0)
      ++one.lost;
  }
}

template <class S>
void ReplicatedMap<S>::read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                                 bool may_miss) const {
  if (ys.size() != thetas.size()) throw ShapeError(this->kind(), "as many results as parameter vectors", std::to_string(ys.size()));
  const auto& present = this->present();
  const Index columns = output_shape().size();
  std::vector<RowShare> shares(present.size());
  std::vector<bool> asked(present.size());
  for (std::size_t p = 0; p < present.size(); ++p) {
    shares[p] = share_of(x.rows(), isize(present.size()), isize(p));
    asked[p] = !may_miss || !attendance(present[p].member).at_rest();
  }
  std::vector<std::vector<Matrix<S>>> found(present.size());
  this->read_at_once([&](std::size_t p) {
    const Instrument<S>& instrument = *present[p].instrument;
    const RowShare own = shares[p];
    if (own.rows == 0) return instrument.pass_over(thetas.size());
    if (!asked[p]) {
      found[p].assign(thetas.size(), Matrix<S>::Constant(own.rows, columns, std::numeric_limits<S>::quiet_NaN()));
      return instrument.pass_over(thetas.size());
    }
    instrument.begin_rows(own.first);
    found[p].resize(thetas.size());
    instrument.read_many(thetas, x.middleRows(own.first, own.rows), found[p], may_miss);
  });
  if (may_miss) take_attendance(shares, asked, found);
  for (std::size_t i = 0; i < ys.size(); ++i) {
    ys[i].resize(x.rows(), columns);
    for (std::size_t p = 0; p < present.size(); ++p)
      if (const RowShare own = shares[p]; own.rows > 0) ys[i].middleRows(own.first, own.rows) = found[p][i];
  }
}

template <class S>
Matrix<S> ReplicatedMap<S>::reference_readings(std::span<const S> theta, Index repeats) const {
  Matrix<S> y(repeats, output_shape().size());
  this->read_at_once([&](std::size_t p) {
    const RowShare own = share_of(repeats, isize(this->present().size()), isize(p));
    if (own.rows > 0) y.middleRows(own.first, own.rows) = this->present()[p].instrument->reference_readings(theta, own.rows);
  });
  return y;
}

template class ReplicatedMap<float>;
template class ReplicatedMap<double>;

}  // namespace ffzero
