// The instruments of a network.
// SPDX-License-Identifier: MIT
#include "ffzero/train/instruments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ffzero/base/error.hpp"

namespace ffzero {

template <class S>
Instruments<S>::Instruments(const Network<S>& network, std::uint64_t seed, Index steadiness_rows, std::vector<BlockTimeline> timeline)
    : network_(network), seed_(seed), steadiness_rows_(steadiness_rows), timeline_(std::move(timeline)) {
  for (Index i = 0; i < network.layers(); ++i) {
    const ForwardMap<S>& map = *network.layer(i).map;
    for (const ForwardMap<S>* part : {&map, static_cast<const ForwardMap<S>*>(network.layer(i).readout.get())})
      if (const auto* addressed = dynamic_cast<const AddressedReadings*>(part)) addressed_.emplace_back(i, addressed);
    const auto* const instrument = dynamic_cast<const Instrument<S>*>(&map);
    if (instrument == nullptr) continue;
    const InstrumentInfo info = instrument->info();
    records_.push_back({.layer = i,
                        .name = network.layer(i).name,
                        .address = info.address,
                        .identity = info.identity,
                        .inputs = map.input_shape().size(),
                        .outputs = map.output_shape().size(),
                        .parameters = map.parameter_count(),
                        .declared_noise = info.noise,
                        .receipt = {},
                        .reference = {},
                        .looks = {}});
  }
}

template <class S>
const Instrument<S>& Instruments<S>::at(Index layer) const {
  return dynamic_cast<const Instrument<S>&>(*network_.layer(layer).map);
}

template <class S>
void Instruments<S>::address(Index last, ReadingPurpose purpose, std::uint64_t step) const {
  constexpr std::uint64_t kPurposes = 8, kBlockShift = 40;
  const auto stream = [purpose](Index layer) {
    return static_cast<std::uint64_t>(layer) * kPurposes + static_cast<std::uint64_t>(purpose);
  };
  for (const InstrumentRecord& record : records_)
    if (record.layer < last)
      at(record.layer)
          .begin_readings(stream(record.layer), (static_cast<std::uint64_t>(last) << kBlockShift) + step,
                          purpose == ReadingPurpose::pass || purpose == ReadingPurpose::front);
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
  for (const InstrumentRecord& record : records_)
    if (record.layer >= first && record.layer < last) at(record.layer).keep_inside(network.theta(record.layer, record.layer + 1), eps);
}

template <class S>
void Instruments<S>::look(Index first, Index last, Index epoch, Ledger& ledger) {
  if (steadiness_rows_ == 0) return;
  for (InstrumentRecord& record : records_) {
    const bool seen = !record.looks.empty() && record.looks.back().epoch >= epoch;
    if (record.layer < first || record.layer >= last || seen) continue;
    address(last, ReadingPurpose::look, static_cast<std::uint64_t>(epoch));
    const Vector<S> theta = network_.initial_parameters(record.layer, record.layer + 1, seed_);
    const Matrix<double> y = at(record.layer).reference_readings(as_span(theta), steadiness_rows_).template cast<double>();
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
DeviceReceipt Instruments<S>::receipt_of(const InstrumentRecord& record) const {
  DeviceReceipt sum = record.receipt;
  sum += at(record.layer).receipt();
  return sum;
}

template <class S>
std::vector<std::int64_t> Instruments<S>::rows_read() const {
  std::vector<std::int64_t> rows;
  for (const InstrumentRecord& record : records_) rows.push_back(at(record.layer).receipt().rows);
  return rows;
}

template <class S>
void Instruments<S>::bill_failed(const std::vector<std::int64_t>& before, Ledger& ledger) const {
  const std::vector<std::int64_t> now = rows_read();
  for (std::size_t i = 0; i < records_.size(); ++i)
    if (!at(records_[i].layer).keeps_readings())
      ledger.bill(records_[i].layer, records_[i].layer + 1, &Evaluations::failed, now[i] - before[i]);
}

template <class S>
double Instruments<S>::seconds() const {
  double sum = 0.0;
  for (const InstrumentRecord& record : records_) sum += receipt_of(record).seconds;
  return sum;
}

template <class S>
std::vector<InstrumentRecord> Instruments<S>::records() const {
  std::vector<InstrumentRecord> records = records_;
  for (InstrumentRecord& record : records) record.receipt = receipt_of(record);
  return records;
}

template <class S>
void Instruments<S>::take(const std::vector<InstrumentRecord>& kept, const std::string& place) {
  for (const InstrumentRecord& record : kept) take(record, place);
}

template <class S>
void Instruments<S>::take(const InstrumentRecord& kept, const std::string& place) {
  for (InstrumentRecord& record : records_) {
    if (kept.layer != record.layer) continue;
    if (kept.inputs != record.inputs || kept.outputs != record.outputs || kept.parameters != record.parameters)
      throw DataError(place,
                      fmt::format("{} must have the inputs, outputs and parameters [{},{},{}]", record.name, kept.inputs, kept.outputs,
                                  kept.parameters),
                      fmt::format("[{},{},{}]", record.inputs, record.outputs, record.parameters),
                      "connect the device that the run began with");
    record.receipt = kept.receipt;
    at(record.layer).go_on(kept.receipt);
    record.looks = kept.looks;
    record.reference = kept.reference;
    if (!record.reference.empty() && isize(record.reference.size()) != record.outputs) record.reference.clear();
  }
}

template class Instruments<float>;
template class Instruments<double>;

}  // namespace ffzero
