// The mesh as the definition reads, one sample after the other.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/reference_mesh.hpp"

#include <cmath>
#include <complex>
#include <vector>

namespace ffzero {

namespace {

template <class S>
using Complex = std::complex<S>;
template <class S>
using Row = std::vector<Complex<S>>;

/// a' = i exp(i phi) (sin t a + cos t b),  b' = i (cos t a - sin t b),  t = theta/2.
template <class S>
struct Interferometer {
  S sin_t, cos_t;
  Complex<S> phase;  // exp(i phi)
};

template <class S>
Complex<S> times_i(Complex<S> v) {
  return {-v.imag(), v.real()};
}
template <class S>
Complex<S> times_minus_i(Complex<S> v) {
  return {v.imag(), -v.real()};
}
/// Re(conj(g) v): what the change v of a value with gradient g adds to the loss.
template <class S>
double real_product(Complex<S> g, Complex<S> v) {
  return static_cast<double>(g.real() * v.real() + g.imag() * v.imag());
}

/// Sines and cosines of all phases, column by column.
template <class S>
class Mesh {
 public:
  Mesh(const MeshLayout& layout, std::span<const S> theta) : layout_(layout) {
    for (Index l = 0; l < layout.columns(); ++l) {
      first_.push_back(isize(devices_.size()));
      for (Index k = 0; k < layout.pairs(l); ++k) {
        const S t = theta[usize(layout.offset(l) + k)] / 2;
        const S phi = theta[usize(layout.phi_begin() + layout.offset(l) + k)];
        devices_.push_back({std::sin(t), std::cos(t), {std::cos(phi), std::sin(phi)}});
      }
    }
    for (Index w = 0; w < layout.ports(); ++w) {
      const S gamma = theta[usize(layout.gamma_begin() + w)];
      input_phase_.push_back({std::cos(gamma), std::sin(gamma)});
    }
  }

  [[nodiscard]] const Complex<S>& input_phase(Index waveguide) const { return input_phase_[usize(waveguide)]; }
  [[nodiscard]] const Interferometer<S>& device(Index column, Index pair) const { return devices_[usize(first_[usize(column)] + pair)]; }

  void apply_input_phases(Row<S>& field) const {
    for (std::size_t w = 0; w < field.size(); ++w) field[w] *= input_phase_[w];
  }

  void apply_column(Index l, Row<S>& field) const {
    for (Index k = 0; k < layout_.pairs(l); ++k) {
      const auto& d = device(l, k);
      Complex<S>& a = field[usize(MeshLayout::top_waveguide(l, k))];
      Complex<S>& b = field[usize(MeshLayout::top_waveguide(l, k) + 1)];
      const Complex<S> upper = times_i(d.sin_t * a + d.cos_t * b) * d.phase;
      b = times_i(d.cos_t * a - d.sin_t * b);
      a = upper;
    }
    pass(l, field, times_minus_i<S>);
  }

  /// The adjoint of apply_column, which is its inverse too.
  void undo_column(Index l, Row<S>& field) const {
    for (Index k = 0; k < layout_.pairs(l); ++k) {
      const auto& d = device(l, k);
      Complex<S>& a = field[usize(MeshLayout::top_waveguide(l, k))];
      Complex<S>& b = field[usize(MeshLayout::top_waveguide(l, k) + 1)];
      const Complex<S> u = times_minus_i(a * std::conj(d.phase));
      const Complex<S> v = times_minus_i(b);
      a = d.sin_t * u + d.cos_t * v;
      b = d.cos_t * u - d.sin_t * v;
    }
    pass(l, field, times_i<S>);
  }

 private:
  /// Applies `factor` to every waveguide that passes column l outside its interferometers with factor -i.
  template <class Factor>
  void pass(Index l, Row<S>& field, Factor factor) const {
    const Index n = layout_.ports();
    for (Index k = layout_.pairs(l); k < layout_.neighbours(l); ++k) {
      for (Index w = MeshLayout::top_waveguide(l, k); w < MeshLayout::top_waveguide(l, k) + 2; ++w)
        field[usize(w)] = factor(field[usize(w)]);
    }
    if (n % 2 != 0 || l % 2 == 0) return;
    field.front() = factor(field.front());
    field.back() = factor(field.back());
  }

  const MeshLayout& layout_;
  std::vector<Index> first_;
  std::vector<Interferometer<S>> devices_;
  std::vector<Complex<S>> input_phase_;
};

template <class S>
void load(const ConstMatrixRef<S>& m, Index row, Row<S>& field) {
  const Index n = isize(field.size());
  for (Index w = 0; w < n; ++w) field[usize(w)] = {m(row, w), m(row, n + w)};
}

template <class S>
void store(const Row<S>& field, MatrixRef<S> m, Index row) {
  const Index n = isize(field.size());
  for (Index w = 0; w < n; ++w) {
    m(row, w) = field[usize(w)].real();
    m(row, n + w) = field[usize(w)].imag();
  }
}

/// Slopes of column l, from the light and its gradient behind that column.
template <class S>
void add_slopes(const MeshLayout& layout, const Mesh<S>& mesh, Index l, const Row<S>& light, const Row<S>& gradient,
                std::vector<double>& slopes) {
  for (Index k = 0; k < layout.pairs(l); ++k) {
    const auto& d = mesh.device(l, k);
    const std::size_t w = usize(MeshLayout::top_waveguide(l, k));
    // da'/dphi = i a';  with a'' = exp(-i phi) a':  da''/dtheta = b'/2,  db'/dtheta = -a''/2.
    slopes[usize(layout.phi_begin() + layout.offset(l) + k)] += real_product(gradient[w], times_i(light[w]));
    slopes[usize(layout.offset(l) + k)] +=
        0.5 * (real_product(gradient[w] * std::conj(d.phase), light[w + 1]) - real_product(gradient[w + 1], light[w] * std::conj(d.phase)));
  }
}

}  // namespace

template <class S>
void reference_forward(const MeshLayout& layout, std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) {
  const Mesh<S> mesh(layout, theta);
  Row<S> field(usize(layout.ports()));
  for (Index row = 0; row < x.rows(); ++row) {
    load<S>(x, row, field);
    mesh.apply_input_phases(field);
    for (Index l = 0; l < layout.columns(); ++l) mesh.apply_column(l, field);
    store<S>(field, y, row);
  }
}

template <class S>
void reference_pullback(const MeshLayout& layout, std::span<const S> theta, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                        std::span<S> gtheta, MatrixRef<S>* gx) {
  const Mesh<S> mesh(layout, theta);
  Row<S> light(usize(layout.ports()));
  Row<S> gradient(usize(layout.ports()));
  std::vector<double> slopes(gtheta.size(), 0.0);
  for (Index row = 0; row < y.rows(); ++row) {
    load<S>(y, row, light);
    load<S>(gy, row, gradient);
    for (Index l = layout.columns() - 1; l >= 0; --l) {
      add_slopes(layout, mesh, l, light, gradient, slopes);
      mesh.undo_column(l, light);
      mesh.undo_column(l, gradient);
    }
    for (Index w = 0; w < layout.ports(); ++w) {
      slopes[usize(layout.gamma_begin() + w)] += real_product(gradient[usize(w)], times_i(light[usize(w)]));
      gradient[usize(w)] *= std::conj(mesh.input_phase(w));
    }
    if (gx != nullptr) store<S>(gradient, *gx, row);
  }
  for (std::size_t i = 0; i < gtheta.size(); ++i) gtheta[i] += static_cast<S>(slopes[i]);
}

template <class S>
Matrix<S> reference_fields(const MeshLayout& layout, std::span<const S> theta, std::span<const S> x_row) {
  const Mesh<S> mesh(layout, theta);
  Matrix<S> fields(layout.columns() + 2, 2 * layout.ports());
  Row<S> field(usize(layout.ports()));
  load<S>(Eigen::Map<const Matrix<S>>(x_row.data(), 1, isize(x_row.size())), 0, field);
  store<S>(field, fields, 0);
  mesh.apply_input_phases(field);
  store<S>(field, fields, 1);
  for (Index l = 0; l < layout.columns(); ++l) {
    mesh.apply_column(l, field);
    store<S>(field, fields, 2 + l);
  }
  return fields;
}

#define FFZERO_INSTANTIATE(S)                                                                                                    \
  template void reference_forward<S>(const MeshLayout&, std::span<const S>, const ConstMatrixRef<S>&, MatrixRef<S>);             \
  template void reference_pullback<S>(const MeshLayout&, std::span<const S>, const ConstMatrixRef<S>&, const ConstMatrixRef<S>&, \
                                      std::span<S>, MatrixRef<S>*);                                                              \
  template Matrix<S> reference_fields<S>(const MeshLayout&, std::span<const S>, std::span<const S>);
FFZERO_INSTANTIATE(float)
FFZERO_INSTANTIATE(double)
#undef FFZERO_INSTANTIATE

}  // namespace ffzero
