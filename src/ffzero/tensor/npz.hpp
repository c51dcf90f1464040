// NumPy .npz archives: the format of checkpoints and of users' own data. Dependency level 1 (tensor).
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/index.hpp"

namespace ffzero {

/// One array as it stands in the file: little-endian, C order (Fortran order is converted when read).
struct NpyArray {
  enum class Type { u8, i32, i64, f32, f64, c64, c128, boolean };
  Type type = Type::f32;
  std::vector<Index> shape;  ///< empty: a scalar
  std::vector<std::byte> bytes;

  [[nodiscard]] Index size() const noexcept;  ///< number of elements
  /// All elements converted. Complex arrays are refused (use to_complex_pairs). @throws DataError on NaN only if asked by the caller.
  template <class T>  // float, double, std::int32_t, std::int64_t, std::uint8_t
  [[nodiscard]] std::vector<T> to() const;
  /// Real arrays get zero imaginary parts; returns re, im, re, im, ...
  [[nodiscard]] std::vector<double> to_complex_pairs() const;
  [[nodiscard]] bool is_complex() const noexcept { return type == Type::c64 || type == Type::c128; }

  template <class T>  // float, double, std::int32_t, std::int64_t, std::uint8_t
  [[nodiscard]] static NpyArray of(std::span<const T> values, std::vector<Index> shape);
};

/// Name (without ".npy") -> array.
using NpzArchive = std::map<std::string, NpyArray>;

/// Stored and deflated members are read; CRCs are verified. @throws DataError with path, member and reason.
[[nodiscard]] NpzArchive read_npz(const std::filesystem::path& path);
/// Members are deflated if that makes them smaller (`compress`); written atomically. numpy.load reads it. Same input: same bytes.
void write_npz(const std::filesystem::path& path, const NpzArchive& arrays, bool compress = false);
/// The bytes that write_npz would write.
[[nodiscard]] std::string npz_bytes(const NpzArchive& arrays, bool compress = false);

}  // namespace ffzero
