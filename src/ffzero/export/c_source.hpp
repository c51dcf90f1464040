// A trained network as C99 source.
// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "ffzero/export/network_graph.hpp"

namespace ffzero {

/// One header that needs <math.h> only: the weights as static arrays, and
///   int NAME_predict(const unsigned char *sample, float *scores, float *workspace)     (classification; float *sample for real numbers)
///   void NAME_predict(const float *sample, float *values, float *workspace)            (regression, values in the units of the data)
///   const char *NAME_class(int k)                                                      (what the data call class k)
/// with NAME_INPUTS numbers in a sample, NAME_OUTPUTS in `scores` (as `ffzero predict` prints them; null: not wanted) or `values`,
/// NAME_WORKSPACE in `workspace` (macros in capitals). Nothing is allocated, nothing is kept between calls, any number of threads may
/// call, each with a workspace of its own.
/// Computes in float: scores differ from those of ffzero by rounding.
/// name: a C identifier, the prefix of all names. @throws ConfigError if it is none
[[nodiscard]] std::string c_source(const NetworkGraph& graph, const std::string& name);

}  // namespace ffzero
