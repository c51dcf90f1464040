// The instruments of a network.
// SPDX-License-Identifier: MIT
#include "ffzero/train/instruments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/map/instrument_set.hpp"
#include "ffzero/map/wrapped_map.hpp"

namespace ffzero {

template <class S>
Instruments<S>::Instruments(const Network<S>& network, std::uint64_t seed, Index steadiness_rows, std::vector<BlockTimeline> timeline)
    : network_(network), seed_(seed), steadiness_rows_(steadiness_rows), timeline_(std::move(timeline)) {
  for (Index i = 0; i < network.layers(); ++i) {
    const ForwardMap<S>& map = *network.layer(i).map;
    for (const ForwardMap<S>* part : {&map, static_cast<const ForwardMap<S>*>(network.layer(i).readout.get())})
      if (const auto* addressed = dynamic_cast<const AddressedReadings*>(part)) addressed_.emplace_back(i, addressed);
    if (const auto* repeating = dynamic_cast<const RepeatedReadings*>(&innermost(map)))
      repeating_.push_back({.layer = i, .map = repeating, .billed = repeating->repeated_rows()});
    add(i);
  }
}

template <class S>
void Instruments<S>::add(Index layer) {
  const ForwardMap<S>& map = *network_.layer(layer).map;
  if (const auto* const set = dynamic_cast<const InstrumentSet<S>*>(&map)) {
    for (std::size_t i = 0; i < set->members().size(); ++i) {
      const NumberedInstrument<S>& member = set->members()[i];
      add(layer, {.map = member.map != nullptr ? member.map.get() : &map,  // one that is left out has the shape of the others
                  .instrument = set->instrument(i),
                  .parameters = set->parameters_of(i),
                  .number = member.number,
                  .address = member.address,
                  .replicas = dynamic_cast<const ReplicatedMap<S>*>(set),
                  .member = i});
    }
  } else if (const auto* const instrument = dynamic_cast<const Instrument<S>*>(&map)) {
    add(layer, {.map = &map, .instrument = instrument, .parameters = {.begin = 0, .size = map.parameter_count()}});
  }
}

template <class S>
void Instruments<S>::add(Index layer, const Part& part) {
  const InstrumentInfo info =
      part.instrument != nullptr ? part.instrument->info() : InstrumentInfo{.address = part.address, .identity = "", .noise = 0.0};
  records_.push_back({.layer = layer,
                      .number = part.number,
                      .name = network_.layer(layer).name,
                      .address = info.address,
                      .identity = info.identity,
                      .inputs = part.map->input_shape().size(),
                      .outputs = part.map->output_shape().size(),
                      .parameters = part.map->parameter_count(),
                      .declared_noise = info.noise,
                      .receipt = {},
                      .reference = {},
                      .looks = {},
                      .without_since = {}});
  if (part.instrument == nullptr) records_.back().without_since = 0;
  instruments_.push_back(part.instrument);
  parameters_.push_back(part.parameters);
  replicas_.push_back({.set = part.replicas, .member = part.member});
}

template <class S>
void Instruments<S>::address(Index last, ReadingPurpose purpose, std::uint64_t step) const {
  constexpr std::uint64_t kPurposes = 8, kBlockShift = 40;
  const auto stream = [purpose](Index layer) {
    return static_cast<std::uint64_t>(layer) * kPurposes + static_cast<std::uint64_t>(purpose);
  };
  for (std::size_t i = 0; i < records_.size(); ++i)
    if (instruments_[i] != nullptr && records_[i].layer < last)
      instruments_[i]->begin_readings(stream(records_[i].layer), (static_cast<std::uint64_t>(last) << kBlockShift) + step,
                                      purpose == ReadingPurpose::pass || purpose == ReadingPurpose::front);
  for (std::size_t i = 0; i < records_.size(); ++i)
    if (purpose != ReadingPurpose::step && replicas_[i].set != nullptr && records_[i].layer < last) replicas_[i].set->ask_all();
  if (addressed_.empty()) return;
  ReadingSeries own = series(last, purpose, step);
  own.step += static_cast<std::uint64_t>(last) << kBlockShift;
  for (const auto& [layer, part] : addressed_) {
    if (layer >= last) continue;
    own.stream = stream(layer);
    part->begin_series(own);
  }
}

template <class S>
ReadingSeries Instruments<S>::series(Index last, ReadingPurpose purpose, std::uint64_t step) const {
  ReadingSeries own{.stream = 0, .step = step, .rows = 0.0, .writes = 0.0};
  const auto add = [&own](const BlockTimeline& block, Index epochs, Index steps) {
    if (block.planned) {
      own.rows += block.planned->rows * static_cast<double>(epochs * block.steps() + steps);
      own.writes += block.planned->writes * static_cast<double>(epochs * block.steps() + steps);
      return;
    }
    own.rows += block.cost * static_cast<double>(epochs * block.samples + std::min(steps * block.batch, block.samples));
    own.writes += block.cost * static_cast<double>(epochs * block.steps() + steps);
  };
  for (const BlockTimeline& block : timeline_) {
    // Front ends are fitted before the block that begins with this layer.
    if (purpose == ReadingPurpose::front ? block.last > last : block.last >= last) {
      const auto done = static_cast<Index>(step);
      if (purpose == ReadingPurpose::step) add(block, done / block.steps(), done % block.steps());
      if (purpose == ReadingPurpose::log) add(block, done + 1, 0);
      if (purpose == ReadingPurpose::look) add(block, done, 0);
      if (purpose == ReadingPurpose::pass) add(block, block.epochs, 0);
      return own;
    }
    add(block, block.epochs, 0);
  }
  return own;
}

template <class S>
void Instruments<S>::keep_inside(Network<S>& network, Index first, Index last, double eps) const {
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const Index layer = records_[i].layer;
    if (instruments_[i] == nullptr || layer < first || layer >= last) continue;
    const std::span<S> theta = network.theta(layer, layer + 1);
    instruments_[i]->keep_inside(theta.subspan(usize(parameters_[i].begin), usize(parameters_[i].size)), eps);
  }
}

template <class S>
void Instruments<S>::look(Index first, Index last, Index epoch, Ledger& ledger) {
  if (steadiness_rows_ == 0) return;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    InstrumentRecord& record = records_[i];
    if (instruments_[i] == nullptr) continue;
    const bool seen = !record.looks.empty() && record.looks.back().epoch >= epoch;
    if (record.layer < first || record.layer >= last || seen) continue;
    address(last, ReadingPurpose::look, static_cast<std::uint64_t>(epoch));
    const Vector<S> theta = network_.initial_parameters(record.layer, record.layer + 1, seed_);
    const auto own = as_span(theta).subspan(usize(parameters_[i].begin), usize(parameters_[i].size));
    const Matrix<double> y = instruments_[i]->reference_readings(own, steadiness_rows_).template cast<double>();
    ledger.bill(record.layer, record.layer + 1, &Evaluations::logging, steadiness_rows_);
    const Eigen::RowVectorXd mean = y.colwise().mean();
    if (record.reference.empty()) record.reference.assign(mean.data(), mean.data() + mean.size());
    const auto outputs = static_cast<double>(y.cols());
    double moved = 0.0;
    for (Index k = 0; k < y.cols(); ++k) moved += std::pow(mean(k) - record.reference[usize(k)], 2.0);
    record.looks.push_back({.layer = record.layer,
                            .epoch = epoch,
                            .noise = std::sqrt((y.rowwise() - mean).squaredNorm() / (static_cast<double>(steadiness_rows_ - 1) * outputs)),
                            .drift = std::sqrt(moved / outputs)});
  }
}

template <class S>
DeviceReceipt Instruments<S>::receipt_now(std::size_t i) const {
  DeviceReceipt sum = records_[i].receipt;
  if (instruments_[i] != nullptr) sum += instruments_[i]->receipt();
  return sum;
}

template <class S>
std::vector<std::int64_t> Instruments<S>::rows_read() const {
  std::vector<std::int64_t> rows;
  for (const Instrument<S>* instrument : instruments_) rows.push_back(instrument != nullptr ? instrument->receipt().rows : 0);
  return rows;
}

template <class S>
void Instruments<S>::bill_failed(const std::vector<std::int64_t>& before, Ledger& ledger) const {
  const std::vector<std::int64_t> now = rows_read();
  for (std::size_t i = 0; i < records_.size(); ++i)
    if (instruments_[i] != nullptr && !instruments_[i]->keeps_readings())
      ledger.bill(records_[i].layer, records_[i].layer + 1, &Evaluations::failed, now[i] - before[i]);
}

template <class S>
void Instruments<S>::bill_repeated(Index first, std::int64_t Evaluations::*account, Ledger& ledger) {
  for (Repeating& one : repeating_) {
    const std::int64_t rows = one.map->repeated_rows();
    ledger.bill(one.layer, one.layer + 1, one.layer < first ? &Evaluations::propagation : account, rows - one.billed);
    one.billed = rows;
  }
}

template <class S>
void Instruments<S>::take_back_unasked(Ledger& ledger) {
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const std::int64_t unasked = replicas_[i].attendance().unasked;
    ledger.bill(records_[i].layer, records_[i].layer + 1, &Evaluations::training, replicas_[i].billed - unasked);
    replicas_[i].billed = unasked;
  }
}

template <class S>
std::vector<std::string> Instruments<S>::put_to_rest() {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < records_.size(); ++i) {
    const bool at_rest = replicas_[i].attendance().at_rest();
    if (at_rest && !replicas_[i].told)
      lines.push_back(
          fmt::format("device {} at {}: has failed {} times in a row; it is not asked until the next evaluation, and its rows are dropped",
                      records_[i].number, records_[i].address, ReplicatedMap<S>::kMostLost));
    replicas_[i].told = at_rest;
  }
  return lines;
}

template <class S>
double Instruments<S>::seconds() const {
  double sum = 0.0;
  for (std::size_t i = 0; i < records_.size(); ++i) sum += receipt_now(i).seconds;
  return sum;
}

template <class S>
std::vector<InstrumentRecord> Instruments<S>::records() const {
  std::vector<InstrumentRecord> records = records_;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto attendance = replicas_[i].attendance();
    records[i].receipt = receipt_now(i);
    records[i].receipt.dropped += attendance.unasked;
    records[i].unasked += attendance.unasked;
    records[i].lost_calls = attendance.lost;
  }
  return records;
}

template <class S>
void Instruments<S>::take(const std::vector<InstrumentRecord>& kept, std::int64_t evaluations, const std::string& place) {
  for (std::size_t i = 0; i < records_.size(); ++i) {
    if (instruments_[i] == nullptr) records_[i].without_since = evaluations;
    for (const InstrumentRecord& earlier : kept)
      if (earlier.layer == records_[i].layer && earlier.number == records_[i].number) take(i, earlier, place);
  }
}

template <class S>
void Instruments<S>::take(std::size_t i, const InstrumentRecord& kept, const std::string& place) {
  InstrumentRecord& record = records_[i];
  if (kept.inputs != record.inputs || kept.outputs != record.outputs || kept.parameters != record.parameters)
    throw DataError(
        place,
        fmt::format("{} must have the inputs, outputs and parameters [{},{},{}]", record.name, kept.inputs, kept.outputs, kept.parameters),
        fmt::format("[{},{},{}]", record.inputs, record.outputs, record.parameters), "connect the device that the run began with");
  record.receipt = kept.receipt;
  record.unasked = kept.unasked;
  record.looks = kept.looks;
  record.reference = kept.reference;
  if (!record.reference.empty() && isize(record.reference.size()) != record.outputs) record.reference.clear();
  if (instruments_[i] != nullptr) {
    // Whether a replica is at rest decides what is read: a run that goes on must not ask it earlier than one that was not interrupted.
    if (replicas_[i].set != nullptr) replicas_[i].set->resume_attendance(replicas_[i].member, kept.lost_calls);
    return instruments_[i]->go_on(kept.receipt);
  }
  record.identity = kept.identity;
  if (kept.without_since) record.without_since = kept.without_since;
}

template class Instruments<float>;
template class Instruments<double>;

}  // namespace ffzero
