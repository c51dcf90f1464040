// One step of an update rule on a run of parameters. Private to update.
// SPDX-License-Identifier: MIT
#pragma once

#include "ffzero/base/index.hpp"

namespace ffzero::rule_kernel {

/// See Adam in rule.cpp.
template <class S>
struct AdamScalars {
  S beta1, rest1, beta2, rest2, epsilon, decay, rate;
};

/// m = beta1 m + rest1 g, v = beta2 v + rest2 g^2, theta -= rate m / (sqrt(v) + epsilon), g = gradient + decay theta.   n numbers each
void adam(const AdamScalars<float>& k, const float* gradient, Index n, float* theta, float* m, float* v);
void adam(const AdamScalars<double>& k, const double* gradient, Index n, double* theta, double* m, double* v);

/// theta -= rate g.
void descend(const float* gradient, Index n, float rate, float* theta);
void descend(const double* gradient, Index n, double rate, double* theta);

}  // namespace ffzero::rule_kernel
