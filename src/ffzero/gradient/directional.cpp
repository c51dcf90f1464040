// Directional estimator.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/directional.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"

namespace ffzero {

template <class S>
Directional<S>::Directional(const DirectionalOptions& options) : options_(options) {
  if (options.directions < 1)
    throw ConfigError("gradient.directions", "must be at least 1", std::to_string(options.directions), "give 1 or more");
  if (!(options.eps > 0.0)) throw ConfigError("gradient.eps", "must be positive", std::to_string(options.eps), "1e-3 is a good start");
}

template <class S>
double Directional<S>::estimate(const ScalarFunction<S>& f, std::span<const S> theta, const RandomStream& random, const Executor& executor,
                                std::span<S> gradient) {
  directions_.resize(options_.directions, f.dimension());
  fill_directions<S>(f.layout(), options_.distribution, random, executor, directions_.view());
  return estimate_along(f, theta, directions_.view(), executor, gradient);
}

template <class S>
double Directional<S>::estimate_along(const ScalarFunction<S>& f, std::span<const S> theta, const ConstMatrixRef<S>& directions,
                                      const Executor& executor, std::span<S> gradient) {
  f.differences(theta, directions, options_.eps, differences_);
  const ParameterLayout& layout = f.layout();
  const Index m = directions.rows();
  std::fill(gradient.begin(), gradient.end(), S{0});
  executor.run(isize(layout.units.size()), [&](Index u) {
    const Unit& unit = layout.units[usize(u)];
    const double scale = static_cast<double>(unit.size()) / (2.0 * options_.eps * static_cast<double>(m));
    for (const Segment& s : unit.segments) {
      auto target = as_vector(gradient.subspan(usize(s.begin), usize(s.size)));
      for (Index j = 0; j < m; ++j)
        target += static_cast<S>(scale * differences_.delta(j, unit.group)) * directions.row(j).segment(s.begin, s.size).transpose();
    }
  });
  return differences_.mean_loss;
}

template class Directional<float>;
template class Directional<double>;

}  // namespace ffzero
