// Directions are drawn in fixed chunks, so that they are the same for any number of threads.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/directions.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "ffzero/tensor/reduce.hpp"

namespace ffzero {

namespace {

constexpr Index kChunk = 8192;

struct Piece {
  Index direction, unit, begin, size;
};

std::vector<Piece> pieces_of(const ParameterLayout& layout, Index m) {
  std::vector<Piece> pieces;
  for (Index j = 0; j < m; ++j)
    for (std::size_t u = 0; u < layout.units.size(); ++u)
      for (const Segment& s : layout.units[u].segments)
        for (Index at = 0; at < s.size; at += kChunk) pieces.push_back({j, isize(u), s.begin + at, std::min(kChunk, s.size - at)});
  return pieces;
}

// Entry (row, column) of Sylvester's Hadamard matrix is negative where row & column has an odd number of bits. The signs of 32 columns
// at once, a set bit for each one that is negative.
std::uint32_t hadamard_signs(Index row, Index word) noexcept {
  constexpr std::array<std::uint32_t, 5> kAlternating{0xAAAAAAAAU, 0xCCCCCCCCU, 0xF0F0F0F0U, 0xFF00FF00U, 0xFFFF0000U};
  std::uint32_t negative = (std::popcount(static_cast<std::uint64_t>(row) & (static_cast<std::uint64_t>(word) << 5)) & 1) != 0 ? ~0U : 0U;
  for (std::size_t bit = 0; bit < kAlternating.size(); ++bit)
    if ((row >> bit & 1) != 0) negative ^= kAlternating[bit];
  return negative;
}

/// Columns begin .. begin + out.size() - 1 of a row of a randomly signed Hadamard matrix, times scale; out.size() <= kChunk.
template <class S>
void fill_hadamard(const RandomStream& random, Index row, Index begin, S scale, std::span<S> out) {
  std::array<std::uint32_t, kChunk / 32 + 1> words{};
  const Index first = begin / 32, count = (begin + isize(out.size()) + 31) / 32 - first;
  random.fill_bits(std::span(words).first(usize(count)), first);
  for (Index w = 0; w < count; ++w) words[usize(w)] ^= hadamard_signs(row, first + w);
  spread_signs(words, begin % 32, scale, out);
}

template <class S>
void fill_coordinate(const ParameterLayout& layout, const RandomStream& random, MatrixRef<S> out) {
  out.setZero();
  std::vector<std::uint32_t> start(layout.units.size());
  random.fill_bits(start);
  for (std::size_t u = 0; u < layout.units.size(); ++u) {
    const Index size = layout.units[u].size();
    for (Index j = 0; j < out.rows(); ++j) {
      Index at = (static_cast<Index>(start[u] % static_cast<std::uint64_t>(size)) + j) % size;
      for (const Segment& s : layout.units[u].segments) {
        if (at < s.size) {
          out(j, s.begin + at) = S{1};
          break;
        }
        at -= s.size;
      }
    }
  }
}

}  // namespace

std::string to_string(Distribution d) {
  switch (d) {
    case Distribution::gaussian:
      return "gaussian";
    case Distribution::rademacher:
      return "rademacher";
    case Distribution::hadamard:
      return "hadamard";
    case Distribution::coordinate:
      return "coordinate";
  }
  return "unknown";
}

template <class S>
void fill_directions(const ParameterLayout& layout, Distribution distribution, const RandomStream& random, const Executor& executor,
                     MatrixRef<S> out) {
  if (distribution == Distribution::coordinate) return fill_coordinate<S>(layout, random, out);
  const Index m = out.rows();
  const Index dimension = out.cols();
  const std::vector<Piece> pieces = pieces_of(layout, m);
  Index covered = 0;
  for (const Unit& u : layout.units) covered += u.size();
  if (covered != dimension) out.setZero();

  std::vector<double> norms(pieces.size(), 0.0);
  const auto unit_count = isize(layout.units.size());
  const auto values_of = [&](const Piece& p) { return std::span<S>(&out(p.direction, p.begin), usize(p.size)); };
  executor.run(isize(pieces.size()), [&](Index i) {
    const Piece& p = pieces[usize(i)];
    const std::span<S> v = values_of(p);
    if (distribution == Distribution::gaussian) {
      random.fill_normal(v, p.direction * dimension + p.begin);
      norms[usize(i)] = squared_norm(std::span<const S>(v));
      return;
    }
    const S scale = static_cast<S>(1.0 / std::sqrt(static_cast<double>(layout.units[usize(p.unit)].size())));
    // Hadamard: one draw of signs for the whole step, each direction flips its own half of the columns.
    if (distribution == Distribution::hadamard)
      fill_hadamard<S>(random, p.direction, p.begin, scale, v);
    else
      random.fill_sign(v, p.direction * dimension + p.begin, scale);
  });
  if (distribution != Distribution::gaussian) return;

  std::vector<double> total(usize(m * unit_count), 0.0);
  for (std::size_t i = 0; i < pieces.size(); ++i) total[usize(pieces[i].direction * unit_count + pieces[i].unit)] += norms[i];
  executor.run(isize(pieces.size()), [&](Index i) {
    const Piece& p = pieces[usize(i)];
    const double squared = total[usize(p.direction * unit_count + p.unit)];
    const S scale = squared > 0.0 ? static_cast<S>(1.0 / std::sqrt(squared)) : S{0};
    for (S& v : values_of(p)) v *= scale;
  });
}

template void fill_directions<float>(const ParameterLayout&, Distribution, const RandomStream&, const Executor&, MatrixRef<float>);
template void fill_directions<double>(const ParameterLayout&, Distribution, const RandomStream&, const Executor&, MatrixRef<double>);

}  // namespace ffzero
