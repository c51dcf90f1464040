// Several instruments that are one map together.
// SPDX-License-Identifier: MIT
#include "ffzero/map/instrument_set.hpp"

#include <algorithm>
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

template <class S>
InstrumentSet<S>::InstrumentSet(std::vector<NumberedInstrument<S>> members) : members_(std::move(members)) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].map == nullptr) continue;
    const auto* const instrument = dynamic_cast<const Instrument<S>*>(members_[i].map.get());
    if (instrument == nullptr) throw ConfigError(named(members_[i].number), "must be an instrument", members_[i].map->kind());
    present_.push_back({.member = i, .instrument = instrument});
  }
  if (present_.empty()) throw ConfigError("devices", "at least one device must be there", "none");
}

template <class S>
std::string InstrumentSet<S>::name_of(std::size_t p) const {
  return named(number_of(p));
}

template <class S>
const Instrument<S>* InstrumentSet<S>::instrument(std::size_t i) const {
  return dynamic_cast<const Instrument<S>*>(members_.at(i).map.get());
}

template <class S>
std::vector<std::exception_ptr> InstrumentSet<S>::at_once(const std::function<void(std::size_t p)>& work) const {
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
void InstrumentSet<S>::require_none(const std::vector<std::exception_ptr>& failures) const {
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
  remedy += "; " + remedy_without(failed);
  throw DeviceError(first_error->reason(), named(failed), first_error->what(), "", remedy);
}

template <class S>
void InstrumentSet<S>::read_at_once(const std::function<void(std::size_t p)>& work) const {
  const std::lock_guard lock(busy_);
  require_none(at_once(work));
}

template <class S>
void InstrumentSet<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>(kind(), x, input_shape(), y, this->output_shape());
  Matrix<S> result;
  this->read_many(std::span(&theta, 1), x, std::span(&result, 1), false);
  y = result;
}

template <class S>
InstrumentInfo InstrumentSet<S>::info() const {
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
DeviceReceipt InstrumentSet<S>::receipt() const {
  DeviceReceipt sum;
  for (const Present& present : present_) sum += present.instrument->receipt();
  return sum;
}

template <class S>
std::vector<std::string> InstrumentSet<S>::log() const {
  std::vector<std::string> lines;
  for (std::size_t p = 0; p < present_.size(); ++p)
    for (const std::string& line : present_[p].instrument->log()) lines.push_back(named(number_of(p)) + ": " + line);
  return lines;
}

template <class S>
void InstrumentSet<S>::safe() const {
  const std::lock_guard lock(busy_);
  for (const std::exception_ptr& failure : at_once([this](std::size_t p) { present_[p].instrument->safe(); }))
    if (failure) std::rethrow_exception(failure);
}

template <class S>
void InstrumentSet<S>::begin_readings(std::uint64_t stream, std::uint64_t step, bool lasting) const {
  for (const Present& present : present_) present.instrument->begin_readings(stream, step, lasting);
}

template <class S>
bool InstrumentSet<S>::keeps_readings() const {
  return std::all_of(present_.begin(), present_.end(), [](const Present& present) { return present.instrument->keeps_readings(); });
}

template <class S>
void InstrumentSet<S>::keep_inside(std::span<S> theta, double margin) const {
  for (const Present& present : present_) {
    const Segment own = parameters_of(present.member);
    present.instrument->keep_inside(theta.subspan(usize(own.begin), usize(own.size)), margin);
  }
}

template <class S>
double InstrumentSet<S>::resolution() const {
  double largest = 0.0;
  for (const Present& present : present_) largest = std::max(largest, present.instrument->resolution());
  return largest;
}

template <class S>
void InstrumentSet<S>::begin_series(const ReadingSeries& series) const {
  for (const Present& present : present_)
    if (const auto* addressed = dynamic_cast<const AddressedReadings*>(present.instrument)) addressed->begin_series(series);
}

template <class S>
bool InstrumentSet<S>::smooth() const {
  return std::all_of(present_.begin(), present_.end(), [](const Present& present) {
    const auto* addressed = dynamic_cast<const AddressedReadings*>(present.instrument);
    return addressed == nullptr || addressed->smooth();
  });
}

template class InstrumentSet<float>;
template class InstrumentSet<double>;

}  // namespace ffzero
