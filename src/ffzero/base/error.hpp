// Exceptions of the library: one type per exit code of the command line.
// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace ffzero {

/// What went wrong, in words of the caller; the values are the exit codes of the command line.
enum class ErrorKind : int {
  usage = 2,     ///< the command line itself (an existing run folder too)
  config = 3,    ///< a setting: unknown, misspelt, unused, out of range, in conflict
  data = 4,      ///< a data set, a checkpoint or another input file
  device = 5,    ///< a forward-only device that failed or answered out of contract
  check = 6,     ///< a check that the user asked for did not hold
  diverged = 7,  ///< a loss or a parameter stopped being finite
  output = 8,    ///< something could not be written
  defect = 70,   ///< a broken invariant of ours
};

/// Base of everything that the library throws on purpose. The library never prints and never exits.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  [[nodiscard]] ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

/// One line that names place, requirement, value found and remedy: "place: requirement; got value; remedy".
/// Empty `value` or `remedy` are left out.
[[nodiscard]] std::string error_line(std::string_view place, std::string_view requirement, std::string_view value = {},
                                     std::string_view remedy = {});

/// Base for the concrete errors: same constructor, fixed kind.
template <ErrorKind Kind>
class ErrorOf : public Error {
 public:
  explicit ErrorOf(std::string_view place, std::string_view requirement, std::string_view value = {}, std::string_view remedy = {})
      : Error(Kind, error_line(place, requirement, value, remedy)) {}
};

using UsageError = ErrorOf<ErrorKind::usage>;
using ConfigError = ErrorOf<ErrorKind::config>;
using DataError = ErrorOf<ErrorKind::data>;
using CheckError = ErrorOf<ErrorKind::check>;
using DivergedError = ErrorOf<ErrorKind::diverged>;
using OutputError = ErrorOf<ErrorKind::output>;

/// Why a reading of a device did not come back.
enum class DeviceFailure {
  contract,      ///< the answer does not fit what was agreed: counts, ranges, words
  refused,       ///< the device answered with an error that repeating did not cure
  timeout,       ///< stalled: no answer in time
  not_finite,    ///< a reading is NaN, infinite or outside the declared range
  disconnected,  ///< died: the stream ended, the program is gone, nobody listens
};

/// A forward-only device failed; the reason tells whoever trains whether to repeat, to skip or to stop.
class DeviceError : public ErrorOf<ErrorKind::device> {
 public:
  explicit DeviceError(std::string_view place, std::string_view requirement, std::string_view value = {}, std::string_view remedy = {})
      : DeviceError(DeviceFailure::contract, place, requirement, value, remedy) {}
  DeviceError(DeviceFailure reason, std::string_view place, std::string_view requirement, std::string_view value = {},
              std::string_view remedy = {})
      : ErrorOf(place, requirement, value, remedy), reason_(reason) {}
  [[nodiscard]] DeviceFailure reason() const noexcept { return reason_; }

 private:
  DeviceFailure reason_;
};

/// Caller passed a shape that does not fit (a defect of the calling code, never of a user's file).
using ShapeError = ErrorOf<ErrorKind::defect>;

}  // namespace ffzero
