// What ends a training whose model of a device is none.
// SPDX-License-Identifier: MIT
#include "ffzero/train/estimator.hpp"

#include <fmt/format.h>

namespace ffzero {

GateError::GateError(const std::string& block, double miss, double gate, const std::string& gate_key, const std::string& remedy)
    : CheckError(block, fmt::format("what was learnt of the device must miss held-out readings by no more than {} = {}", gate_key, gate),
                 fmt::format("{:.3g}", miss), fmt::format("take {}, or gradient.fallback = \"outputs\"", remedy)),
      miss_(miss) {}

}  // namespace ffzero
