// What the ranks of one training tell one another.
// SPDX-License-Identifier: MIT
#include "ffzero/base/exchange.hpp"

#include <algorithm>
#include <numeric>

namespace ffzero {

void Exchange::gather(std::span<std::byte> all, std::span<const std::size_t> sizes) {
  if (sizes.size() != usize(size()) || std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}) != all.size())
    throw ShapeError("exchange", "the bytes of every rank, and room for all of them");
  if (alone()) return;
  ++traffic_.gathers;
  traffic_.bytes += static_cast<std::int64_t>(all.size());
  gather_bytes(all, sizes);
}

void Exchange::gather_units(Index units, Index each, std::span<double> table) {
  if (alone()) return;
  std::vector<std::size_t> sizes;
  for (int r = 0; r < size(); ++r) sizes.push_back(usize(part_of(units, r).size() * each) * sizeof(double));
  gather(std::as_writable_bytes(table), sizes);
}

void Exchange::gather_words(std::span<std::uint64_t> table) {
  if (alone()) return;
  const std::vector<std::size_t> sizes(usize(size()), table.size_bytes() / usize(size()));
  gather(std::as_writable_bytes(table), sizes);
}

bool Exchange::any(bool mine) {
  std::vector<std::uint64_t> said(usize(size()));
  said[usize(rank())] = mine ? 1 : 0;
  gather_words(said);
  return std::any_of(said.begin(), said.end(), [](std::uint64_t word) { return word != 0; });
}

std::vector<std::string> Exchange::gather_texts(const std::string& own) {
  if (alone()) return {own};
  std::vector<std::uint64_t> lengths(usize(size()));
  lengths[usize(rank())] = own.size();
  gather_words(lengths);
  const std::vector<std::size_t> sizes(lengths.begin(), lengths.end());
  std::string all(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}), '\0');
  std::size_t at = std::accumulate(sizes.begin(), sizes.begin() + rank(), std::size_t{0});
  std::copy(own.begin(), own.end(), all.begin() + isize(at));
  gather(std::as_writable_bytes(std::span(all.data(), all.size())), sizes);
  std::vector<std::string> texts;
  at = 0;
  for (const std::size_t length : sizes) {
    texts.push_back(all.substr(at, length));
    at += length;
  }
  return texts;
}

}  // namespace ffzero
