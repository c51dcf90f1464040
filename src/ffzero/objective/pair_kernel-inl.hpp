// Element-wise work and inner products of PairScorer. Private to objective.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "ffzero/base/index.hpp"

namespace ffzero::pair_kernel {

/// A batch of samples in rows, `groups` pieces of `dimension` numbers each; `stride` numbers from row to row.
template <class S>
struct Rows {
  const S* data;
  Index stride;
};
struct Sizes {
  Index rows, groups, dimension;
};

/// aa (rows, groups) = <a, a> with a = relu(z), in double; a (rows, groups * dimension).
void relu_squares(Rows<float> z, Sizes sizes, float* a, double* aa);
void relu_squares(Rows<double> z, Sizes sizes, double* a, double* aa);

/// sums (rows, groups, 2) = <z, p>, <p, p> in double.
void pair_sums(Rows<float> z, Rows<float> p, Sizes sizes, double* sums);
void pair_sums(Rows<double> z, Rows<double> p, Sizes sizes, double* sums);

/// The same behind relu: b (rows, groups * dimension) = p where z > 0, else 0; sums of relu(z) and b. crossings (rows, groups): not 0 where
/// a unit may change its sign between z + eps p and z - eps p (never 0 where one does).
void relu_pair_sums(Rows<float> z, Rows<float> p, Sizes sizes, double eps, float* b, double* sums, std::uint8_t* crossings);
void relu_pair_sums(Rows<double> z, Rows<double> p, Sizes sizes, double eps, double* b, double* sums, std::uint8_t* crossings);

}  // namespace ffzero::pair_kernel
