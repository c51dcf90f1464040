// Meshes of interferometers with the errors of chips, and their detectors.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/chip_mesh.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <type_traits>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/map/mesh/fast_mesh.hpp"
#include "ffzero/map/mesh/parallel_meshes.hpp"
#include "ffzero/map/mesh/reference_chip.hpp"
#include "ffzero/map/shape_check.hpp"

namespace ffzero {

// ---- Detectors -----------------------------------------------------------------------------------------------------------------

template <class S>
ChipReadout<S>::ChipReadout(std::vector<Chip> chips, Index ports)
    : chips_(std::move(chips)), ports_(ports), gain_(isize(chips_.size()) * ports) {
  for (std::size_t m = 0; m < chips_.size(); ++m) {
    // What is left of errors (ErrorLayout) behind the detectors' place: nothing.
    gain_.segment(isize(m) * ports, ports) = (1.0 + chips_[m].errors.tail(ports).array()).template cast<S>();
    noisy_ |= chips_[m].options.read_noise > 0.0;
    stepped_ |= chips_[m].options.adc_bits > 0;
  }
  gains_ = (gain_.array() != S{1}).any();
}

template <class S>
void ChipReadout<S>::read(const Reading& reading, MatrixRef<S> powers) const {
  if (ideal()) return;
  if (gains_) powers.array().rowwise() *= gain_.transpose().array();
  if (!noisy_ && !stepped_) return;
  Vector<S> noise;
  for (std::size_t m = 0; m < chips_.size(); ++m) {
    const ChipOptions& o = chips_[m].options;
    if (o.read_noise > 0.0) {
      noise.resize(powers.rows() * ports_);
      reading.random(o.seed, 0x8000U + chips_[m].part).fill_normal(as_span(noise), reading.series.first_row * ports_);
    }
    for (Index b = 0; b < powers.rows(); ++b) {
      auto row = powers.row(b).segment(isize(m) * ports_, ports_).transpose();
      const S mean = row.sum() / static_cast<S>(ports_);
      if (o.read_noise > 0.0) row += (static_cast<S>(o.read_noise) * mean) * noise.segment(b * ports_, ports_);
      if (o.adc_bits == 0 || !(mean > S{0})) continue;
      const S step = static_cast<S>(o.adc_range) * mean / static_cast<S>((Index{1} << o.adc_bits) - 1);
      const S most = static_cast<S>((Index{1} << o.adc_bits) - 1);
      for (S& p : row) p = step * std::clamp(std::nearbyint(p / step), S{0}, most);
    }
  }
}

template <class S>
void ChipReadout<S>::pull(MatrixRef<S> gI) const {
  if (gains_) gI.array().rowwise() *= gain_.transpose().array();
}

template <class S>
void ChipDetectors<S>::forward(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>("ChipDetectors", x, this->input_shape(), y, output_shape());
  const Index n = this->ports();
  y = x.leftCols(n).array().square() + x.rightCols(n).array().square();
  readout_.read(counter_.take(), y);
}

template <class S>
void ChipDetectors<S>::pullback(std::span<const S> /*theta*/, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& /*y*/,
                                const ConstMatrixRef<S>& gy, std::span<S> /*gtheta*/, MatrixRef<S>* gx) const {
  if (gx == nullptr) return;
  const Index n = this->ports();
  Matrix<S> gI = gy;
  readout_.pull(gI);
  gx->leftCols(n) = S{2} * gI.cwiseProduct(x.leftCols(n));
  gx->rightCols(n) = S{2} * gI.cwiseProduct(x.rightCols(n));
}

// ---- Mesh ----------------------------------------------------------------------------------------------------------------------

/// One chip in the numbers that light needs.
template <class S>
struct ChipMesh<S>::Core {
  Core(const MeshLayout& layout, const Chip& chip) : writer(layout, chip) {
    if constexpr (std::is_same_v<S, float>) {
      const ErrorLayout at(layout);
      const Vector<double> left = chip.errors.segment(at.left(), at.block), right = chip.errors.segment(at.right(), at.block);
      // The angles are pi/4 more each.
      cos_difference = (left - right).array().cos().template cast<float>();
      sin_difference = (left - right).array().sin().template cast<float>();
      cos_sum = (-(left + right).array().sin()).template cast<float>();
      sin_sum = (left + right).array().cos().template cast<float>();
      if ((chip.amplitude.array() != 1.0).any()) amplitude = chip.amplitude.template cast<float>();
    }
  }
  [[nodiscard]] mesh_kernel::CouplerAngles couplers() const {
    return {cos_difference.data(), cos_sum.data(), sin_difference.data(), sin_sum.data()};
  }
  [[nodiscard]] const float* losses() const { return amplitude.size() == 0 ? nullptr : amplitude.data(); }

  ChipWriter<S> writer;
  Vector<float> cos_difference, sin_difference, cos_sum, sin_sum, amplitude;  // S = float; amplitude empty: no loss
};

namespace {

/// From the sums of a reverse sweep to slopes of theta / 2, phi and the angles of both couplers of one interferometer [docs/notation.md,
/// Chips]. s: LossySlopes, in the light of the ideal mesh.
struct PairSlopes {
  double t, phi, left, right;
};

PairSlopes pair_slopes(const double* s, const mesh_kernel::ResolvedOut& r, const mesh_kernel::CouplerAngles& c, Index i) {
  const double turn_re = static_cast<double>(r.cos_turn[i]), turn_im = static_cast<double>(r.sin_turn[i]);
  // Into the light of the chip: products of above and below turn by -(mu + nu).
  const double real = turn_re * s[0] + turn_im * s[2], imaginary = turn_re * s[2] - turn_im * s[0];
  const double cos = static_cast<double>(r.cos_half[i]), sin = static_cast<double>(r.sin_half[i]);
  const double cd = static_cast<double>(c.cos_difference[i]), sd = static_cast<double>(c.sin_difference[i]);
  const double cs = static_cast<double>(c.cos_sum[i]), ss = static_cast<double>(c.sin_sum[i]);
  const double p_re = cd * sin, p_im = -cs * cos, q_re = ss * cos, q_im = sd * sin;
  // dM M^H = [[i k, kappa], [-kappa^*, -i k]] with k = Im(dp p^* + dq q^*), kappa = dp q - dq p.
  const auto slope = [&](double dp_re, double dp_im, double dq_re, double dq_im) {
    const double k = dp_im * p_re - dp_re * p_im + dq_im * q_re - dq_re * q_im;
    const double kappa_re = dp_re * q_re - dp_im * q_im - dq_re * p_re + dq_im * p_im;
    const double kappa_im = dp_re * q_im + dp_im * q_re - dq_re * p_im - dq_im * p_re;
    return k * s[3] + kappa_re * real - kappa_im * imaginary;
  };
  return {slope(cd * cos, cs * sin, -ss * sin, sd * cos), s[1], slope(-sd * sin, ss * cos, cs * cos, cd * sin),
          slope(sd * sin, ss * cos, cs * cos, -cd * sin)};
}

}  // namespace

template <class S>
ChipMesh<S>::ChipMesh(const MeshLayout& layout, std::vector<Chip> chips, std::shared_ptr<const Executor> executor)
    : layout_(layout), chips_(std::move(chips)), executor_(std::move(executor)) {
  if (chips_.empty()) throw ConfigError("model.mesh.parallel", "must be at least 1", "0");
  for (const Chip& chip : chips_) {
    if (chip.errors.size() != ErrorLayout(layout).size())
      throw ShapeError("ChipMesh", "a chip must have " + std::to_string(ErrorLayout(layout).size()) + " errors",
                       std::to_string(chip.errors.size()));
    cores_.push_back(std::make_unique<Core>(layout_, chip));
  }
}

template <class S>
ChipMesh<S>::~ChipMesh() = default;

template <class S>
ParameterLayout ChipMesh<S>::parameter_layout() const {
  return count() == 1 ? layout_.parameter_layout() : ParallelMeshes<S>(layout_, count()).parameter_layout();
}

template <class S>
void ChipMesh<S>::initialise(std::span<S> theta, const RandomStream& random) const {
  ParallelMeshes<S>(layout_, count()).initialise(theta, random);
}

template <class S>
double ChipMesh<S>::seconds(const Reading& reading, Index rows) const {
  const ChipOptions& o = chips_.front().options;
  return reading.seconds(o.write_s, o.row_s, static_cast<double>(rows));
}

template <class S>
bool ChipMesh<S>::smooth() const {
  return std::all_of(chips_.begin(), chips_.end(),
                     [](const Chip& chip) { return chip.options.dac_bits == 0 && chip.options.drift_rms == 0.0; });
}

template <class S>
bool ChipMesh<S>::shifts_exactly() const {
  const ErrorLayout at(layout_);
  return smooth() && std::all_of(chips_.begin(), chips_.end(), [&](const Chip& chip) {
           return chip.errors.segment(at.theta_gain(), 2 * at.block + 1).isZero(0.0) && chip.stuck.array().isNaN().all();
         });
}

template <class S>
Matrix<S> ChipMesh<S>::fields(Index m, std::span<const S> theta, std::span<const S> x_row) const {
  if (isize(theta.size()) != layout_.parameter_count() || isize(x_row.size()) != input_shape().size())
    throw ShapeError("ChipMesh", "theta and x_row must have the sizes of one chip", std::to_string(theta.size()));
  const Vector<double> set = written(m, theta).template cast<double>(), x = as_vector(x_row).template cast<double>();
  const Chip& own = chips_.at(usize(m));
  return reference_chip_fields(layout_, as_span(own.errors), own.amplitude, as_span(set), as_span(x)).template cast<S>();
}

template <class S>
Vector<S> ChipMesh<S>::written(Index m, std::span<const S> theta) const {
  Vector<S> set(layout_.parameter_count());
  cores_.at(usize(m))->writer.write(theta, seconds(counter_.latest(), 0), as_span(set));
  return set;
}

template <class S>
void ChipMesh<S>::light(std::span<const S> theta, const S* direction, S step, double seconds, const ConstMatrixRef<S>& x, MatrixRef<S> out,
                        bool powers) const {
  const Index n = layout_.ports(), size = layout_.parameter_count();
  const Scratch<S> memory(2 * size);
  const std::span<S> set(memory.data(), usize(size)), asked(memory.data() + size, usize(size));
  for (Index m = 0; m < count(); ++m) {
    const Core& core = *cores_[usize(m)];
    std::span<const S> commanded = of_chip(theta, m);
    if (direction != nullptr) {
      as_vector(asked) = as_vector(commanded) + step * Eigen::Map<const Vector<S>>(direction + m * size, size);
      commanded = asked;
    }
    core.writer.write(commanded, seconds, set);
    const Index re = m * n, im = out.cols() / 2 + m * n;
    if constexpr (std::is_same_v<S, float>) {
      const mesh_kernel::ResolvedMesh mesh(layout_, set.data(), core.couplers(), core.losses());
      const mesh_kernel::Phases phases = mesh.phases();
      const mesh_kernel::Output to{out.data() + re, powers ? nullptr : out.data() + im, out.outerStride(), out.outerStride()};
      mesh_kernel::evaluate(layout_, {&phases, 1}, mesh_kernel::batch_of(x), {&to, 1}, executor_.get());
    } else {
      Matrix<S> y(x.rows(), 2 * n);
      reference_chip_forward(layout_, as_span(chips_[usize(m)].errors), chips_[usize(m)].amplitude, set, x, y);
      if (powers) {
        out.middleCols(re, n) = y.leftCols(n).array().square() + y.rightCols(n).array().square();
      } else {
        out.middleCols(re, n) = y.leftCols(n);
        out.middleCols(im, n) = y.rightCols(n);
      }
    }
  }
}

template <class S>
void ChipMesh<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>("ChipMesh", x, input_shape(), y, output_shape());
  if (isize(theta.size()) != parameter_count())
    throw ShapeError("ChipMesh", "theta must have " + std::to_string(parameter_count()) + " entries", std::to_string(theta.size()));
  light(theta, nullptr, S{0}, seconds(counter_.take(), x.rows()), x, y, false);
}

template <class S>
bool ChipMesh<S>::fuses(const ForwardMap<S>& readout) const {
  return dynamic_cast<const Intensity<S>*>(&readout) != nullptr || dynamic_cast<const ChipDetectors<S>*>(&readout) != nullptr;
}

template <class S>
void ChipMesh<S>::forward_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                                const ForwardMap<S>* readout, const PairSink<S>& sink) const {
  const Index m = directions.rows(), width = (readout == nullptr ? 2 : 1) * count() * layout_.ports();
  const Reading first = counter_.take(2 * static_cast<std::uint64_t>(m));
  const auto* detectors = dynamic_cast<const ChipDetectors<S>*>(readout);
  const Scratch<S> memory(2 * x.rows() * width);
  MatrixRef<S> plus = Eigen::Map<Matrix<S>>(memory.data(), x.rows(), width);
  MatrixRef<S> minus = Eigen::Map<Matrix<S>>(memory.data() + x.rows() * width, x.rows(), width);
  for (Index j = 0; j < m; ++j) {
    const S* const direction = directions.data() + j * directions.outerStride();
    // In the order + - - + ..: what drifts evenly cancels between neighbours.
    for (const bool up : {true, false}) {
      Reading reading = first;
      reading.number += 2 * static_cast<std::uint64_t>(j) + (up == (j % 2 == 0) ? 0 : 1);
      MatrixRef<S>& side = up ? plus : minus;
      light(theta, direction, static_cast<S>(up ? eps : -eps), seconds(reading, x.rows()), x, side, readout != nullptr);
      if (detectors != nullptr) detectors->readout().read(reading, side);
    }
    sink(j, plus, minus);
  }
}

template <class S>
void ChipMesh<S>::pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y, const ConstMatrixRef<S>& gy,
                           std::span<S> gtheta, MatrixRef<S>* gx) const {
  require_shapes<S>("ChipMesh", x, input_shape(), y, output_shape());
  require_shapes<S>("ChipMesh", x, input_shape(), gy, output_shape());
  const Index size = layout_.parameter_count();
  // Where the chip stood when y was read.
  const double now = seconds(counter_.latest(), x.rows());
  for (Index m = 0; m < count(); ++m) {
    Matrix<S> part(gx == nullptr ? 0 : x.rows(), x.cols());
    MatrixRef<S> part_ref = part;
    sweep_back(m, of_chip(theta, m), now, x, fields_of_mesh<S>(y, layout_.ports(), m), fields_of_mesh<S>(gy, layout_.ports(), m),
               gtheta.subspan(usize(m * size), usize(size)), {}, gx == nullptr ? nullptr : &part_ref);
    if (gx == nullptr) continue;
    if (m == 0)
      *gx = part;
    else
      *gx += part;
  }
}

template <class S>
void ChipMesh<S>::sweep_back(Index m, std::span<const S> theta, double seconds, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y,
                             const ConstMatrixRef<S>& gy, std::span<S> gtheta, std::span<double> gerrors, MatrixRef<S>* gx) const {
  const Core& core = *cores_[usize(m)];
  const Index size = layout_.parameter_count(), block = layout_.block_size();
  const ErrorLayout at(layout_);
  Vector<S> set(size);
  core.writer.write(theta, seconds, as_span(set));
  Vector<double> gset = Vector<double>::Zero(size);
  if constexpr (std::is_same_v<S, float>) {
    const mesh_kernel::ResolvedMesh mesh(layout_, set.data(), core.couplers(), core.losses());
    const Scratch<double> sums(4 * block);
    mesh_kernel::Output to;
    if (gx != nullptr) to = {gx->data(), gx->data() + layout_.ports(), gx->outerStride(), gx->outerStride()};
    mesh_kernel::pull_back_lossy(layout_, mesh, mesh_kernel::batch_of(y), mesh_kernel::batch_of(gy),
                                 {sums.data(), gset.data() + layout_.gamma_begin()}, to, executor_.get());
    for (Index l = 0; l < layout_.columns(); ++l)
      for (Index i = layout_.offset(l); i < layout_.offset(l) + layout_.pairs(l); ++i) {
        const PairSlopes s = pair_slopes(sums.data() + 4 * i, mesh.arrays(), core.couplers(), i);
        gset[i] = 0.5 * s.t;
        gset[layout_.phi_begin() + i] = s.phi;
        if (gerrors.empty()) continue;
        gerrors[usize(at.left() + i)] += s.left;
        gerrors[usize(at.right() + i)] += s.right;
      }
  } else {
    Vector<double> unwanted = Vector<double>::Zero(gerrors.empty() ? at.size() : 0);
    reference_chip_pullback(layout_, as_span(std::as_const(chips_[usize(m)].errors)), chips_[usize(m)].amplitude,
                            as_span(std::as_const(set)), x, gy, as_span(gset), gerrors.empty() ? as_span(unwanted) : gerrors, gx);
  }
  core.writer.pull(theta, as_span(std::as_const(gset)), gtheta, gerrors);
}

template <class S>
void ChipMesh<S>::set_errors(std::span<const double> errors) {
  if (count() != 1 || isize(errors.size()) != chips_[0].errors.size())
    throw ShapeError("ChipMesh", "errors must be " + std::to_string(chips_[0].errors.size()) + " of one chip",
                     std::to_string(errors.size()));
  chips_[0].errors = as_vector(errors);
  cores_[0] = std::make_unique<Core>(layout_, chips_[0]);
}

template <class S>
void ChipMesh<S>::powers(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> out) const {
  light(theta, nullptr, S{0}, seconds(counter_.take(), x.rows()), x, out, true);
  for (Index m = 0; m < count(); ++m)
    out.middleCols(m * layout_.ports(), layout_.ports()).array().rowwise() *=
        (1.0 + chips_[usize(m)].errors.tail(layout_.ports()).array()).template cast<S>().transpose();
}

template <class S>
void ChipMesh<S>::pull(std::span<const S> theta, const ConstMatrixRef<S>& x, const std::function<void(MatrixRef<S>)>& loss,
                       std::span<S> gtheta, std::span<double> gerrors) const {
  if (count() != 1) throw ShapeError("ChipMesh", "a twin is of one chip", std::to_string(count()));
  const Index n = layout_.ports();
  const double now = seconds(counter_.take(), x.rows());
  Matrix<S> y(x.rows(), 2 * n), gy(x.rows(), 2 * n);
  light(theta, nullptr, S{0}, now, x, y, false);
  const Vector<S> gain = (1.0 + chips_[0].errors.tail(n).array()).template cast<S>();
  const Matrix<S> received = y.leftCols(n).array().square() + y.rightCols(n).array().square();
  Matrix<S> read = received;
  read.array().rowwise() *= gain.transpose().array();
  loss(read);
  if (!gerrors.empty()) as_vector(gerrors).tail(n) += read.cwiseProduct(received).template cast<double>().colwise().sum().transpose();
  read.array().rowwise() *= gain.transpose().array();
  gy.leftCols(n) = S{2} * read.cwiseProduct(y.leftCols(n));
  gy.rightCols(n) = S{2} * read.cwiseProduct(y.rightCols(n));
  Vector<S> unwanted = Vector<S>::Zero(gtheta.empty() ? parameter_count() : 0);
  sweep_back(0, theta, now, x, y, gy, gtheta.empty() ? as_span(unwanted) : gtheta, gerrors, nullptr);
}

template class ChipReadout<float>;
template class ChipReadout<double>;
template class ChipMesh<float>;
template class ChipMesh<double>;
template class ChipDetectors<float>;
template class ChipDetectors<double>;

}  // namespace ffzero
