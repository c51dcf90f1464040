// Products with matrices that are mostly zero. Private to tensor; see sparse.hpp.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <type_traits>

#include "ffzero/base/index.hpp"

namespace ffzero::sparse_kernel {

template <class S>
using Position = std::conditional_t<sizeof(S) == 4, std::uint32_t, std::uint64_t>;

/// Positions whose entries are counted together.
inline constexpr Index kPiece = 16;
[[nodiscard]] constexpr Index pieces_of(Index length) { return divide_up(length, kPiece); }
/// Numbers beyond the entries that compress() may overwrite.
inline constexpr Index kSlack = 16;

/// `lines` lines of `length` numbers without their zeros: values and where in the line they stood, line after line.
template <class S>
struct Lines {
  Index lines = 0, length = 0;
  const S* values = nullptr;
  const Position<S>* positions = nullptr;
  const std::uint32_t* ends = nullptr;  ///< (lines * pieces + 1): entries in front of each piece, and of them all
};

template <class S>
struct View {
  const S* data;
  Index stride;
};

/// Numbers that are not 0 in a matrix (rows, columns).
Index count(View<float> x, Index rows, Index columns);
Index count(View<double> x, Index rows, Index columns);

/// The rows of x (lines, length); returns the number of entries. Not-a-number is an entry.
Index compress(View<float> x, Index lines, Index length, float* values, Position<float>* positions, std::uint32_t* ends);
Index compress(View<double> x, Index lines, Index length, double* values, Position<double>* positions, std::uint32_t* ends);

/// to (columns, rows) = x^T.  x (rows, columns)   to: rows packed, `rows` numbers apart.
void transpose(View<float> x, Index rows, Index columns, float* to);
void transpose(View<double> x, Index rows, Index columns, double* to);

/// What an operand is packed for: rows of the other one without their zeros, or rows as they are.
enum class Use { lines, rows };

/// An operand b (outputs, length), packed: tiles of some vectors of outputs, of each the numbers of one input side by side.
struct Packing {
  Index outputs = 0, length = 0;
  Use use = Use::rows;
};
/// Numbers of a packed operand, for vectors of up to 16 numbers.
[[nodiscard]] constexpr Index packed_size(Packing p) { return (p.outputs + 15) / 16 * 16 * p.length; }

/// Inputs [first, last) of b to their places; packed begins where vectors do.
void pack(View<float> b, Packing packing, Index first, Index last, float* packed);
void pack(View<double> b, Packing packing, Index first, Index last, double* packed);

/// c (lines, outputs) = x b^T + 1 offset^T, b packed for lines.
void affine_lines(const Lines<float>& x, const float* packed, Index outputs, const float* offset, float* c, Index c_stride);
void affine_lines(const Lines<double>& x, const double* packed, Index outputs, const double* offset, double* c, Index c_stride);

/// The same for x (rows, length), b packed for rows; offset null: 0.
void affine_rows(View<float> x, Index rows, Index length, const float* packed, Index outputs, const float* offset, float* c,
                 Index c_stride);
void affine_rows(View<double> x, Index rows, Index length, const double* packed, Index outputs, const double* offset, double* c,
                 Index c_stride);

/// c (outputs, lines) += a^T x^T: the lines of x are the columns of the matrix that a multiplies.   a (length, outputs)
void add_tn(View<float> a, Index outputs, const Lines<float>& x, float* c, Index c_stride);
void add_tn(View<double> a, Index outputs, const Lines<double>& x, double* c, Index c_stride);

/// Classes of positions that hadamard_nt sums apart, and directions that one product serves.
inline constexpr Index kClasses = 16;

/// to (rows * 16, stride): row b * 16 + c holds the columns c, c + 16, .. of row b of x, then zeros.  stride >= columns / 16 + 1
void split_classes(View<float> x, Index rows, Index columns, Index stride, float* to);
void split_classes(View<double> x, Index rows, Index columns, Index stride, double* to);

/// p (rows, directions * outputs): direction j is W (outputs, inputs) then offsets (outputs), signs times row j of a Hadamard matrix, and
/// columns [j outputs, (j + 1) outputs) are x W^T + offsets. x: lines from split_classes, 16 a row. The product is summed by the position
/// of the weights modulo 16, so that 16 directions cost one product and a transform of the sums.
void hadamard_nt(const Lines<float>& x, Index inputs, const float* signs, Index outputs, Index directions, float* p, Index p_stride);
void hadamard_nt(const Lines<double>& x, Index inputs, const double* signs, Index outputs, Index directions, double* p, Index p_stride);

}  // namespace ffzero::sparse_kernel
