// Directional estimator.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/directional.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/tensor/hermitian.hpp"

namespace ffzero {

namespace {

constexpr Index kPiece = 4096;

Segment common(const Segment& a, const Segment& b) noexcept {
  const Index begin = std::max(a.begin, b.begin);
  return {.begin = begin, .size = std::min(a.begin + a.size, b.begin + b.size) - begin};
}

// Units that move together under one loss, and their parameters.
struct GroupSize {
  Index units = 0, parameters = 0;
};

std::vector<GroupSize> group_sizes(const ParameterLayout& layout) {
  std::vector<GroupSize> sizes(usize(layout.groups));
  for (const Unit& unit : layout.units) {
    ++sizes[usize(unit.group)].units;
    sizes[usize(unit.group)].parameters += unit.size();
  }
  return sizes;
}

}  // namespace

std::string to_string(Aggregation a) { return a == Aggregation::aligned ? "aligned" : "average"; }

template <class S>
Directional<S>::Directional(const DirectionalOptions& options) : options_(options) {
  if (options.directions < 1)
    throw ConfigError("gradient.directions", "must be at least 1", std::to_string(options.directions), "give 1 or more");
  if (!(options.recycle >= 0.0 && options.recycle <= 1.0))
    throw ConfigError("gradient.recycle", "must lie in 0 .. 1", std::to_string(options.recycle), "0 keeps no memory");
  set_eps(options.eps);
}

template <class S>
void Directional<S>::set_eps(double eps) {
  if (!(eps > 0.0)) throw ConfigError("gradient.eps", "must be positive", std::to_string(eps), "1e-3 is a good start");
  options_.eps = eps;
}

template <class S>
void Directional<S>::start_memory(Index dimension) {
  memory_ = Vector<S>::Zero(options_.recycle > 0.0 ? dimension : 0);
}

template <class S>
double Directional<S>::estimate(const ScalarFunction<S>& f, std::span<const S> theta, const RandomStream& random, const Executor& executor,
                                std::span<S> gradient) {
  const bool plain = options_.aggregation == Aggregation::average && options_.recycle <= 0.0;
  if (plain && options_.distribution == Distribution::hadamard && f.serves_hadamard(options_.directions)) {
    directions_.resize(1, f.dimension());  // the first row of the matrix is all ones: what is left are the signs
    fill_directions<S>(f.layout(), options_.distribution, random, executor, directions_.view());
    const std::span<const S> signs(directions_.view().data(), usize(f.dimension()));
    differences_.came.clear();
    f.hadamard_differences(theta, signs, options_.directions, options_.eps, differences_);
    combine_hadamard(f.layout(), signs, executor, gradient);
    return differences_.mean_loss;
  }
  directions_.resize(options_.directions, f.dimension());
  fill_directions<S>(f.layout(), options_.distribution, random, executor, directions_.view());
  return estimate_along(f, theta, directions_.view(), executor, gradient);
}

template <class S>
double Directional<S>::estimate_along(const ScalarFunction<S>& f, std::span<const S> theta, const ConstMatrixRef<S>& directions,
                                      const Executor& executor, std::span<S> gradient) {
  differences_.may_miss = true;
  differences_.came.clear();
  f.differences(theta, directions, options_.eps, differences_);
  if (differences_.pairs() == 0) {
    std::fill(gradient.begin(), gradient.end(), S{0});
    return std::numeric_limits<double>::quiet_NaN();
  }
  const ParameterLayout& layout = f.layout();
  const Index dimension = isize(gradient.size());
  if (options_.recycle > 0.0) {
    if (memory_.size() != dimension) start_memory(dimension);
    subtract_expected(layout, directions, executor);
  }
  weigh(layout, directions);
  // In pieces that stay in the first cache while every direction is added.
  executor.run(divide_up(dimension, kPiece), [&](Index i) {
    const Segment piece{.begin = i * kPiece, .size = std::min(kPiece, dimension - i * kPiece)};
    std::fill_n(gradient.begin() + piece.begin, piece.size, S{0});
    for (std::size_t u = 0; u < layout.units.size(); ++u)
      for (const Segment& s : layout.units[u].segments) add_piece(common(piece, s), u, layout.units[u].group, directions, gradient);
  });
  return differences_.mean_loss;
}

// What the memory expects of each difference, taken from it.
template <class S>
void Directional<S>::subtract_expected(const ParameterLayout& layout, const ConstMatrixRef<S>& directions, const Executor& executor) {
  const Index m = directions.rows();
  Matrix<double> expected(m, isize(layout.units.size()));
  executor.run(expected.cols(), [&](Index u) {
    for (Index j = 0; j < m; ++j) {
      double sum = 0.0;
      for (const Segment& s : layout.units[usize(u)].segments)
        sum += memory_.segment(s.begin, s.size)
                   .template cast<double>()
                   .dot(directions.row(j).segment(s.begin, s.size).transpose().template cast<double>());
      expected(j, u) = sum;
    }
  });
  for (std::size_t u = 0; u < layout.units.size(); ++u)
    differences_.delta.col(layout.units[u].group) -= 2.0 * options_.eps * expected.col(isize(u));
  // What nobody measured is no surprise.
  for (std::size_t j = 0; j < differences_.came.size(); ++j)
    if (!differences_.came[j]) differences_.delta.row(isize(j)).setZero();
}

template <class S>
void Directional<S>::weigh(const ParameterLayout& layout, const ConstMatrixRef<S>& directions) {
  const Index m = directions.rows();
  weights_.resize(m, isize(layout.units.size()));
  if (options_.aggregation == Aggregation::aligned) return align(layout, directions);
  for (std::size_t u = 0; u < layout.units.size(); ++u) {
    const Unit& unit = layout.units[u];
    const double scale = static_cast<double>(unit.size()) / (2.0 * options_.eps * static_cast<double>(differences_.pairs()));
    for (Index j = 0; j < m; ++j) weights_(j, isize(u)) = scale * differences_.delta(j, unit.group);
  }
  if (options_.recycle <= 0.0) return;
  surprise_.resize(m, layout.groups);
  const std::vector<GroupSize> sizes = group_sizes(layout);
  for (Index g = 0; g < layout.groups; ++g) {
    // All directions correct the memory at once; they are not orthogonal, so the sum is kept from overshooting.
    const GroupSize& size = sizes[usize(g)];
    const double crowded = 1.0 + std::sqrt(static_cast<double>(m) / static_cast<double>(std::max<Index>(1, size.parameters)));
    const double share = 2.0 * options_.eps * static_cast<double>(std::max<Index>(1, size.units)) * crowded * crowded;
    surprise_.col(g) = differences_.delta.col(g) * (options_.recycle / share);
  }
}

template <class S>
void Directional<S>::align(const ParameterLayout& layout, const ConstMatrixRef<S>& directions) {
  const Index m = directions.rows();
  const std::vector<GroupSize> sizes = group_sizes(layout);
  surprise_.setZero(m, layout.groups);
  // Directions and slopes are good to the rounding of S: what depends on others but for that says nothing of its own.
  const double precision = static_cast<double>(m) * static_cast<double>(std::numeric_limits<S>::epsilon());
  for (Index g = 0; g < layout.groups; ++g) {
    Matrix<double> gram = Matrix<double>::Zero(m, m);
    for (const Unit& unit : layout.units)
      if (unit.group == g)
        for (const Segment& s : unit.segments) {
          const Matrix<double> block = directions.middleCols(s.begin, s.size).template cast<double>();
          gemm_nt<double>(block, block, gram, 1.0);
        }
    // A direction of length 0 and slope 0: the shortest solution leaves it out.
    for (std::size_t j = 0; j < differences_.came.size(); ++j)
      if (!differences_.came[j]) {
        gram.row(isize(j)).setZero();
        gram.col(isize(j)).setZero();
      }
    surprise_.col(g) = shortest_solution(gram, differences_.delta.col(g), precision) / (2.0 * options_.eps);
  }
  for (std::size_t u = 0; u < layout.units.size(); ++u) {
    const Unit& unit = layout.units[u];
    const double size = static_cast<double>(unit.size() * sizes[usize(unit.group)].units);
    weights_.col(isize(u)) = surprise_.col(unit.group) * std::max(1.0, size / static_cast<double>(differences_.pairs()));
  }
  surprise_ *= options_.recycle;
}

template <class S>
void Directional<S>::add_piece(const Segment& piece, std::size_t unit, Index group, const ConstMatrixRef<S>& directions,
                               std::span<S> gradient) {
  if (piece.size <= 0) return;
  auto target = as_vector(gradient.subspan(usize(piece.begin), usize(piece.size)));
  const bool remembers = options_.recycle > 0.0;
  if (remembers) target = memory_.segment(piece.begin, piece.size);
  for (Index j = 0; j < directions.rows(); ++j) {
    const auto direction = directions.row(j).segment(piece.begin, piece.size).transpose();
    target += static_cast<S>(weights_(j, isize(unit))) * direction;
    if (remembers) memory_.segment(piece.begin, piece.size) += static_cast<S>(surprise_(j, group)) * direction;
  }
}

template <class S>
void Directional<S>::combine_hadamard(const ParameterLayout& layout, std::span<const S> signs, const Executor& executor,
                                      std::span<S> gradient) const {
  constexpr Index kWidth = 16;  // what the lowest four bits of a position choose from; the others flip blocks of 16 directions together
  const Index dimension = isize(gradient.size()), m = options_.directions, blocks = divide_up(m, kWidth);
  const auto negative = [](Index i, Index j) { return (std::popcount(static_cast<std::uint64_t>(i & j)) & 1) != 0; };
  // weights (groups, blocks, 16): the sum over the directions of a block for each of the 16 places.
  Matrix<S> weights(layout.groups * blocks, kWidth);
  for (Index g = 0; g < layout.groups; ++g)
    for (Index q = 0; q < blocks; ++q)
      for (Index i = 0; i < kWidth; ++i) {
        double sum = 0.0;
        for (Index j = q * kWidth; j < std::min(m, (q + 1) * kWidth); ++j)
          sum += negative(i, j % kWidth) ? -differences_.delta(j, g) : differences_.delta(j, g);
        weights(g * blocks + q, i) = static_cast<S>(sum);
      }
  executor.run(divide_up(dimension, kPiece), [&](Index number) {
    const Segment piece{.begin = number * kPiece, .size = std::min(kPiece, dimension - number * kPiece)};
    std::fill_n(gradient.begin() + piece.begin, piece.size, S{0});
    for (const Unit& unit : layout.units)
      for (const Segment& s : unit.segments) {
        const S scale = static_cast<S>(static_cast<double>(unit.size()) / (2.0 * options_.eps * static_cast<double>(m)));
        const Segment part = common(piece, s);
        std::array<S, kWidth> weight{};
        for (Index at = part.begin; at < part.begin + part.size;) {
          const Index block = at / kWidth * kWidth, end = std::min(part.begin + part.size, block + kWidth);
          if (blocks > 1 || at == part.begin) {
            weight.fill(S{0});
            for (Index q = 0; q < blocks; ++q)
              for (Index i = 0; i < kWidth; ++i) {
                const S own = scale * weights(unit.group * blocks + q, i);
                weight[usize(i)] += negative(block, q * kWidth) ? -own : own;
              }
          }
          for (; at < end; ++at) gradient[usize(at)] = weight[usize(at - block)] * signs[usize(at)];
        }
      }
  });
}

template class Directional<float>;
template class Directional<double>;

}  // namespace ffzero
