// NumPy .npz archives: the format of checkpoints and of users' own data.
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

/// One array as it stands in the file: little-endian, C order. Fortran order is converted when read, and the integer types that are
/// not listed here are widened (int8, int16, uint16 to i32; uint32 to i64); float16, uint64 and objects are refused. Text has a fixed
/// width, in code points of 4 bytes, filled up with zeros.
struct NpyArray {
  enum class Type { u8, i32, i64, f32, f64, c64, c128, boolean, text };
  Type type = Type::f32;
  std::vector<Index> shape;  ///< empty: a scalar
  std::vector<std::byte> bytes;
  Index width = 0;  ///< code points an element; 0 for numbers

  [[nodiscard]] Index size() const noexcept;  ///< number of elements
  /// All elements converted. Complex arrays are refused (use to_complex_pairs), and so is a value that an integer T cannot hold
  /// exactly (2.5, NaN, 300 as a byte); NaN and infinity pass into floats. @throws DataError naming the value and its index.
  template <class T>  // float, double, std::int32_t, std::int64_t, std::uint8_t
  [[nodiscard]] std::vector<T> to() const;
  /// All elements of a text array in UTF-8. @throws DataError if the array holds numbers, or what is no code point
  [[nodiscard]] std::vector<std::string> to_texts() const;
  /// Real arrays get zero imaginary parts; returns re, im, re, im, ...
  [[nodiscard]] std::vector<double> to_complex_pairs() const;
  friend bool operator==(const NpyArray&, const NpyArray&) = default;
  [[nodiscard]] bool is_complex() const noexcept { return type == Type::c64 || type == Type::c128; }

  template <class T>  // float, double, std::int32_t, std::int64_t, std::uint8_t
  [[nodiscard]] static NpyArray of(std::span<const T> values, std::vector<Index> shape);  ///< @throws ShapeError
};

/// Name (without ".npy") -> array.
using NpzArchive = std::map<std::string, NpyArray>;

/// Stored and deflated members are read; CRCs are verified. Members that are not called *.npy are passed over.
/// @throws DataError with path, member and reason; archives beyond 4 GiB (zip64) and encrypted ones are refused.
[[nodiscard]] NpzArchive read_npz(const std::filesystem::path& path);
/// The same from memory; `place` stands for the path in messages. Safe for any bytes whatsoever.
[[nodiscard]] NpzArchive parse_npz(std::span<const std::byte> bytes, const std::string& place = "archive");
/// Members are deflated if that makes them smaller (`compress`; of those above 256 KiB the first 64 KiB decide, by an eighth at least);
/// written atomically. numpy.load reads it. Same input: same bytes.
/// @throws OutputError if the file cannot be written or would need more than 4 GiB.
void write_npz(const std::filesystem::path& path, const NpzArchive& arrays, bool compress = false);
/// The bytes that write_npz would write.
[[nodiscard]] std::string npz_bytes(const NpzArchive& arrays, bool compress = false);

}  // namespace ffzero
