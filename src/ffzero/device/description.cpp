// The answer to hello.
// SPDX-License-Identifier: MIT
#include "ffzero/device/description.hpp"

#include <algorithm>
#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/device/text.hpp"

namespace ffzero {

namespace {

constexpr std::int64_t kMostNumbers = 1 << 26;  // a shape beyond this is a mistake, not a device
constexpr std::size_t kMostRanges = 1 << 20;
constexpr std::size_t kMostSaid = std::size_t{1} << 27;  // bytes: room for all ranges
constexpr double kLongestTime = 24.0 * 3600.0 * 1000.0;

Index count_of(std::string_view token, std::string_view what, const std::string& place, std::int64_t largest = kMostNumbers) {
  const auto value = parse_count(token, largest);
  if (!value)
    throw DeviceError(place, "hello: " + std::string(what) + " must be a whole number from 0 to " + std::to_string(largest),
                      "\"" + clean_text(token) + "\"", "correct the device's answer to hello");
  return static_cast<Index>(*value);
}

double number_of(std::string_view token, std::string_view what, const std::string& place) {
  const auto value = parse_double(token);
  if (!value || !std::isfinite(*value))
    throw DeviceError(place, "hello: " + clean_text(what) + " must be a finite number", "\"" + clean_text(token) + "\"",
                      "correct the device's answer to hello");
  return *value;
}

void require_said(bool holds, const std::string& requirement, const std::string& value, const std::string& place) {
  if (!holds) throw DeviceError(place, "hello: " + requirement, value, "correct the device's answer to hello");
}

ParameterRange range_of(std::string_view word, std::string_view rest, const std::string& place) {
  ParameterRange range;
  const std::string name(word);
  range.first = count_of(next_token(rest), name + " FIRST", place);
  range.count = count_of(next_token(rest), name + " COUNT", place);
  while (true) {
    const std::string_view key = next_token(rest);
    if (key.empty()) break;
    const std::string_view value = next_token(rest);
    if (key == "unit") range.unit = clean_text(value, 20);
    double* const limit = key == "min"      ? &range.min
                          : key == "max"    ? &range.max
                          : key == "step"   ? &range.step
                          : key == "slew"   ? &range.slew
                          : key == "safe"   ? &range.safe
                          : key == "period" ? &range.period
                          : key == "noise"  ? &range.noise
                                            : nullptr;
    if (limit == nullptr) continue;
    *limit = number_of(value, key, place);
    const bool positive = key == "step" || key == "slew" || key == "period";
    require_said(!positive || *limit > 0.0, std::string(key) + " must be above 0", number_text(*limit), place);
    require_said(key != "noise" || *limit >= 0.0, "noise must not be negative", number_text(*limit), place);
  }
  if (range.periodic()) {
    if (!std::isfinite(range.min)) range.min = 0.0;
    range.max = range.min + range.period;
  }
  require_said(range.min < range.max, name + " " + std::to_string(range.first) + ": min must be below max",
               "min " + number_text(range.min) + ", max " + number_text(range.max), place);
  return range;
}

void check_ranges(std::vector<ParameterRange>& ranges, Index count, const char* word, const std::string& place) {
  std::sort(ranges.begin(), ranges.end(), [](const ParameterRange& a, const ParameterRange& b) { return a.first < b.first; });
  Index end = 0;
  for (const ParameterRange& range : ranges) {
    require_said(range.first >= end && range.first + range.count <= count,
                 std::string(word) + " ranges must be disjoint and lie in 0 .. " + std::to_string(count - 1),
                 std::to_string(range.first) + " .. " + std::to_string(range.first + range.count - 1), place);
    end = range.first + range.count;
  }
}

}  // namespace

void DeviceDescription::absorb(AnswerWord word, std::string_view rest, const std::string& place) {
  require_said(said.size() + rest.size() < kMostSaid, "too many words about itself", std::to_string(said.size() + rest.size()) + " bytes",
               place);
  said.append(word_text(word)).append(rest).append("\n");
  const auto add = [&](std::vector<ParameterRange>& ranges, std::string_view name) {
    require_said(ranges.size() < kMostRanges, "too many ranges", std::to_string(ranges.size()), place);
    ranges.push_back(range_of(name, rest, place));
  };
  switch (word) {
    case AnswerWord::proto:
      protocol = count_of(next_token(rest), "proto", place);
      break;
    case AnswerWord::id:
      identity = clean_text(rest.substr(std::min(rest.find_first_not_of(' '), rest.size())));
      break;
    case AnswerWord::shape:
      inputs = count_of(next_token(rest), "shape: inputs", place);
      outputs = count_of(next_token(rest), "shape: outputs", place);
      parameters = count_of(next_token(rest), "shape: parameters", place);
      break;
    case AnswerWord::param:
      add(parameter_ranges, "param");
      break;
    case AnswerWord::input:
      add(input_ranges, "input");
      break;
    case AnswerWord::output:
      add(output_ranges, "output");
      break;
    case AnswerWord::time:
      while (true) {
        const std::string_view key = next_token(rest);
        if (key.empty()) break;
        const std::string_view value = next_token(rest);
        double* const time = key == "set_ms"        ? &times.set_ms
                             : key == "row_ms"      ? &times.row_ms
                             : key == "answer_ms"   ? &times.answer_ms
                             : key == "safe_ms"     ? &times.safe_ms
                             : key == "watchdog_ms" ? &times.watchdog_ms
                                                    : nullptr;
        if (time == nullptr) continue;
        *time = number_of(value, key, place);
        require_said(*time >= 0.0 && *time <= kLongestTime, std::string(key) + " must lie in 0 .. one day", number_text(*time), place);
        require_said(key != "answer_ms" || *time > 0.0, "answer_ms must be above 0", number_text(*time), place);
      }
      break;
    case AnswerWord::cap:
      while (true) {
        const std::string_view key = next_token(rest);
        if (key.empty()) break;
        Index* const count = key == "linemax"    ? &can.linemax
                             : key == "rows"     ? &can.rows
                             : key == "pipeline" ? &can.pipeline
                             : key == "store"    ? &can.store
                                                 : nullptr;
        bool* const flag = key == "get"       ? &can.get
                           : key == "f32le"   ? &can.f32le
                           : key == "crc"     ? &can.crc
                           : key == "ping"    ? &can.ping
                           : key == "address" ? &can.address
                                              : nullptr;
        if (count != nullptr) *count = count_of(next_token(rest), key, place);
        if (flag != nullptr) *flag = true;
      }
      break;
    default:
      break;
  }
}

void DeviceDescription::finish(const std::string& place) {
  require_said(protocol == 1, "the version spoken (proto) must be 1", protocol == 0 ? "none" : std::to_string(protocol), place);
  require_said(inputs > 0 && outputs > 0, "shape INPUTS OUTPUTS PARAMETERS with at least one input and output",
               std::to_string(inputs) + " " + std::to_string(outputs) + " " + std::to_string(parameters), place);
  require_said(can.linemax >= static_cast<Index>(kSmallestLinemax), "linemax must be at least " + std::to_string(kSmallestLinemax),
               std::to_string(can.linemax), place);
  can.linemax = std::min(can.linemax, static_cast<Index>(kLongestLine));
  require_said(can.rows > 0, "rows must be at least 1", std::to_string(can.rows), place);
  require_said(can.pipeline > 0, "pipeline must be at least 1", std::to_string(can.pipeline), place);
  check_ranges(parameter_ranges, parameters, "param", place);
  check_ranges(input_ranges, inputs, "input", place);
  check_ranges(output_ranges, outputs, "output", place);
  for (const ParameterRange& range : parameter_ranges)
    require_said(range.contains(range.safe), "param " + std::to_string(range.first) + ": safe must lie inside min and max",
                 number_text(range.safe), place);
}

std::vector<ParameterRange> DeviceDescription::spread(const std::vector<ParameterRange>& ranges, Index count) {
  std::vector<ParameterRange> all(usize(count));
  for (const ParameterRange& range : ranges)
    for (Index i = range.first; i < range.first + range.count; ++i) all[usize(i)] = range;
  for (Index i = 0; i < count; ++i) {
    all[usize(i)].first = i;
    all[usize(i)].count = 1;
  }
  return all;
}

std::vector<float> DeviceDescription::safe_values() const {
  std::vector<float> values(usize(parameters), 0.0F);
  for (const ParameterRange& range : parameter_ranges)
    std::fill_n(values.begin() + range.first, range.count, static_cast<float>(range.safe));
  return values;
}

}  // namespace ffzero
