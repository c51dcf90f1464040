// A mesh with imperfect interferometers as the definition reads.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/reference_chip.hpp"

#include <array>
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

namespace ffzero {

namespace {

using Number = std::complex<double>;
using Light = std::vector<Number>;
constexpr Number kI{0.0, 1.0};

/// Of row vectors: (a', b') = (a, b) M.
struct Two {
  Number aa, ab, ba, bb;
  friend Two operator*(const Two& m, const Two& n) {
    return {m.aa * n.aa + m.ab * n.ba, m.aa * n.ab + m.ab * n.bb, m.ba * n.aa + m.bb * n.ba, m.ba * n.ab + m.bb * n.bb};
  }
  friend Two operator*(double s, const Two& m) { return {s * m.aa, s * m.ab, s * m.ba, s * m.bb}; }
};

Two coupler(double delta) {
  const double u = 0.25 * std::numbers::pi + delta;
  return {std::cos(u), kI * std::sin(u), kI * std::sin(u), std::cos(u)};
}
Two coupler_slope(double delta) {
  const double u = 0.25 * std::numbers::pi + delta;
  return {-std::sin(u), kI * std::cos(u), kI * std::cos(u), -std::sin(u)};
}

/// left coupler, exp(+-i theta/2), right coupler, exp(i phi) above, loss; with the slopes in theta, phi and both angles.
struct Pair {
  Two value;
  std::array<Two, 4> slopes;
};

class ChipDefinition {
 public:
  ChipDefinition(const MeshLayout& layout, std::span<const double> errors, const Vector<double>& amplitude, std::span<const double> set)
      : layout_(layout), at_(layout) {
    pairs_.resize(usize(layout.block_size()));
    for (Index l = 0; l < layout.columns(); ++l)
      for (Index k = 0; k < layout.pairs(l); ++k) {
        const Index i = layout.offset(l) + k;
        const double t = 0.5 * set[usize(i)], phi = set[usize(layout.phi_begin() + i)], f = amplitude[i];
        const double left = errors[usize(at_.left() + i)], right = errors[usize(at_.right() + i)];
        const Two arms{std::exp(kI * t), 0.0, 0.0, std::exp(-kI * t)}, turned{0.5 * kI * arms.aa, 0.0, 0.0, -0.5 * kI * arms.bb};
        const Two out{std::exp(kI * phi), 0.0, 0.0, 1.0}, out_slope{kI * out.aa, 0.0, 0.0, 0.0};
        const Two l_value = coupler(left), r_value = coupler(right);
        pairs_[usize(i)] = {f * (l_value * arms * r_value * out),
                            {f * (l_value * turned * r_value * out), f * (l_value * arms * r_value * out_slope),
                             f * (coupler_slope(left) * arms * r_value * out), f * (l_value * arms * coupler_slope(right) * out)}};
      }
    for (Index w = 0; w < layout.ports(); ++w) gamma_.push_back(std::exp(kI * set[usize(layout.gamma_begin() + w)]));
  }

  void forward_input(Light& field) const {
    for (std::size_t w = 0; w < field.size(); ++w) field[w] *= gamma_[w];
  }
  void forward_column(Index l, Light& field) const {
    for_each_pair(
        l,
        [&](Index i, Number& a, Number& b) {
          const Two& m = pairs_[usize(i)].value;
          const Number above = a * m.aa + b * m.ba;
          b = a * m.ab + b * m.bb;
          a = above;
        },
        field);
    pass(l, field, -kI);
  }
  /// gradient: dL/dRe + i dL/dIm behind the column, then in front of it; light: in front of the column.
  void backward_column(Index l, Light& light, Light& gradient, std::span<double> gset, std::span<double> gerrors) const {
    pass(l, gradient, kI);
    for_each_pair(
        l,
        [&](Index i, Number& ga, Number& gb) {
          const Pair& pair = pairs_[usize(i)];
          const Index k = i - layout_.offset(l);
          const Number a = light[usize(MeshLayout::top_waveguide(l, k))], b = light[usize(MeshLayout::top_waveguide(l, k) + 1)];
          const auto slope = [&](const Two& m) {
            return (std::conj(ga) * (a * m.aa + b * m.ba) + std::conj(gb) * (a * m.ab + b * m.bb)).real();
          };
          gset[usize(i)] += slope(pair.slopes[0]);
          gset[usize(layout_.phi_begin() + i)] += slope(pair.slopes[1]);
          gerrors[usize(at_.left() + i)] += slope(pair.slopes[2]);
          gerrors[usize(at_.right() + i)] += slope(pair.slopes[3]);
          const Two& m = pair.value;
          const Number above = ga * std::conj(m.aa) + gb * std::conj(m.ab);
          gb = ga * std::conj(m.ba) + gb * std::conj(m.bb);
          ga = above;
        },
        gradient);
  }
  void backward_input(const Light& behind, Light& gradient, std::span<double> gset) const {
    for (std::size_t w = 0; w < gradient.size(); ++w) {
      gset[usize(layout_.gamma_begin()) + w] += (std::conj(gradient[w]) * kI * behind[w]).real();
      gradient[w] *= std::conj(gamma_[w]);
    }
  }

 private:
  template <class Visit>
  void for_each_pair(Index l, Visit&& visit, Light& field) const {
    for (Index k = 0; k < layout_.pairs(l); ++k) {
      const std::size_t top = usize(MeshLayout::top_waveguide(l, k));
      visit(layout_.offset(l) + k, field[top], field[top + 1]);
    }
  }
  /// Waveguides outside the interferometers of column l that pass with -i, times `factor`.
  void pass(Index l, Light& field, Number factor) const {
    for (Index k = layout_.pairs(l); k < layout_.neighbours(l); ++k)
      for (Index w = MeshLayout::top_waveguide(l, k); w < MeshLayout::top_waveguide(l, k) + 2; ++w) field[usize(w)] *= factor;
    if (layout_.ports() % 2 != 0 || l % 2 == 0) return;
    field.front() *= factor;
    field.back() *= factor;
  }

  const MeshLayout& layout_;
  ErrorLayout at_;
  std::vector<Pair> pairs_;
  std::vector<Number> gamma_;
};

Light row_of(const ConstMatrixRef<double>& m, Index row) {
  const Index n = m.cols() / 2;
  Light field;
  for (Index w = 0; w < n; ++w) field.emplace_back(m(row, w), m(row, n + w));
  return field;
}
void store_row(const Light& field, MatrixRef<double> m, Index row) {
  const Index n = m.cols() / 2;
  for (Index w = 0; w < n; ++w) {
    m(row, w) = field[usize(w)].real();
    m(row, n + w) = field[usize(w)].imag();
  }
}

}  // namespace

void reference_chip_forward(const MeshLayout& layout, std::span<const double> errors, const Vector<double>& amplitude,
                            std::span<const double> set, const ConstMatrixRef<double>& x, MatrixRef<double> y) {
  const ChipDefinition mesh(layout, errors, amplitude, set);
  for (Index row = 0; row < x.rows(); ++row) {
    Light field = row_of(x, row);
    mesh.forward_input(field);
    for (Index l = 0; l < layout.columns(); ++l) mesh.forward_column(l, field);
    store_row(field, y, row);
  }
}

Matrix<double> reference_chip_fields(const MeshLayout& layout, std::span<const double> errors, const Vector<double>& amplitude,
                                     std::span<const double> set, std::span<const double> x_row) {
  const ChipDefinition mesh(layout, errors, amplitude, set);
  Matrix<double> fields(layout.columns() + 2, 2 * layout.ports());
  fields.row(0) = as_vector(x_row).transpose();
  Light field = row_of(fields, 0);
  mesh.forward_input(field);
  store_row(field, fields, 1);
  for (Index l = 0; l < layout.columns(); ++l) {
    mesh.forward_column(l, field);
    store_row(field, fields, 2 + l);
  }
  return fields;
}

void reference_chip_pullback(const MeshLayout& layout, std::span<const double> errors, const Vector<double>& amplitude,
                             std::span<const double> set, const ConstMatrixRef<double>& x, const ConstMatrixRef<double>& gy,
                             std::span<double> gset, std::span<double> gerrors, MatrixRef<double>* gx) {
  const ChipDefinition mesh(layout, errors, amplitude, set);
  for (Index row = 0; row < x.rows(); ++row) {
    std::vector<Light> fronts;  // of column 0, 1, ..
    Light field = row_of(x, row);
    mesh.forward_input(field);
    for (Index l = 0; l < layout.columns(); ++l) {
      fronts.push_back(field);
      mesh.forward_column(l, field);
    }
    Light gradient = row_of(gy, row);
    for (Index l = layout.columns() - 1; l >= 0; --l) mesh.backward_column(l, fronts[usize(l)], gradient, gset, gerrors);
    mesh.backward_input(fronts.front(), gradient, gset);
    if (gx != nullptr) store_row(gradient, *gx, row);
  }
}

}  // namespace ffzero
