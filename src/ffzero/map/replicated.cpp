// Several instruments of one size that hold the same parameters and share the samples of a batch.
// SPDX-License-Identifier: MIT
#include "ffzero/map/replicated.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/map/shape_check.hpp"

namespace ffzero {

namespace {

std::string named(Index number) { return "device " + std::to_string(number); }

// "device 3", "devices 3, 4".
std::string named(const std::vector<Index>& numbers) {
  std::string text = numbers.size() == 1 ? "device " : "devices ";
  for (std::size_t i = 0; i < numbers.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(numbers[i]);
  return text;
}

template <class S>
std::string size_of(const ForwardMap<S>& map) {
  return "[" + std::to_string(map.input_shape().size()) + "," + std::to_string(map.output_shape().size()) + "," +
         std::to_string(map.parameter_count()) + "]";
}

// The failure of a device, if that is what ended a call.
std::optional<DeviceError> device_error(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const DeviceError& e) {
    return e;
  } catch (...) {
    return std::nullopt;
  }
}

}  // namespace

RowShare share_of(Index rows, Index shares, Index i) {
  const Index least = rows / shares, larger = rows % shares;
  return {.first = i * least + std::min(i, larger), .rows = least + (i < larger ? 1 : 0)};
}

template <class S>
ReplicatedMap<S>::ReplicatedMap(std::vector<Replica<S>> replicas) : replicas_(std::move(replicas)) {
  for (std::size_t i = 0; i < replicas_.size(); ++i) {
    if (replicas_[i].map == nullptr) continue;
    const auto* const instrument = dynamic_cast<const Instrument<S>*>(replicas_[i].map.get());
    if (instrument == nullptr) throw ConfigError(named(replicas_[i].number), "must be an instrument", replicas_[i].map->kind());
    present_.push_back({.replica = i, .instrument = instrument});
  }
  if (present_.empty()) throw ConfigError("replicas", "at least one device must be there", "none");
  require_equal_sizes();
}

template <class S>
void ReplicatedMap<S>::require_equal_sizes() const {
  const std::string wanted = size_of(first());
  for (std::size_t p = 1; p < present_.size(); ++p)
    if (const std::string found = size_of(*replicas_[present_[p].replica].map); found != wanted)
      throw ConfigError(named(number_of(p)),
                        "must have the inputs, outputs and parameters of " + named(number_of(0)) + ", " + wanted +
                            ", with which it shares one parameter vector",
                        found, "make it a layer of its own");
}

template <class S>
const Instrument<S>* ReplicatedMap<S>::instrument(std::size_t i) const {
  return dynamic_cast<const Instrument<S>*>(replicas_.at(i).map.get());
}

template <class S>
std::vector<std::exception_ptr> ReplicatedMap<S>::at_once(const std::function<void(std::size_t p)>& work) const {
  std::vector<std::exception_ptr> failures(present_.size());
  const auto guarded = [&](std::size_t p) {
    try {
      work(p);
    } catch (...) {
      failures[p] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(present_.size());
  for (std::size_t p = 1; p < present_.size(); ++p) {
    try {
      threads.emplace_back(guarded, p);
    } catch (const std::system_error&) {
      guarded(p);  // later, with the same result
    }
  }
  guarded(0);
  for (std::thread& thread : threads) thread.join();
  return failures;
}

template <class S>
void ReplicatedMap<S>::require_none(const std::vector<std::exception_ptr>& failures) const {
  std::vector<Index> failed;
  std::optional<DeviceError> first_error;
  for (std::size_t p = 0; p < failures.size(); ++p) {
    if (!failures[p]) continue;
    auto error = device_error(failures[p]);
    if (!error) std::rethrow_exception(failures[p]);
    failed.push_back(number_of(p));
    if (!first_error) first_error = std::move(error);
  }
  if (failed.empty()) return;
  // What fails on every device alike is not the fault of one.
  if (failed.size() == failures.size()) throw DeviceError(*first_error);
  std::vector<Index> unsafe;
  const auto made_safe = at_once([&](std::size_t p) {
    if (!failures[p]) present_[p].instrument->safe();
  });
  for (std::size_t p = 0; p < made_safe.size(); ++p)
    if (made_safe[p]) unsafe.push_back(number_of(p));
  std::string remedy = unsafe.empty() ? "the others are in their safe state" : named(unsafe) + " did not confirm the safe state";
  remedy += "; to go on without:";
  for (const Index number : failed) remedy += " --without-device " + std::to_string(number);
  throw DeviceError(first_error->reason(), named(failed), first_error->what(), "", remedy);
}

template <class S>
void ReplicatedMap<S>::read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                                 bool may_miss) const {
  if (ys.size() != thetas.size()) throw ShapeError(kind(), "as many results as parameter vectors", std::to_string(ys.size()));
  const std::lock_guard lock(busy_);
  const auto share = [&](std::size_t p) { return share_of(x.rows(), isize(present_.size()), isize(p)); };
  std::vector<std::vector<Matrix<S>>> found(present_.size());
  require_none(at_once([&](std::size_t p) {
    const Instrument<S>& instrument = *present_[p].instrument;
    const RowShare own = share(p);
    if (own.rows == 0) return instrument.pass_over(thetas.size());
    instrument.begin_rows(own.first);
    found[p].resize(thetas.size());
    instrument.read_many(thetas, x.middleRows(own.first, own.rows), found[p], may_miss);
  }));
  for (std::size_t i = 0; i < ys.size(); ++i) {
    ys[i].resize(x.rows(), output_shape().size());
    for (std::size_t p = 0; p < present_.size(); ++p)
      if (const RowShare own = share(p); own.rows > 0) ys[i].middleRows(own.first, own.rows) = found[p][i];
  }
}

template <class S>
void ReplicatedMap<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>(kind(), x, input_shape(), y, output_shape());
  Matrix<S> result;
  read_many(std::span(&theta, 1), x, std::span(&result, 1), false);
  y = result;
}

template <class S>
Matrix<S> ReplicatedMap<S>::reference_readings(std::span<const S> theta, Index repeats) const {
  const std::lock_guard lock(busy_);
  Matrix<S> y(repeats, output_shape().size());
  require_none(at_once([&](std::size_t p) {
    const RowShare own = share_of(repeats, isize(present_.size()), isize(p));
    if (own.rows > 0) y.middleRows(own.first, own.rows) = present_[p].instrument->reference_readings(theta, own.rows);
  }));
  return y;
}

template <class S>
InstrumentInfo ReplicatedMap<S>::info() const {
  InstrumentInfo all = present_.front().instrument->info();
  for (std::size_t p = 1; p < present_.size(); ++p) {
    const InstrumentInfo own = present_[p].instrument->info();
    all.address += ", " + own.address;
    if (own.identity != all.identity) all.identity += ", " + own.identity;
    all.noise = std::max(all.noise, own.noise);
  }
  return all;
}

template <class S>
DeviceReceipt ReplicatedMap<S>::receipt() const {
  DeviceReceipt sum;
  for (const Present& present : present_) sum += present.instrument->receipt();
  return sum;
}

template <class S>
std::vector<std::string> ReplicatedMap<S>::log() const {
  std::vector<std::string> lines;
  for (std::size_t p = 0; p < present_.size(); ++p)
    for (const std::string& line : present_[p].instrument->log()) lines.push_back(named(number_of(p)) + ": " + line);
  return lines;
}

template <class S>
void ReplicatedMap<S>::safe() const {
  const std::lock_guard lock(busy_);
  for (const std::exception_ptr& failure : at_once([this](std::size_t p) { present_[p].instrument->safe(); }))
    if (failure) std::rethrow_exception(failure);
}

template <class S>
void ReplicatedMap<S>::begin_readings(std::uint64_t stream, std::uint64_t step, bool lasting) const {
  for (const Present& present : present_) present.instrument->begin_readings(stream, step, lasting);
}

template <class S>
bool ReplicatedMap<S>::keeps_readings() const {
  return std::all_of(present_.begin(), present_.end(), [](const Present& present) { return present.instrument->keeps_readings(); });
}

template <class S>
void ReplicatedMap<S>::keep_inside(std::span<S> theta, double margin) const {
  for (const Present& present : present_) present.instrument->keep_inside(theta, margin);
}

template <class S>
double ReplicatedMap<S>::resolution() const {
  double largest = 0.0;
  for (const Present& present : present_) largest = std::max(largest, present.instrument->resolution());
  return largest;
}

template <class S>
void ReplicatedMap<S>::begin_series(const ReadingSeries& series) const {
  for (const Present& present : present_)
    if (const auto* addressed = dynamic_cast<const AddressedReadings*>(present.instrument)) addressed->begin_series(series);
}

template <class S>
bool ReplicatedMap<S>::smooth() const {
  return std::all_of(present_.begin(), present_.end(), [](const Present& present) {
    const auto* addressed = dynamic_cast<const AddressedReadings*>(present.instrument);
    return addressed == nullptr || addressed->smooth();
  });
}

template class ReplicatedMap<float>;
template class ReplicatedMap<double>;

}  // namespace ffzero
