// What a device was really asked to do, beside the nominal bill of the ledger.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace ffzero {

/// Counted by the host; failed and repeated work included.
struct DeviceReceipt {
  std::int64_t sets = 0;         ///< parameter writes: one for every evaluation that changed at least one parameter
  std::int64_t values = 0;       ///< single parameter values written
  std::int64_t evaluations = 0;  ///< requests `eval` with at least one row
  std::int64_t rows = 0;         ///< rows read and accepted
  std::int64_t retries = 0;      ///< evaluations sent again after an error or a failure
  std::int64_t restarts = 0;     ///< times that the device was started or connected again
  std::int64_t failed = 0;       ///< evaluations given up
  std::int64_t dropped = 0;      ///< rows that did not come back and that training went on without
  std::int64_t projected = 0;    ///< parameter values moved into their range, if that was asked for
  double seconds = 0.0;          ///< time spent waiting for evaluations

  DeviceReceipt& operator+=(const DeviceReceipt& o) noexcept {
    sets += o.sets;
    values += o.values;
    evaluations += o.evaluations;
    rows += o.rows;
    retries += o.retries;
    restarts += o.restarts;
    failed += o.failed;
    dropped += o.dropped;
    projected += o.projected;
    seconds += o.seconds;
    return *this;
  }
  /// What came after an earlier receipt of the same account.
  DeviceReceipt& operator-=(const DeviceReceipt& o) noexcept {
    sets -= o.sets;
    values -= o.values;
    evaluations -= o.evaluations;
    rows -= o.rows;
    retries -= o.retries;
    restarts -= o.restarts;
    failed -= o.failed;
    dropped -= o.dropped;
    projected -= o.projected;
    seconds -= o.seconds;
    return *this;
  }
};

}  // namespace ffzero
