// Dense layer on BLAS products.
// SPDX-License-Identifier: MIT
#include "ffzero/map/dense.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/tensor/packed.hpp"
#include "ffzero/tensor/sparse.hpp"

namespace ffzero {

namespace {

/// Outputs for which a sparse product is worth packing for.
constexpr Index kLeastOutputs = 16;
/// Samples that say whether the inputs of a batch are mostly zero.
constexpr Index kLookedAt = 32;
/// Inputs for which the gradient is worth several threads, and its parts then.
constexpr Index kManyInputs = 256, kGradientPieces = 4;
/// Directions for which a transform of the sums of one product is faster than a product for each of them.
constexpr Index kLeastDirections = 3;

template <class S>
Eigen::Map<const Matrix<S>> weight(std::span<const S> theta, Index outputs, Index inputs) {
  return {theta.data(), outputs, inputs};
}

template <class S>
std::span<const S> bias(std::span<const S> theta, Index outputs, Index inputs) {
  return theta.subspan(usize(outputs * inputs), usize(outputs));
}

}  // namespace

template <class S>
Dense<S>::Dense(Shape input, Index outputs, Index groups, bool skip_zeros)
    : input_(input), inputs_(input.size()), outputs_(outputs), groups_(groups), skip_zeros_(skip_zeros) {
  if (inputs_ < 1) throw ConfigError("model.layers", "a dense layer needs at least one input", std::to_string(inputs_));
  if (outputs < 1) throw ConfigError("model.layers", "a width must be at least 1", std::to_string(outputs), "give a positive width");
  require_groups(outputs, groups);
}

/// The entries of x that are not 0, of this thread, kept until its next call: no allocation in a step.
template <class S>
SparseLines<S>& lines_of_thread() {
  static thread_local SparseLines<S> lines;
  return lines;
}

template <class S>
bool Dense<S>::skips_zeros_of(const ConstMatrixRef<S>& x) const {
  return skip_zeros_ && outputs_ >= kLeastOutputs && mostly_zero<S>(x);
}

template <class S>
void Dense<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  if (!skips_zeros_of(x)) return affine_nt<S>(x, weight(theta, outputs_, inputs_), bias(theta, outputs_, inputs_), y);
  SparseLines<S>& rows = lines_of_thread<S>();
  rows.assign_rows(x);
  rows.affine_nt(weight(theta, outputs_, inputs_), bias(theta, outputs_, inputs_), y);
}

template <class S>
void Dense<S>::forward_stacked(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                               MatrixRef<S> p) const {
  const auto direction = [&](Index j) { return std::span<const S>(directions.row(j).data(), usize(parameter_count())); };
  const auto part = [&](Index j) { return p.middleCols(j * outputs_, outputs_); };
  const bool skip = skips_zeros_of(x);
  SparseLines<S>& rows = lines_of_thread<S>();
  if (skip) rows.assign_rows(x);
  const auto apply = [&](std::span<const S> parameters, MatrixRef<S> y) {
    const auto w = weight(parameters, outputs_, inputs_);
    const auto b = bias(parameters, outputs_, inputs_);
    if (skip)
      rows.affine_nt(w, b, y);
    else
      affine_nt<S>(x, w, b, y);
  };
  apply(theta, z);
  for (Index j = 0; j < directions.rows(); ++j) apply(direction(j), part(j));
}

/// The operands that this thread packed last, and in which step each was. Kept until its next one: no allocation in a step.
template <class S>
struct PackedOfThread {
  std::vector<PackedOperand<S>> operands;
  std::vector<std::uint64_t> steps;
};

template <class S>
PackedOfThread<S>& packed_of_thread() {
  static thread_local PackedOfThread<S> packed;
  return packed;
}

/// Weights and directions are packed once a step by each thread that needs them: what one core writes and another one reads costs more than
/// packing does, where the cores share no cache. Whether zeros are skipped is decided by the first samples of the batch.
template <class S>
class Dense<S>::Product final : public StackedProduct<S> {
 public:
  explicit Product(const Dense& map) : map_(map) {}

  void prepare(std::span<const S> theta, const ConstMatrixRef<S>& directions, const ConstMatrixRef<S>& x) override {
    static std::atomic<std::uint64_t> steps{0};
    step_ = ++steps;
    x_.emplace(x);
    parameters_.assign(1, theta);
    for (Index j = 0; j < directions.rows(); ++j) parameters_.emplace_back(directions.row(j).data(), usize(map_.parameter_count()));
    skip_ = map_.skips_zeros_of(x.topRows(std::min(x.rows(), kLookedAt)));
    packs_ = skip_ || worth_packing(map_.outputs_, map_.inputs_);
  }

  using StackedProduct<S>::rows;
  void rows(Index first, Index direction, MatrixRef<S> z, MatrixRef<S> p) const override {
    const ConstMatrixRef<S> x = x_->middleRows(first, z.rows());
    SparseLines<S>& lines = lines_of_thread<S>();
    if (skip_) lines.assign_rows(x);
    for (Index j = -1; j < p.cols() / map_.outputs_; ++j) {
      MatrixRef<S> y = j < 0 ? MatrixRef<S>(z) : MatrixRef<S>(p.middleCols(j * map_.outputs_, map_.outputs_));
      const std::size_t i = j < 0 ? 0 : usize(1 + direction + j);
      const std::span<const S> offset = bias(parameters_[i], map_.outputs_, map_.inputs_);
      if (skip_)
        lines.affine_nt(packed(i), offset, y);
      else if (packs_)
        packed(i).affine_nt(x, offset, y);
      else
        affine_nt<S>(x, weight(parameters_[i], map_.outputs_, map_.inputs_), offset, y);
    }
  }

 private:
  /// The i-th parameters as this thread packed them in this step.
  const PackedOperand<S>& packed(std::size_t i) const {
    PackedOfThread<S>& own = packed_of_thread<S>();
    if (own.operands.size() <= i) {
      own.operands.resize(parameters_.size());
      own.steps.resize(parameters_.size(), 0);
    }
    if (own.steps[i] != step_) {
      own.operands[i].assign(weight(parameters_[i], map_.outputs_, map_.inputs_),
                             skip_ ? PackedOperand<S>::Use::lines : PackedOperand<S>::Use::rows);
      own.steps[i] = step_;
    }
    return own.operands[i];
  }

  const Dense& map_;
  std::optional<ConstMatrixRef<S>> x_;
  std::vector<std::span<const S>> parameters_;  // theta, then the directions
  std::uint64_t step_ = 0;                      // one of its own for each step of each product of the program
  bool skip_ = false, packs_ = false;
};

template <class S>
std::unique_ptr<StackedProduct<S>> Dense<S>::stacked_product() const {
  return std::make_unique<Product>(*this);
}

template <class S>
bool Dense<S>::serves_hadamard(Index m) const {
  return m >= kLeastDirections;
}

template <class S>
void Dense<S>::forward_hadamard(std::span<const S> theta, std::span<const S> signs, Index m, const ConstMatrixRef<S>& x, MatrixRef<S> z,
                                MatrixRef<S> p) const {
  forward(theta, x, z);
  SparseLines<S>& lines = lines_of_thread<S>();
  lines.assign_classes(x);
  lines.hadamard_nt(signs, outputs_, m, p);
}

template <class S>
void Dense<S>::pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& /*y*/, const ConstMatrixRef<S>& gy,
                        std::span<S> gtheta, MatrixRef<S>* gx) const {
  if (!gtheta.empty())
    for (Index piece = 0; piece < gradient_pieces(); ++piece) add_gradient_piece(piece, x, gy, gtheta);
  if (gx != nullptr) gemm_nn<S>(gy, weight(theta, outputs_, inputs_), *gx);
}

// A piece is a range of inputs, the first one has the biases as well.
template <class S>
Index Dense<S>::gradient_pieces() const {
  return inputs_ >= kManyInputs ? kGradientPieces : 1;
}

template <class S>
void Dense<S>::add_gradient_piece(Index piece, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& gy, std::span<S> gtheta) const {
  const Index first = piece * inputs_ / gradient_pieces(), last = (piece + 1) * inputs_ / gradient_pieces();
  const ConstMatrixRef<S> inputs = x.middleCols(first, last - first);
  MatrixRef<S> gw = Eigen::Map<Matrix<S>>(gtheta.data(), outputs_, inputs_).middleCols(first, last - first);
  if (skips_zeros_of(inputs.topRows(std::min(inputs.rows(), kLookedAt)))) {
    SparseLines<S>& columns = lines_of_thread<S>();
    columns.assign_columns(inputs);
    columns.add_gemm_tn(gy, gw);
  } else {
    gemm_tn<S>(gy, inputs, gw, S{1});
  }
  if (piece == 0) Eigen::Map<Eigen::Matrix<S, 1, Eigen::Dynamic>>(gtheta.data() + outputs_ * inputs_, outputs_) += gy.colwise().sum();
}

template class Dense<float>;
template class Dense<double>;

}  // namespace ffzero
