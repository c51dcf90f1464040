// Directional estimator.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/directional.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"

namespace ffzero {

namespace {

constexpr Index kPiece = 4096;

Segment common(const Segment& a, const Segment& b) noexcept {
  const Index begin = std::max(a.begin, b.begin);
  return {.begin = begin, .size = std::min(a.begin + a.size, b.begin + b.size) - begin};
}

}  // namespace

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
  // In pieces that stay in the first cache while every direction is added.
  const Index dimension = isize(gradient.size());
  executor.run((dimension + kPiece - 1) / kPiece, [&](Index i) {
    const Segment piece{.begin = i * kPiece, .size = std::min(kPiece, dimension - i * kPiece)};
    std::fill_n(gradient.begin() + piece.begin, piece.size, S{0});
    for (const Unit& unit : layout.units)
      for (const Segment& s : unit.segments) add_piece(common(piece, s), unit, directions, gradient);
  });
  return differences_.mean_loss;
}

template <class S>
void Directional<S>::add_piece(const Segment& piece, const Unit& unit, const ConstMatrixRef<S>& directions, std::span<S> gradient) const {
  if (piece.size <= 0) return;
  const double scale = static_cast<double>(unit.size()) / (2.0 * options_.eps * static_cast<double>(directions.rows()));
  auto target = as_vector(gradient.subspan(usize(piece.begin), usize(piece.size)));
  for (Index j = 0; j < directions.rows(); ++j)
    target += static_cast<S>(scale * differences_.delta(j, unit.group)) * directions.row(j).segment(piece.begin, piece.size).transpose();
}

template class Directional<float>;
template class Directional<double>;

}  // namespace ffzero
