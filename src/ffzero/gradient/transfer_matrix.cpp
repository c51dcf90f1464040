// Phase retrieval, generators by damped Gauss-Newton steps, corrections.
// SPDX-License-Identifier: MIT
#include "ffzero/gradient/transfer_matrix.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/base/random.hpp"
#include "ffzero/gradient/slope_kernel-inl.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/tensor/hermitian.hpp"

namespace ffzero {

namespace {

using Complex = std::complex<double>;
constexpr Complex kI{0.0, 1.0};

constexpr Index kRounds = 6;                               // of the corrections of a fit for the length of its step
constexpr double kBetter = 0.8;                            // a round must bring the held-out miss below this share of what it was
constexpr double kVisible = 0.5;                           // energy of changes, in that of noise, that says anything
constexpr double kLuck = 0.3;                              // of the noise's energy, which a good fit may miss by chance
constexpr std::uint64_t kProbeSeed = 0x7472616E73666572U;  // of the references, which are always the same

double squared(const Matrix<double>& m) { return m.squaredNorm(); }

using Row = Eigen::RowVectorXd;
using Column = Eigen::VectorXd;

/// 1 / mean power of each sample: noise of readings is alike in these units.  powers (outputs, B)
Row weights_of(const Matrix<double>& powers) { return powers.colwise().mean().cwiseMax(1e-30).cwiseInverse(); }

/// Misses of powers in units of each sample's mean power, and their derivative in U; outputs are independent of each other.
class PowerModel {
 public:
  PowerModel(const ComplexMatrix& x, const Matrix<double>& powers) : x_(x), powers_(powers), weights_(weights_of(powers)) {}

  /// Readings minus model.
  [[nodiscard]] Matrix<double> miss(const ComplexMatrix& u) { return weighted(powers_ - product(u, x_).cwiseAbs2()); }
  void stand_at(const ComplexMatrix& u) { y_ = product(u, x_); }
  [[nodiscard]] Matrix<double> forward(const ComplexMatrix& change) const {
    return weighted(2.0 * y_.conjugate().cwiseProduct(product(change, x_)).real());
  }
  [[nodiscard]] ComplexMatrix backward(const Matrix<double>& misses) const {
    return 2.0 * product_adjoint(weighted(misses).cast<Complex>().cwiseProduct(y_), x_);
  }

 private:
  [[nodiscard]] Matrix<double> weighted(const Matrix<double>& m) const { return m * weights_.asDiagonal(); }
  const ComplexMatrix& x_;
  const Matrix<double>& powers_;
  Row weights_;
  ComplexMatrix y_;
};

/// Damped Gauss-Newton steps for all outputs at once, each with a damping of its own.
void improve(PowerModel& model, ComplexMatrix& u, Index readings) {
  constexpr Index kPasses = 12, kInner = 30;
  constexpr double kExact = 1e-10, kStill = 1e-3;  // squared misses a reading; share by which a pass must better them
  Matrix<double> misses = model.miss(u);
  Column errors = misses.rowwise().squaredNorm(), damping = Column::Constant(u.rows(), 1e-3);
  for (Index pass = 0; pass < kPasses && errors.sum() > kExact * static_cast<double>(readings * u.rows()); ++pass) {
    model.stand_at(u);
    ComplexMatrix change = ComplexMatrix::Zero(u.rows(), u.cols()), rest = model.backward(misses), along = rest;
    Column sizes = rest.rowwise().squaredNorm();
    const Column curvature = model.forward(rest).rowwise().squaredNorm().cwiseQuotient(sizes.cwiseMax(1e-300));
    const Column added = damping.cwiseProduct(curvature);
    for (Index i = 0; i < kInner; ++i) {
      const ComplexMatrix image = model.backward(model.forward(along)) + added.cast<Complex>().asDiagonal() * along;
      const Column along_image = along.conjugate().cwiseProduct(image).real().rowwise().sum();
      const Column lengths = sizes.cwiseQuotient(along_image.cwiseMax(1e-300));
      change += lengths.cast<Complex>().asDiagonal() * along;
      rest -= lengths.cast<Complex>().asDiagonal() * image;
      const Column next = rest.rowwise().squaredNorm();
      along = rest + next.cwiseQuotient(sizes.cwiseMax(1e-300)).cast<Complex>().asDiagonal() * along;
      sizes = next;
    }
    const double before = errors.sum();
    const Matrix<double> found = model.miss(u + change);
    for (Index k = 0; k < u.rows(); ++k) {
      const double error = found.row(k).squaredNorm();
      if (error < errors[k]) {
        u.row(k) += change.row(k);
        misses.row(k) = found.row(k);
        errors[k] = error;
        damping[k] /= 4.0;
      } else {
        damping[k] *= 10.0;
      }
    }
    if (pass > 1 && before - errors.sum() < kStill * before) return;
  }
}

/// S rows: the signs of a generator's columns.
ComplexMatrix signed_rows(ComplexMatrix rows) {
  if (rows.rows() > 1) rows.row(1) = -rows.row(1);
  return rows;
}

Index stride_of(Index outputs) { return divide_up(outputs, slope_kernel::kPad) * slope_kernel::kPad; }

/// Fields, or columns of a generator, as slope_kernel keeps them.  m (outputs, count)   returns count x (2, stride)
Column parts_of(const ComplexMatrix& m) {
  const Index stride = stride_of(m.rows());
  Column parts = Column::Zero(2 * stride * m.cols());
  for (Index j = 0; j < m.cols(); ++j) {
    parts.segment(2 * j * stride, m.rows()) = m.col(j).real();
    parts.segment((2 * j + 1) * stride, m.rows()) = m.col(j).imag();
  }
  return parts;
}

/// The reverse.
ComplexMatrix of_parts(const Column& parts, Index outputs, Index count) {
  const Index stride = stride_of(outputs);
  ComplexMatrix m(outputs, count);
  for (Index j = 0; j < count; ++j) {
    m.col(j).real() = parts.segment(2 * j * stride, outputs);
    m.col(j).imag() = parts.segment((2 * j + 1) * stride, outputs);
  }
  return m;
}

/// The misses of a generator and their derivative J in its parts. J^T J in float: systems are solved to a few percent only.
class SlopeModel {
 public:
  SlopeModel(const ComplexMatrix& y, const Matrix<double>& slopes, Index rank)
      : stride_(stride_of(y.rows())),
        samples_(y.cols()),
        rank_(rank),
        fields_(parts_of(y)),
        seen_(2 * rank * samples_),
        fields_single_(fields_.cast<float>()) {
    slopes_ = Column::Zero(samples_ * stride_);
    for (Index b = 0; b < samples_; ++b) slopes_.segment(b * stride_, y.rows()) = slopes.col(b);
  }

  /// Model minus slopes, and the sum of its squares; J is that at v from here on.
  double miss(const Column& v, Column& misses) {
    at_ = v;
    misses.resize(slopes_.size());
    const double squares = slope_kernel::miss(fields(), point(), slopes_.data(), misses.data());
    at_single_ = at_.cast<float>();
    seen_single_ = seen_.cast<float>();
    return squares;
  }
  /// J^T misses.
  [[nodiscard]] Column backward(const Column& misses) {
    Column out(at_.size());
    slope_kernel::backward(fields(), point(), misses.data(), out.data());
    return out;
  }
  /// image = J^T J change.
  void normal(const Eigen::VectorXf& change, Eigen::VectorXf& image) {
    image.resize(at_.size());
    slope_kernel::normal({.y = fields_single_.data(), .samples = samples_, .stride = stride_},
                         {.v = at_single_.data(), .seen = seen_single_.data(), .rank = rank_}, change.data(), image.data());
  }

 private:
  [[nodiscard]] slope_kernel::Fields<double> fields() const { return {.y = fields_.data(), .samples = samples_, .stride = stride_}; }
  [[nodiscard]] slope_kernel::Point<double> point() { return {.v = at_.data(), .seen = seen_.data(), .rank = rank_}; }
  Index stride_, samples_, rank_;
  Column fields_, slopes_, at_, seen_;
  Eigen::VectorXf fields_single_, at_single_, seen_single_;
};

/// d with (J^T J + damping) d = -slope, roughly, by conjugate gradients.
Eigen::VectorXf solve(SlopeModel& model, const Eigen::VectorXf& slope, float damping) {
  constexpr Index kMost = 24;
  constexpr float kEnough = 1e-3F;
  Eigen::VectorXf change = Eigen::VectorXf::Zero(slope.size()), rest = -slope, along = rest, image;
  float size = rest.squaredNorm();
  const float enough = kEnough * size;
  for (Index i = 0; i < kMost && size > enough; ++i) {
    model.normal(along, image);
    image += damping * along;
    const float length = size / along.dot(image);
    change += length * along;
    rest -= length * image;
    const float next = rest.squaredNorm();
    along = rest + (next / size) * along;
    size = next;
  }
  return change;
}

/// Damped Gauss-Newton steps.
void descend(SlopeModel& model, Column& v, double scale) {
  constexpr Index kSteps = 30, kTries = 5;
  constexpr double kDone = 1e-7, kStill = 1e-2;
  Column misses, there;
  Eigen::VectorXf image;
  double error = model.miss(v, misses), damping = 1e-3;
  for (Index step = 0; step < kSteps && error > kDone * scale; ++step) {
    // In units of its own length: float has room for the squares of what is left of it.
    const Column backward = model.backward(misses);
    const double length = backward.norm();
    const Eigen::VectorXf slope = (backward / std::max(length, 1e-300)).cast<float>();
    model.normal(slope, image);
    const double curvature = static_cast<double>(slope.dot(image));
    if (!(curvature > 0.0)) return;
    bool better = false;
    for (Index attempt = 0; attempt < kTries && !better; ++attempt) {
      const Column moved = v + length * solve(model, slope, static_cast<float>(damping * curvature)).cast<double>();
      const double found = model.miss(moved, there);
      if (found < error) {
        better = true;
        const bool still = error - found < kStill * error;
        v = moved;
        misses = there;
        error = found;
        damping = std::max(damping / 4.0, 1e-9);
        if (still) return;
      } else {
        static_cast<void>(model.miss(v, misses));
        damping *= 10.0;
      }
    }
    if (!better) return;
  }
}

/// Sum over slopes of their matrices, whose strongest parts are starts of a fit.
HermitianEigen slope_matrix(const ComplexMatrix& y, const Matrix<double>& slopes) {
  const ComplexMatrix weighted = product_adjoint(-kI * slopes.cast<Complex>().cwiseProduct(y), y);
  return hermitian_eigen(0.5 * (weighted + weighted.adjoint()));
}
ComplexMatrix strongest(const HermitianEigen& eigen, const ComplexMatrix& y, const Matrix<double>& slopes, Index rank) {
  const Index n = y.rows();
  ComplexMatrix v(n, rank);
  v.col(0) = eigen.vectors.col(n - 1);
  if (rank > 1) v.col(1) = eigen.vectors.col(0);
  const Matrix<double> model = power_slopes({v}, y);
  const double fit = model.cwiseProduct(slopes).sum() / std::max(squared(model), 1e-300);
  return v * std::sqrt(std::max(fit, 1e-6));
}

}  // namespace

ComplexMatrix fields_of(const ConstMatrixRef<float>& x) {
  const Index n = x.cols() / 2;
  ComplexMatrix fields(n, x.rows());
  fields.real() = x.leftCols(n).cast<double>().transpose();
  fields.imag() = x.rightCols(n).cast<double>().transpose();
  return fields;
}

Matrix<float> transfer_probes(Index n) {
  Matrix<float> probes = Matrix<float>::Zero(transfer_probe_count(n), 2 * n);
  Index row = 0;
  for (; row < n; ++row) probes(row, row) = 1.0F;
  for (Index r = 0; r < kTransferReferences; ++r) {
    // Random phases: no device is likely to hide an output from all of them.
    Vector<float> reference(2 * n);
    std::vector<double> phases(usize(n));
    RandomStream(kProbeSeed, Stream::direction, static_cast<std::uint32_t>(r)).fill_uniform(std::span<double>(phases));
    for (Index j = 0; j < n; ++j) {
      const Complex value = std::polar(1.0 / std::sqrt(static_cast<double>(n)), 2.0 * std::numbers::pi * phases[usize(j)]);
      reference[j] = static_cast<float>(value.real());
      reference[n + j] = static_cast<float>(value.imag());
    }
    probes.middleRows(row, 1 + 2 * n).rowwise() = reference.transpose();
    ++row;
    for (Index j = 0; j < n; ++j) {
      probes(row++, j) += 1.0F;
      probes(row++, n + j) += 1.0F;
    }
  }
  return probes;
}

ComplexMatrix retrieve_transfer(Index n, const ConstMatrixRef<float>& powers) {
  if (powers.rows() != transfer_probe_count(n))
    throw ShapeError("retrieve_transfer", "there must be a reading of each of " + std::to_string(transfer_probe_count(n)) + " probes",
                     std::to_string(powers.rows()));
  ComplexMatrix u(powers.cols(), n);
  for (Index k = 0; k < powers.cols(); ++k) {
    const auto power = [&](Index row) { return static_cast<double>(powers(row, k)); };
    const auto first = [&](Index r) { return n + r * (1 + 2 * n); };
    Index best = 0;
    for (Index r = 1; r < kTransferReferences; ++r)
      if (power(first(r)) > power(first(best))) best = r;
    const double length = std::sqrt(std::max(power(first(best)), 1e-30));
    for (Index j = 0; j < n; ++j) {
      // |r + u|^2 = r^2 + |u|^2 + 2 r Re u;  |r + i u|^2 = r^2 + |u|^2 - 2 r Im u, with r > 0 what the output sees of the reference.
      const double both = power(first(best)) + power(j);
      const Index row = first(best) + 1 + 2 * j;
      u(k, j) = Complex(power(row) - both, both - power(row + 1)) / (2.0 * length);
    }
  }
  const ComplexMatrix probes = fields_of(transfer_probes(n));
  const Matrix<double> read = powers.cast<double>().transpose();
  PowerModel model(probes, read);
  improve(model, u, powers.rows());
  return u;
}

void correct_transfer(ComplexMatrix& u, const ComplexMatrix& x, const ConstMatrixRef<float>& powers, double damping, double noise) {
  const Index samples = x.cols(), outputs = u.rows();
  const ComplexMatrix overlaps = adjoint_product(x, x).conjugate();  // (b, b'): x_b x_b'^+
  const ComplexMatrix y = product(u, x);
  const Matrix<double> read = powers.cast<double>().transpose();
  const Row weights = weights_of(read);
  const Matrix<double> rest = (read - y.cwiseAbs2()) * weights.asDiagonal();
  const Eigen::MatrixXd scales = 4.0 * weights.transpose() * weights;
  // Misses of the matrix have the variance (mean diagonal) x (that of its entries); noise comes on top.
  const double all = squared(rest) / static_cast<double>(outputs * samples), missed = all - noise * noise;
  if (!(missed > 0.0)) return;
  const double diagonal = (y.cwiseAbs2() * (scales.diagonal().array() * overlaps.diagonal().real().array()).matrix()).sum() /
                          static_cast<double>(outputs * samples);
  for (Index k = 0; k < outputs; ++k) {
    Matrix<double> gram(samples, samples);
    for (Index b = 0; b < samples; ++b)
      for (Index c = 0; c < samples; ++c) gram(b, c) = scales(b, c) * (std::conj(y(k, b)) * y(k, c) * overlaps(b, c)).real();
    gram.diagonal().array() += damping * gram.trace() / static_cast<double>(samples) + noise * noise / missed * diagonal + 1e-300;
    const Column found = positive_solution(gram, rest.row(k).transpose());
    for (Index b = 0; b < samples; ++b) u.row(k) += (2.0 * found[b] * weights[b]) * y(k, b) * x.col(b).adjoint();
  }
}

double transfer_error(const ComplexMatrix& u, const ComplexMatrix& x, const ConstMatrixRef<float>& powers) {
  const Matrix<double> read = powers.cast<double>().transpose(), model = product(u, x).cwiseAbs2();
  const Matrix<double> contrast = read.rowwise() - read.colwise().mean();
  return squared(read - model) / std::max(squared(contrast), 1e-300);
}

double reading_noise(const ConstMatrixRef<float>& first, const ConstMatrixRef<float>& second) {
  const Matrix<double> a = first.cast<double>().transpose(), b = second.cast<double>().transpose();
  return std::sqrt(squared((a - b) * weights_of(0.5 * (a + b)).asDiagonal()) / (2.0 * static_cast<double>(a.size())));
}

Matrix<double> power_slopes(const Generator& generator, const ComplexMatrix& y) {
  const ComplexMatrix seen = signed_rows(adjoint_product(generator.v, y));
  return (Complex(0.0, 2.0) * y.conjugate()).cwiseProduct(product(generator.v, seen)).real();
}

Matrix<double> power_changes(const Generator& generator, const ComplexMatrix& y, double step) {
  ComplexMatrix moved = y;
  turn(moved, generator, step);
  return moved.cwiseAbs2() - y.cwiseAbs2();
}

GeneratorFit fit_generator(const ComplexMatrix& y, const PowerChanges& seen, Index held_out, const Generator& start, double good) {
  const Index fitted = y.cols() - held_out;
  const ComplexMatrix y_in = y.leftCols(fitted), y_out = y.rightCols(held_out);
  const Matrix<double> in = seen.changes.leftCols(fitted), out = seen.changes.rightCols(held_out);
  const double noise_out = seen.noise * seen.noise * static_cast<double>(out.size()), signal = squared(out) - noise_out;
  GeneratorFit best{.generator = {ComplexMatrix::Zero(y.rows(), 1)}, .held_out = 1.0};
  if (!(signal > kVisible * noise_out) || !(signal > 0.0)) return best;
  const double scale = std::max(squared(in), 1e-300) / (seen.step * seen.step);
  const auto attempt = [&](ComplexMatrix v) {
    double before = std::numeric_limits<double>::infinity();
    for (Index round = 0; round < kRounds; ++round) {
      // In the middle of the step the third order is the first one that is missing; it is taken off.
      ComplexMatrix middle = y_in;
      Matrix<double> slopes = in / seen.step;
      if (round > 0) {
        turn(middle, {v}, 0.5 * seen.step);
        slopes -= power_changes({v}, y_in, seen.step) / seen.step - power_slopes({v}, middle);
      }
      SlopeModel model(middle, slopes, v.cols());
      Column parts = parts_of(v);
      descend(model, parts, scale);
      v = of_parts(parts, v.rows(), v.cols());
      // Turned by more than half a turn, it would explain the same with slopes that are too steep.
      if (!(std::abs(seen.step) * v.colwise().squaredNorm().maxCoeff() < std::numbers::pi)) return;
      const double miss = std::max(0.0, squared(power_changes({v}, y_out, seen.step) - out) - noise_out) / signal;
      if (miss < best.held_out) best = {.generator = {v}, .held_out = miss};
      if (!(miss < kBetter * before)) break;
      before = miss;
    }
  };
  const double enough = good + kLuck * noise_out / signal;
  if (start.v.size() > 0) attempt(start.v);
  if (!(best.held_out > enough)) return best;
  const Matrix<double> slopes = in / seen.step;
  const HermitianEigen eigen = slope_matrix(y_in, slopes);
  for (Index rank = 1; rank <= 2 && best.held_out > enough; ++rank) attempt(strongest(eigen, y_in, slopes, rank));
  return best;
}

void turn(ComplexMatrix& u, const Generator& generator, double angle) {
  // exp(i a V S V^+) = 1 + V (sum over k > 0 of (i a)^k (S V^+V)^(k-1) S / k!) V^+.
  const ComplexMatrix& v = generator.v;
  const Index rank = v.cols();
  const ComplexMatrix step = signed_rows(adjoint_product(v, v)), seen = signed_rows(adjoint_product(v, u));
  ComplexMatrix term = kI * angle * ComplexMatrix::Identity(rank, rank), sum = term;
  for (Index k = 2; k <= 40 && term.norm() > 1e-16 * sum.norm(); ++k) {
    term = ComplexMatrix(term.lazyProduct(step)) * (kI * angle / static_cast<double>(k));
    sum += term;
  }
  u += product(v, product(sum, seen));
}

}  // namespace ffzero
