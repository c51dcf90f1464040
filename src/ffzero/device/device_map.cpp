// A device on a wire as a layer.
// SPDX-License-Identifier: MIT
#include "ffzero/device/device_map.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "ffzero/map/shape_check.hpp"

namespace ffzero {

namespace {

constexpr std::uint64_t kRepeatRoom = 64;   // readings of one thing that have addresses of their own
constexpr unsigned int kCompanyShift = 32;  // streams count layers and purposes

std::string limits_of(const ParameterRange& range) {
  return number_text(range.min) + " .. " + number_text(range.max) + (range.unit.empty() ? "" : " " + range.unit);
}

}  // namespace

template <class S>
DeviceMap<S>::DeviceMap(std::string_view address, const DeviceMapOptions& options)
    : options_(options), client_(std::make_unique<DeviceClient>(address, options.client)) {
  set_up();
}

template <class S>
DeviceMap<S>::DeviceMap(std::unique_ptr<DeviceClient> client, const DeviceMapOptions& options)
    : options_(options), client_(std::move(client)) {
  set_up();
}

template <class S>
void DeviceMap<S>::set_up() {
  const DeviceDescription& said = client_->description();
  parameters_ = DeviceDescription::spread(said.parameter_ranges, said.parameters);
  if (!said.input_ranges.empty()) inputs_ = DeviceDescription::spread(said.input_ranges, said.inputs);
  if (options_.repeats < 1 || options_.repeats > static_cast<int>(kRepeatRoom))
    throw ConfigError("DeviceMapOptions::repeats", "must lie in 1 .. " + std::to_string(kRepeatRoom), std::to_string(options_.repeats));
  if (!said.output_ranges.empty()) outputs_ = DeviceDescription::spread(said.output_ranges, said.outputs);
}

template <class S>
std::vector<float> DeviceMap<S>::to_device(std::span<const S> theta) const {
  std::vector<float> values(theta.size());
  for (std::size_t i = 0; i < theta.size(); ++i) {
    const ParameterRange& range = parameters_[i];
    const auto t = static_cast<double>(theta[i]);
    double value = options_.normalise ? to_device_units(range, t) : static_cast<double>(static_cast<float>(t));
    if (!range.contains(value)) {
      if (options_.out_of_range == OutOfRange::refuse || !std::isfinite(t))
        throw DeviceError(client_->place(), "parameter " + std::to_string(i) + " must lie in " + limits_of(range), number_text(value),
                          options_.normalise ? "keep normalised parameters within [-1, 1], or project them" : "keep it inside");
      value = options_.normalise ? to_device_units(range, std::clamp(t, -1.0, 1.0)) : std::clamp(value, range.min, range.max);
      ++projected_;
    }
    values[i] = static_cast<float>(value);
  }
  return values;
}

template <class S>
Matrix<float> DeviceMap<S>::to_inputs(const ConstMatrixRef<S>& x) const {
  Matrix<float> values(x.rows(), x.cols());
  const bool same = options_.input_scale == 1.0 && options_.input_offset == 0.0;
  for (Index i = 0; i < x.rows(); ++i)
    for (Index k = 0; k < x.cols(); ++k) {
      const auto v = static_cast<double>(x(i, k));
      values(i, k) = static_cast<float>(same ? v : options_.input_offset + options_.input_scale * v);
      if (inputs_.empty() || std::isnan(v) || inputs_[usize(k)].contains(values(i, k))) continue;
      throw DeviceError(client_->place(), "input " + std::to_string(k) + " must lie in " + limits_of(inputs_[usize(k)]),
                        number_text(values(i, k)), "map the samples into that range (input_scale, input_offset)");
    }
  return values;
}

template <class S>
std::vector<Index> DeviceMap<S>::bad_rows(const Matrix<float>& y) const {
  std::vector<Index> bad;
  for (Index i = 0; i < y.rows(); ++i) {
    bool good = y.row(i).allFinite();
    for (Index k = 0; good && !outputs_.empty() && k < y.cols(); ++k) good = outputs_[usize(k)].contains(y(i, k));
    if (!good) bad.push_back(i);
  }
  return bad;
}

template <class S>
void DeviceMap<S>::read_again(std::span<const float> theta, const Matrix<float>& x, Matrix<float>& y, std::optional<ReadingAddress> address,
                              bool may_miss) const {
  std::vector<Index> bad = bad_rows(y);
  for (int attempt = 0; attempt < options_.rereads && !bad.empty(); ++attempt) {
    if (address) ++address->repeat;
    const Matrix<float> again = x(bad, Eigen::all);
    Matrix<float> found(again.rows(), y.cols());
    client_->evaluate(theta, again, found, address);
    for (std::size_t i = 0; i < bad.size(); ++i) y.row(bad[i]) = found.row(isize(i));
    bad = bad_rows(y);
  }
  if (bad.empty()) return;
  if (options_.pass_not_finite || may_miss) {
    for (const Index i : bad) y.row(i).setConstant(std::numeric_limits<float>::quiet_NaN());
    return;
  }
  Index k = 0;
  while (k + 1 < y.cols() && std::isfinite(y(bad.front(), k)) && (outputs_.empty() || outputs_[usize(k)].contains(y(bad.front(), k)))) ++k;
  throw DeviceError(DeviceFailure::not_finite, client_->place(),
                    "output " + std::to_string(k) + " of row " + std::to_string(bad.front()) + " must " +
                        (outputs_.empty() ? "be finite" : "lie in " + limits_of(outputs_[usize(k)])) + ", read " +
                        std::to_string(options_.rereads + 1) + " times",
                    number_text(y(bad.front(), k)), "look at the detectors");
}

template <class S>
void DeviceMap<S>::read(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                        std::span<const ReadingAddress> addresses, bool may_miss) const {
  if (x.cols() != client_->description().inputs)
    throw ShapeError("device", "x must have " + std::to_string(client_->description().inputs) + " columns", std::to_string(x.cols()));
  for (const auto& theta : thetas)
    if (theta.size() != parameters_.size())
      throw ShapeError("device", "theta must have " + std::to_string(parameters_.size()) + " values", std::to_string(theta.size()));
  read_inputs({.thetas = thetas,
               .inputs = to_inputs(x),
               .ys = ys,
               .repeats = usize(options_.repeats),
               .addresses = addresses,
               .may_miss = may_miss && options_.drop_failed});
}

template <class S>
void DeviceMap<S>::read_inputs(const Request& request) const {
  std::vector<bool> came;
  if (journal_ == nullptr || request.addresses.empty()) {
    if (const auto failure = read_device(request, came)) throw DeviceError(*failure);
    return;
  }
  const auto bytes_of = [](const auto& values) {
    return std::string_view(reinterpret_cast<const char*>(values.data()), static_cast<std::size_t>(values.size()) * sizeof(*values.data()));
  };
  const std::uint64_t inputs = digest_of(bytes_of(request.inputs), usize(request.inputs.rows()));
  const Index outputs = client_->description().outputs;
  std::vector<std::size_t> wanted;
  std::vector<ReadingJournal::Entry> entries;
  for (std::size_t i = 0; i < request.thetas.size(); ++i) {
    const ReadingAddress& at = request.addresses[i];
    const ReadingKey key{.device = key_,
                         .stream = at.stream | std::uint64_t{company_} << kCompanyShift,
                         .step = at.step,
                         .number = std::uint64_t{at.repeat} << 1U | at.side};
    const std::uint64_t digest = digest_of(bytes_of(request.thetas[i]), inputs);
    const auto kept = journal_->find(key, digest);
    if (!kept) {
      wanted.push_back(i);
      entries.push_back({.key = key, .digest = digest, .reading = {.values = {}, .bill = {}, .lasting = lasting_}});
      continue;
    }
    request.ys[i].resize(request.inputs.rows(), outputs);
    if (kept->values.size() != bytes_of(request.ys[i]).size())
      throw DataError("journal of readings", "a reading must have " + std::to_string(request.ys[i].size()) + " numbers",
                      std::to_string(kept->values.size()) + " bytes", "remove it: what it holds is read again");
    std::copy_n(kept->values.data(), kept->values.size(), reinterpret_cast<char*>(request.ys[i].data()));
    replayed_ += kept->bill;
  }
  if (wanted.empty()) return;
  std::vector<std::span<const S>> thetas;
  std::vector<ReadingAddress> addresses;
  std::vector<Matrix<S>> ys(wanted.size());
  for (const std::size_t i : wanted) {
    thetas.push_back(request.thetas[i]);
    addresses.push_back(request.addresses[i]);
  }
  DeviceReceipt before = receipt_of_device();
  const auto failure = read_device({.thetas = thetas,
                                    .inputs = request.inputs,
                                    .ys = ys,
                                    .repeats = request.repeats,
                                    .addresses = addresses,
                                    .may_miss = request.may_miss},
                                   came);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (!came[i]) continue;
    entries[i].reading.values = bytes_of(ys[i]);
    entries[kept++] = entries[i];
    request.ys[wanted[i]] = std::move(ys[i]);
  }
  if (kept > 0) {
    entries[kept - 1].reading.bill = receipt_of_device();
    entries[kept - 1].reading.bill -= before;
  }
  journal_->add(std::span(entries).first(kept));
  if (failure) throw DeviceError(*failure);
}

template <class S>
std::optional<DeviceError> DeviceMap<S>::read_device(const Request& request, std::vector<bool>& came) const {
  const std::size_t count = request.thetas.size(), repeats = request.repeats;
  const Index rows = request.inputs.rows(), outputs = client_->description().outputs;
  std::vector<std::vector<float>> values;
  std::vector<Matrix<float>> readings(count * repeats);
  std::vector<DeviceJob> jobs;
  values.reserve(count);
  jobs.reserve(readings.size());
  for (std::size_t i = 0; i < count; ++i) {
    values.push_back(to_device(request.thetas[i]));
    for (std::size_t r = 0; r < repeats; ++r) {
      readings[i * repeats + r].resize(rows, outputs);
      jobs.push_back({.theta = values[i], .x = request.inputs, .y = readings[i * repeats + r], .address = std::nullopt});
      if (request.addresses.empty()) continue;
      jobs.back().address = request.addresses[i];
      jobs.back().address->repeat += static_cast<std::uint32_t>(r);
    }
  }
  came.assign(count, false);
  std::optional<DeviceError> failure;
  // A reading that is given up is left out; where nobody answers any more, so is everything behind it.
  for (std::size_t first = 0; first < count && (!failure || request.may_miss);) {
    try {
      client_->evaluate(std::span(jobs).subspan(first * repeats));
      break;
    } catch (const DeviceError& e) {
      failure = e;
    }
    if (failure->reason() == DeviceFailure::timeout || failure->reason() == DeviceFailure::disconnected) break;
    while (first < count &&
           std::all_of(&jobs[first * repeats], &jobs[first * repeats] + repeats, [](const DeviceJob& j) { return j.done; }))
      ++first;
    ++first;
  }
  const bool same = options_.output_scale == 1.0 && options_.output_offset == 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    bool whole = true;
    for (std::size_t r = 0; r < repeats && whole; ++r) {
      Matrix<float>& y = readings[i * repeats + r];
      whole = jobs[i * repeats + r].done && (!failure || request.may_miss || bad_rows(y).empty());
      if (!whole) continue;
      try {
        read_again(values[i], request.inputs, y, jobs[i * repeats + r].address, request.may_miss);
      } catch (const DeviceError& e) {
        failure = e;
        whole = false;
      }
    }
    came[i] = whole || request.may_miss;
    if (!whole) {
      if (request.may_miss) request.ys[i] = Matrix<S>::Constant(rows, outputs, std::numeric_limits<S>::quiet_NaN());
    } else if (repeats == 1 && same) {
      request.ys[i] = readings[i].template cast<S>();
    } else {
      Matrix<double> sum = readings[i * repeats].template cast<double>();
      for (std::size_t r = 1; r < repeats; ++r) sum += readings[i * repeats + r].template cast<double>();
      request.ys[i] = (options_.output_offset + options_.output_scale / static_cast<double>(repeats) * sum.array()).template cast<S>();
    }
    if (request.may_miss)
      for (Index b = 0; b < rows; ++b) dropped_ += request.ys[i].row(b).allFinite() ? 0 : 1;
  }
  if (request.may_miss) failure.reset();
  return failure;
}

template <class S>
void DeviceMap<S>::forward_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                                std::span<const ReadingAddress> addresses) const {
  if (ys.size() != thetas.size() || (!addresses.empty() && addresses.size() != thetas.size()))
    throw ShapeError("device", "as many results and addresses as parameter vectors", std::to_string(ys.size()));
  const std::lock_guard lock(busy_);
  read(thetas, x, ys, addresses, false);
}

template <class S>
void DeviceMap<S>::read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                             bool may_miss) const {
  if (ys.size() != thetas.size()) throw ShapeError("device", "as many results as parameter vectors", std::to_string(ys.size()));
  const std::lock_guard lock(busy_);
  read(thetas, x, ys, next_addresses(thetas.size()), may_miss);
}

template <class S>
std::vector<ReadingAddress> DeviceMap<S>::next_addresses(std::size_t count) const {
  std::vector<ReadingAddress> addresses;
  for (std::size_t i = 0; next_ && i < count; ++i) {
    // Room for repeated readings between one reading and the next; the two sides of a pair come one after the other.
    addresses.push_back({.stream = next_->stream,
                         .step = next_->step,
                         .side = static_cast<std::uint32_t>(readings_ & 1U),
                         .repeat = static_cast<std::uint32_t>((readings_ >> 1U) * kRepeatRoom),
                         .row = first_row_});
    ++readings_;
  }
  return addresses;
}

template <class S>
Matrix<S> DeviceMap<S>::reference_readings(std::span<const S> theta, Index repeats) const {
  const std::lock_guard lock(busy_);
  Matrix<float> inputs(repeats, client_->description().inputs);
  for (Index k = 0; k < inputs.cols(); ++k) inputs.col(k).setConstant(inputs_.empty() ? 0.5F : to_device_units(inputs_[usize(k)], 0.5));
  Matrix<S> result;
  const std::vector<ReadingAddress> addresses = next_addresses(1);
  read_inputs({.thetas = std::span(&theta, 1), .inputs = inputs, .ys = std::span(&result, 1), .repeats = 1, .addresses = addresses});
  return result;
}

template <class S>
void DeviceMap<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>("device", x, input_shape(), y, output_shape());
  Matrix<S> result;
  read_many(std::span(&theta, 1), x, std::span(&result, 1), false);
  y = result;
}

template <class S>
void DeviceMap<S>::begin_readings(std::uint64_t stream, std::uint64_t step, bool lasting) const {
  const std::lock_guard lock(busy_);
  lasting_ = lasting;
  next_ = {.stream = stream, .step = step, .side = 0, .repeat = 0};
  readings_ = 0;
  first_row_ = 0;
}

template <class S>
void DeviceMap<S>::begin_rows(Index first) const {
  const std::lock_guard lock(busy_);
  first_row_ = first;
}

template <class S>
void DeviceMap<S>::pass_over(std::size_t readings) const {
  const std::lock_guard lock(busy_);
  readings_ += readings;
}

template <class S>
void DeviceMap<S>::keep_inside(std::span<S> theta, double margin) const {
  for (std::size_t i = 0; i < theta.size(); ++i) theta[i] = ffzero::keep_inside(parameters_[i], theta[i], margin, options_.normalise);
}

template <class S>
double DeviceMap<S>::resolution() const {
  double largest = 0.0;
  for (const ParameterRange& range : parameters_) largest = std::max(largest, options_.normalise ? normalised_step(range) : range.step);
  return largest;
}

template <class S>
InstrumentInfo DeviceMap<S>::info() const {
  const DeviceDescription& said = client_->description();
  InstrumentInfo info{.address = client_->place().substr(std::string_view("device ").size()), .identity = said.identity, .noise = 0.0};
  for (const ParameterRange& range : said.output_ranges) info.noise = std::max(info.noise, range.noise * std::abs(options_.output_scale));
  return info;
}

template <class S>
DeviceReceipt DeviceMap<S>::receipt() const {
  const std::lock_guard lock(busy_);
  DeviceReceipt receipt = receipt_of_device();
  receipt += replayed_;
  return receipt;
}

template <class S>
DeviceReceipt DeviceMap<S>::receipt_of_device() const {
  DeviceReceipt receipt = client_->receipt();
  receipt.projected = projected_;
  receipt.dropped = dropped_;
  return receipt;
}

template <class S>
void DeviceMap<S>::keep_journal(std::shared_ptr<ReadingJournal> journal, std::uint32_t device, std::uint32_t company) {
  const std::lock_guard lock(busy_);
  journal_ = std::move(journal);
  key_ = device;
  company_ = company;
  journal_->describe(device, client_->description().said);
}

template <class S>
std::vector<std::string> DeviceMap<S>::log() const {
  const std::lock_guard lock(busy_);
  return {client_->log().lines().begin(), client_->log().lines().end()};
}

template <class S>
void DeviceMap<S>::safe() const {
  const std::lock_guard lock(busy_);
  client_->safe();
}

template class DeviceMap<float>;
template class DeviceMap<double>;

}  // namespace ffzero
