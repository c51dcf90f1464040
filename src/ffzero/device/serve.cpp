// The device's side of the protocol: one host's conversation.
// SPDX-License-Identifier: MIT
#include "ffzero/device/serve.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/device/text.hpp"
#include "ffzero/map/addressed.hpp"

namespace ffzero {

namespace {

constexpr std::size_t kLargestPayload = std::size_t{1} << 28;
constexpr std::int64_t kMostWords = std::int64_t{1} << 40;  // positions and counts that can be read
constexpr std::int64_t kMostSteps = (std::int64_t{1} << 40) - 1;

void require_ranges(const std::vector<ParameterRange>& ranges, Index count, const char* what) {
  for (const ParameterRange& range : ranges)
    if (range.first < 0 || range.count < 0 || range.first + range.count > count || !(range.min < range.max))
      throw ConfigError(std::string("device serve: ") + what, "a range must have min < max and lie in 0 .. " + std::to_string(count - 1),
                        std::to_string(range.first) + " .. " + std::to_string(range.first + range.count - 1));
}

std::string range_line(const char* word, const ParameterRange& range) {
  std::string line = std::string(word) + " " + std::to_string(range.first) + " " + std::to_string(range.count);
  const auto add = [&](const char* key, double value, bool said) {
    if (said) line += std::string(" ") + key + " " + number_text(value);
  };
  if (!range.unit.empty()) line += " unit " + range.unit;
  add("period", range.period, range.periodic());
  add("min", range.min, std::isfinite(range.min));
  add("max", range.max, std::isfinite(range.max) && !range.periodic());
  add("step", range.step, range.step > 0.0);
  add("slew", range.slew, std::isfinite(range.slew));
  add("safe", range.safe, range.safe != 0.0);
  add("noise", range.noise, range.noise > 0.0);
  return line;
}

// Stored as the nearest value that the device has.
float on_grid(const ParameterRange& range, float value) {
  if (range.step <= 0.0) return value;
  const double origin = std::isfinite(range.min) ? range.min : 0.0;
  const double nearest = origin + range.step * std::round((static_cast<double>(value) - origin) / range.step);
  return static_cast<float>(std::clamp(nearest, range.min, range.max));
}

// Of an address. No batch is so long that the noise of its rows would not fit a counter.
Index first_row(const std::vector<std::uint64_t>& address) {
  return static_cast<Index>(address[4] & static_cast<std::uint64_t>(kMostSteps));
}

// Mixes words into one seed (splitmix64).
std::uint64_t mixed(std::uint64_t seed, std::uint64_t word) {
  seed += 0x9E3779B97F4A7C15U + word;
  seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9U;
  seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EBU;
  return seed ^ (seed >> 31);
}

}  // namespace

DeviceServer::DeviceServer(const ForwardMap<float>& map, const ServeOptions& options, const Clock& clock)
    : map_(map),
      options_(options),
      clock_(clock),
      inputs_(map.input_shape().size()),
      outputs_(map.output_shape().size()),
      lines_(static_cast<std::size_t>(options.can.linemax)),
      set_(usize(map.parameter_count()), 0.0F) {
  require_ranges(options_.parameters, map.parameter_count(), "parameters");
  require_ranges(options_.inputs, inputs_, "inputs");
  require_ranges(options_.outputs, outputs_, "outputs");
  if (options_.noise > 0.0 && options_.outputs.empty()) options_.outputs = {{.first = 0, .count = outputs_, .noise = options_.noise}};
  limits_ = DeviceDescription::spread(options_.parameters, map.parameter_count());
  for (ParameterRange& range : limits_) range.safe = std::clamp(range.safe, range.min, range.max);
  for (ParameterRange& range : options_.parameters) range.safe = std::clamp(range.safe, range.min, range.max);
  if (!options_.inputs.empty()) input_limits_ = DeviceDescription::spread(options_.inputs, inputs_);
  stored_.resize(options_.can.store, inputs_);
  is_stored_.assign(usize(options_.can.store), 0);
  heard_ = clock_.now();
  go_safe(DeviceState::idle);
}

// --- bytes --------------------------------------------------------------------------------------------------------------------------

void DeviceServer::feed(std::string_view bytes) {
  tick();
  lines_.feed(bytes);
  work_off();
  // The watchdog does not count what the map took.
  heard_ = clock_.now();
}

void DeviceServer::work_off() {
  while (!finished_) {
    if (payload_) {
      const auto found = lines_.bytes(usize(payload_->count) * sizeof(float) + (checksums_ ? 4 : 0));
      if (!found) return;
      take_payload(*found);
      continue;
    }
    const auto line = lines_.line();
    for (int n = lines_.take_dropped(); n > 0; --n) {
      // Where rows are awaited it was one of them.
      answer(rows_ ? rows_->number : 0, "error unsupported a line of more than " + std::to_string(options_.can.linemax) + " bytes");
      rows_.reset();
    }
    if (!line) return;
    take_line(*line);
  }
}

std::string DeviceServer::take() {
  std::string out;
  const Microseconds now = clock_.now();
  while (!answers_.empty() && answers_.front().due <= now) {
    out += answers_.front().bytes;
    answers_.pop_front();
  }
  if (!out.empty()) heard_ = std::max(heard_, now);
  return out;
}

std::optional<Microseconds> DeviceServer::next_time() const {
  if (!answers_.empty()) return answers_.front().due;
  if (state_ == DeviceState::ready && options_.times.watchdog_ms > 0.0) return heard_ + of_ms(options_.times.watchdog_ms);
  return std::nullopt;
}

void DeviceServer::tick() {
  // A host that waits for an answer has nothing to say.
  const bool silent = answers_.empty() && clock_.now() - heard_ >= of_ms(options_.times.watchdog_ms);
  if (state_ != DeviceState::ready || options_.times.watchdog_ms <= 0.0 || !silent) return;
  go_safe(DeviceState::idle);
  end_rows("error unready the host was silent");
}

void DeviceServer::disconnected() {
  finished_ = true;
  answers_.clear();
  go_safe(DeviceState::idle);
}

void DeviceServer::send(std::uint32_t number, std::string bytes, Microseconds busy, bool evaluation) {
  busy_until_ = std::max(busy_until_, clock_.now()) + busy;
  answers_.push_back(
      {.number = number, .due = busy_until_ + of_ms(options_.latency_ms), .evaluation = evaluation, .bytes = std::move(bytes)});
}

void DeviceServer::end_with(std::string& out, std::uint32_t number, std::string_view text) const {
  const std::size_t begin = out.size();
  out += std::to_string(number) + " ";
  out += text;
  end_line(out, begin, checksums_);
}

void DeviceServer::answer(std::uint32_t number, std::string_view text, Microseconds busy, bool evaluation) {
  std::string line;
  end_with(line, number, text);
  send(number, std::move(line), busy, evaluation);
}

// --- requests -----------------------------------------------------------------------------------------------------------------------

void DeviceServer::take_line(std::string_view line) {
  std::string_view rest = line;
  const Checksum checksum = take_checksum(rest);
  if (checksum == Checksum::absent) rest = line;
  std::string_view words = rest;
  const std::string_view number_word = next_token(words);
  if (number_word.empty()) return;
  const auto number = parse_count(number_word, kLargestRequest);
  const std::string_view verb = next_token(words);
  if (verb == "hello" && checksum != Checksum::wrong) return hello(words);
  if (checksums_ && checksum != Checksum::right) return refuse_line(number.value_or(0), "error retry crc");
  if (!checksums_ && checksum != Checksum::absent) words = line.substr(static_cast<std::size_t>(words.data() - line.data()));
  if (!number) return refuse_line(0, "error retry a line begins with its number");
  const auto n = static_cast<std::uint32_t>(*number);
  if (verb == "row") return take_row(n, words);
  end_rows("error retry rows are missing");
  take_request(n, verb, words);
}

// Where rows are awaited it may have been one of them, whatever number can be read in it.
void DeviceServer::refuse_line(std::int64_t number, std::string_view error) {
  if (rows_) return end_rows(error);
  answer(static_cast<std::uint32_t>(number), error);
}

void DeviceServer::end_rows(std::string_view error) {
  if (!rows_) return;
  if (rows_->refusal.empty()) answer(rows_->number, error);
  // A payload is read to its end.
  if (payload_)
    rows_->refusal = error;
  else
    rows_.reset();
}

void DeviceServer::take_request(std::uint32_t number, std::string_view verb, std::string_view rest) {
  const bool idle = state_ == DeviceState::idle;
  if (verb == "ready") {
    if (idle) {
      state_ = DeviceState::ready;
      report();
    }
    return answer(number, "ok");
  }
  if (verb == "set") return set(number, rest);
  if (verb == "eval") return eval(number, rest);
  if (verb == "load" && options_.can.store > 0) return load(number, rest);
  if (verb == "get" && options_.can.get) return get(number, rest);
  if (verb == "ping" && options_.can.ping) return answer(number, "ok");
  if (verb == "safe" || verb == "bye") {
    // What was under way comes to nothing; what is on its way arrives.
    const Microseconds now = clock_.now();
    busy_until_ = now;
    for (Answer& pending : answers_) {
      const bool worked_on = pending.due > now + of_ms(options_.latency_ms);
      if (pending.evaluation && (worked_on || options_.latency_ms == 0.0)) {
        pending.bytes.clear();
        end_with(pending.bytes, pending.number, "error retry safe was asked for");
      }
      pending.due = std::min(pending.due, now + of_ms(options_.latency_ms));
    }
    go_safe(DeviceState::idle);
    answer(number, "ok");
    finished_ = verb == "bye";
    return;
  }
  answer(number, "error unsupported " + clean_text(verb, 40));
}

void DeviceServer::hello(std::string_view rest) {
  static_cast<void>(next_token(rest));
  const auto version = parse_count(next_token(rest), 1000000);
  answers_.clear();
  rows_.reset();
  checksums_ = false;
  busy_until_ = clock_.now();
  std::fill(is_stored_.begin(), is_stored_.end(), 0);
  go_safe(DeviceState::idle);
  if (!version || *version < 1) return answer(0, "error unsupported version");
  std::string out;
  const auto line = [&](const std::string& text) { end_with(out, 0, text); };
  const DeviceTimes& times = options_.times;
  const DeviceCapabilities& can = options_.can;
  line("proto 1");
  line("id " + clean_text(options_.identity));
  line("shape " + std::to_string(inputs_) + " " + std::to_string(outputs_) + " " + std::to_string(map_.parameter_count()));
  for (const auto& range : options_.parameters) line(range_line("param", range));
  for (const auto& range : options_.inputs) line(range_line("input", range));
  for (const auto& range : options_.outputs) line(range_line("output", range));
  line("time set_ms " + number_text(times.set_ms) + " row_ms " + number_text(times.row_ms) + " answer_ms " + number_text(times.answer_ms) +
       " safe_ms " + number_text(times.safe_ms) + " watchdog_ms " + number_text(times.watchdog_ms));
  std::string cap = "cap linemax " + std::to_string(can.linemax) + " rows " + std::to_string(can.rows);
  if (can.get) cap += " get";
  if (can.f32le) cap += " f32le";
  if (can.crc) cap += " crc";
  if (can.ping) cap += " ping";
  if (can.pipeline > 1) cap += " pipeline " + std::to_string(can.pipeline);
  if (can.store > 0) cap += " store " + std::to_string(can.store);
  if (can.address) cap += " address";
  line(cap);
  line("ok");
  send(0, std::move(out), Microseconds(0), false);
  checksums_ = can.crc;
}

void DeviceServer::stage(std::uint32_t number, Index first, std::span<const float> values, const std::string& refusal) {
  if (!refusal.empty()) return answer(number, refusal);
  if (state_ == DeviceState::idle) return answer(number, "error unready say ready first");
  if (first + isize(values.size()) > isize(set_.size()))
    return answer(number, "error range there are " + std::to_string(set_.size()) + " parameters");
  for (std::size_t i = 0; i < values.size(); ++i) {
    const ParameterRange& range = limits_[usize(first) + i];
    const auto value = static_cast<double>(values[i]);
    const std::string name = "error range parameter " + std::to_string(usize(first) + i);
    if (!std::isfinite(value)) return answer(number, name + " is not finite");
    if (value > range.max) return answer(number, name + " above " + number_text(range.max));
    if (value < range.min) return answer(number, name + " below " + number_text(range.min));
  }
  for (std::size_t i = 0; i < values.size(); ++i) staged_[usize(first) + i] = on_grid(limits_[usize(first) + i], values[i]);
  answer(number, "ok");
}

void DeviceServer::set(std::uint32_t number, std::string_view rest) {
  const auto first = parse_count(next_token(rest), kMostWords);
  std::string refusal = first ? "" : "error retry FIRST";
  std::string_view words = rest;
  const auto count = parse_count(next_token(words), static_cast<std::int64_t>(kLargestPayload / sizeof(float)));
  if (options_.can.f32le && next_token(words) == "f32le") {
    if (!count) return answer(number, "error retry COUNT");
    payload_ =
        Payload{.number = number, .first = static_cast<Index>(first.value_or(0)), .count = static_cast<Index>(*count), .refusal = refusal};
    return;
  }
  std::vector<float> values;
  for (auto token = next_token(rest); !token.empty() && refusal.empty(); token = next_token(rest)) {
    const auto value = parse_number(token);
    if (!value) refusal = "error retry no number: " + clean_text(token, 40);
    values.push_back(value.value_or(0.0F));
  }
  if (values.empty() && refusal.empty()) refusal = "error retry no values";
  stage(number, static_cast<Index>(first.value_or(0)), values, refusal);
}

void DeviceServer::get(std::uint32_t number, std::string_view rest) {
  const auto first = parse_count(next_token(rest), kMostWords);
  const auto count = parse_count(next_token(rest), kMostWords);
  if (!first || !count) return answer(number, "error retry FIRST COUNT");
  if (*first + *count > isize(set_.size())) return answer(number, "error range there are " + std::to_string(set_.size()) + " parameters");
  std::string out;
  append_values(out, std::to_string(number) + " row",
                std::span(set_).subspan(static_cast<std::size_t>(*first), static_cast<std::size_t>(*count)),
                static_cast<std::size_t>(options_.can.linemax), checksums_);
  end_with(out, number, "ok");
  send(number, std::move(out), Microseconds(0), false);
}

void DeviceServer::load(std::uint32_t number, std::string_view rest) {
  Rows asked;
  asked.number = number;
  asked.verb = "load";
  const auto first = parse_count(next_token(rest), kMostWords);
  const auto rows = parse_count(next_token(rest), static_cast<std::int64_t>(kLargestPayload) / (4 * inputs_));
  if (!first || !rows) return answer(number, "error retry FIRST ROWS");
  if (*rows > options_.can.rows) asked.refusal = "error unsupported at most " + std::to_string(options_.can.rows) + " rows at once";
  if (*first + *rows > options_.can.store) asked.refusal = "error range there is room for " + std::to_string(options_.can.store);
  asked.first = static_cast<Index>(*first);
  asked.rows = static_cast<Index>(*rows);
  asked.binary = options_.can.f32le && next_token(rest) == "f32le";
  if (!asked.refusal.empty()) answer(number, asked.refusal);
  if (asked.binary) payload_ = Payload{.number = number, .count = asked.rows * inputs_, .rows = true, .refusal = {}};
  if (asked.binary || asked.refusal.empty()) rows_ = std::move(asked);
  if (rows_ && !rows_->binary && rows_->rows == 0) finish_rows(*std::exchange(rows_, std::nullopt));
}

void DeviceServer::eval(std::uint32_t number, std::string_view rest) {
  Rows asked;
  asked.number = number;
  asked.verb = "eval";
  const auto rows = parse_count(next_token(rest), static_cast<std::int64_t>(kLargestPayload) / (4 * inputs_));
  if (!rows) return answer(number, "error retry ROWS");
  asked.rows = static_cast<Index>(*rows);
  if (asked.rows > options_.can.rows) asked.refusal = "error unsupported at most " + std::to_string(options_.can.rows) + " rows";
  if (state_ == DeviceState::idle) asked.refusal = "error unready say ready first";
  std::optional<Matrix<float>> stored;
  for (auto word = next_token(rest); !word.empty(); word = next_token(rest)) {
    if (word == "f32le" && options_.can.f32le) {
      asked.binary = true;
    } else if (word == "addr" && options_.can.address) {
      asked.address.emplace();
      for (int i = 0; i < 5; ++i) {
        const auto part = parse_count(next_token(rest), std::numeric_limits<std::int64_t>::max());
        if (!part) asked.refusal = "error retry addr STREAM STEP SIDE REPEAT FIRSTROW";
        asked.address->push_back(static_cast<std::uint64_t>(part.value_or(0)));
      }
    } else if (word == "at" && options_.can.store > 0) {
      stored.emplace(std::min(asked.rows, options_.can.rows), inputs_);
      for (Index i = 0; i < stored->rows(); ++i) {
        const std::string_view token = next_token(rest);
        const auto at = parse_count(token, options_.can.store - 1);
        if (token.empty() && asked.refusal.empty()) asked.refusal = "error unsupported at needs ROWS numbers";
        if (at && is_stored_[static_cast<std::size_t>(*at)] != 0)
          stored->row(i) = stored_.row(static_cast<Index>(*at));
        else if (asked.refusal.empty())
          asked.refusal = "error range nothing is stored there";
      }
    } else {
      asked.refusal = "error unsupported eval with " + clean_text(word, 40);
    }
  }
  if (!asked.refusal.empty()) answer(number, asked.refusal);
  if (stored) {
    if (asked.refusal.empty()) evaluate(asked, *stored);
    return;
  }
  if (asked.binary) payload_ = Payload{.number = number, .count = asked.rows * inputs_, .rows = true, .refusal = {}};
  if (asked.binary || asked.refusal.empty()) rows_ = std::move(asked);
  if (rows_ && !rows_->binary && rows_->rows == 0) finish_rows(*std::exchange(rows_, std::nullopt));
}

void DeviceServer::take_row(std::uint32_t number, std::string_view rest) {
  // Rows of a request that was refused are dropped.
  if (!rows_ || rows_->number != number || rows_->binary) return;
  const auto refuse = [&](const std::string& text) {
    answer(number, text);
    rows_.reset();
  };
  std::size_t room = usize(inputs_) - rows_->values.size() % usize(inputs_);
  for (auto token = next_token(rest); !token.empty(); token = next_token(rest)) {
    const auto value = parse_number(token);
    if (!value) return refuse("error retry no number: " + clean_text(token, 40));
    if (room-- == 0) return refuse("error retry a row has " + std::to_string(inputs_) + " numbers");
    rows_->values.push_back(*value);
  }
  if (isize(rows_->values.size()) == rows_->rows * inputs_) finish_rows(*std::exchange(rows_, std::nullopt));
}

void DeviceServer::take_payload(std::string_view bytes) {
  const Payload asked = *std::exchange(payload_, std::nullopt);
  const std::string_view raw = bytes.substr(0, usize(asked.count) * sizeof(float));
  const bool damaged = checksums_ && crc32_of(raw) != read_word32(bytes.substr(raw.size()));
  if (!asked.rows) {
    std::vector<float> values(usize(asked.count));
    read_floats(raw, values);
    return stage(asked.number, asked.first, values, damaged ? "error retry crc" : asked.refusal);
  }
  Rows rows = *std::exchange(rows_, std::nullopt);
  if (!rows.refusal.empty()) return;
  if (damaged) return answer(asked.number, "error retry crc");
  rows.values.resize(usize(asked.count));
  read_floats(raw, rows.values);
  finish_rows(std::move(rows));
}

void DeviceServer::finish_rows(Rows asked) {
  const Eigen::Map<const Matrix<float>> x(asked.values.data(), asked.rows, inputs_);
  for (Index i = 0; i < x.rows() && !input_limits_.empty(); ++i)
    for (Index k = 0; k < inputs_; ++k) {
      if (std::isnan(x(i, k)) || input_limits_[usize(k)].contains(x(i, k))) continue;
      return answer(asked.number, "error range input " + std::to_string(k) + " is " + number_text(x(i, k)));
    }
  if (asked.verb == "eval") return evaluate(asked, x);
  stored_.middleRows(asked.first, asked.rows) = x;
  std::fill_n(is_stored_.begin() + asked.first, asked.rows, char{1});
  answer(asked.number, "ok");
}

// --- evaluation ---------------------------------------------------------------------------------------------------------------------

void evaluate_served(const ForwardMap<float>& map, std::span<const float> theta, const ConstMatrixRef<float>& x, MatrixRef<float> y) {
  if (const auto* trained = dynamic_cast<const StatefulMap<float>*>(&map))
    trained->infer(theta, x, y);
  else
    map.forward(theta, x, y);
}

void DeviceServer::add_noise(const Rows& asked, Matrix<float>& y) {
  if (options_.noise <= 0.0) return;
  Matrix<float> noise(y.rows(), y.cols());
  const std::span<float> all(noise.data(), usize(noise.size()));
  if (asked.address) {
    const auto& a = *asked.address;  // stream, step, side, repeat, first row
    const std::uint64_t seed = mixed(mixed(mixed(options_.seed, a[0]), a[2]), a[3]);
    const auto step = a[1] & static_cast<std::uint64_t>(kMostSteps);
    RandomStream(seed, Stream::device, 0, step).fill_normal(all, first_row(a) * outputs_);
  } else {
    RandomStream(options_.seed, Stream::device, 1, readings_++ & static_cast<std::uint64_t>(kMostSteps)).fill_normal(all);
  }
  y += static_cast<float>(options_.noise) * noise;
}

void DeviceServer::begin_series(const Rows& asked) {
  const auto* addressed = dynamic_cast<const AddressedReadings*>(&map_);
  if (addressed == nullptr || !asked.address) return;
  const auto& a = *asked.address;  // stream, step, side, repeat, first row
  addressed->begin_series(
      {.stream = mixed(mixed(a[0], a[2]), a[3]), .step = a[1], .rows = served_rows_, .writes = writes_, .first_row = first_row(a)});
}

void DeviceServer::evaluate(const Rows& asked, const Matrix<float>& x) {
  if (staged_ != set_) {
    set_ = staged_;
    ++writes_;
    report();
  }
  Matrix<float> y(x.rows(), outputs_);
  if (x.rows() > 0) {
    begin_series(asked);
    try {
      evaluate_served(map_, set_, x, y);
    } catch (const DeviceError&) {
      return answer(asked.number, "error retry the reading failed");
    }
    served_rows_ += static_cast<double>(x.rows());
  }
  add_noise(asked, y);
  std::string out;
  if (asked.binary) {
    const std::span<const float> values(y.data(), usize(y.size()));
    end_with(out, asked.number, "data " + std::to_string(values.size_bytes()) + " f32le");
    const std::size_t begin = out.size();
    append_floats(out, values);
    if (checksums_) append_word32(out, crc32_of(std::string_view(out).substr(begin)));
  } else {
    const std::string head = std::to_string(asked.number) + " row";
    for (Index i = 0; i < y.rows(); ++i)
      append_values(out, head, {y.row(i).data(), usize(outputs_)}, static_cast<std::size_t>(options_.can.linemax), checksums_);
  }
  end_with(out, asked.number, "ok");
  send(asked.number, std::move(out), of_ms(options_.times.set_ms + static_cast<double>(x.rows()) * options_.times.row_ms), true);
}

void DeviceServer::go_safe(DeviceState state) {
  for (std::size_t i = 0; i < set_.size(); ++i) set_[i] = static_cast<float>(limits_[i].safe);
  staged_ = set_;
  state_ = state;
  report();
}

void DeviceServer::report() const {
  if (options_.on_state) options_.on_state(state_, set_);
}

}  // namespace ffzero
