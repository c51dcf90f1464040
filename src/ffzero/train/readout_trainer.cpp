// The digital readout of a block.
// SPDX-License-Identifier: MIT
#include "ffzero/train/readout_trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/train/evaluator.hpp"
#include "ffzero/train/readout.hpp"

namespace ffzero {

namespace {
constexpr double kReadoutLr = 1e-2;  // of Adam on a readout that learns along with its mesh; follows the mesh's schedule
}  // namespace

template <class S>
void ReadoutTrainer<S>::start(const BlockSetup<S>& setup) {
  Head<S>* const head = session_.network.layer(setup.last - 1).head.get();
  learning_ = setup.block.end_to_end ? nullptr : dynamic_cast<ReadoutHead<S>*>(head);
  rule_ = learning_ != nullptr ? make_adam<S>(isize(learning_->state().size())) : nullptr;
  fits_ = session_.network.wants_readout(setup.last - 1);
  wanted_ = fits_ || learning_ != nullptr;
}

template <class S>
void ReadoutTrainer<S>::step(const BlockSetup<S>& setup, std::span<const std::uint32_t> rows, const Targets& targets, double factor) {
  if (fits_) {
    if (reads_.size() == 0) reads_.setZero(session_.train.size(), step_reads_.sum.cols());
    const S share = S{1} / static_cast<S>(step_reads_.evaluations);
    for (std::size_t i = 0; i < rows.size(); ++i) reads_.row(isize(std::size_t{rows[i]})) = share * step_reads_.sum.row(isize(i));
  }
  if (learning_ != nullptr) learn(setup, targets, kReadoutLr * factor);
}

template <class S>
void ReadoutTrainer<S>::learn(const BlockSetup<S>& setup, const Targets& targets, double lr) {
  const Index classes = learning_->classes();
  const Matrix<S> read = step_reads_.sum / static_cast<S>(step_reads_.evaluations);
  Matrix<S> scores(read.rows(), classes), gs(read.rows(), classes), gradient(classes, read.cols() + 1);
  learning_->scores(read, scores);
  setup.loss->gradient(scores, classes, targets, gs);
  gs /= static_cast<S>(read.rows());
  learning_->weight_gradient(read, gs, gradient);
  rule_->step(learning_->state(), {gradient.data(), usize(gradient.size())}, lr);
}

template <class S>
void ReadoutTrainer<S>::read_train_set(const BlockSetup<S>& setup) {
  const SampleSource<S>& train = session_.train;
  reads_.resize(train.size(), setup.block.head->input_size());
  Matrix<S> x;
  LayerOutput<S> out;
  for (Index first = 0; first < train.size(); first += kEvaluationRows) {
    train.gather_range(first, std::min(kEvaluationRows, train.size() - first), 0, x);
    infer_block(session_.network, setup, train, Wanted::head, x, out);
    reads_.middleRows(first, out.head_input.rows()) = out.head_input;
  }
  session_.bill(setup.first, setup.last, &Evaluations::propagation, train.size());
  session_.bill_recomputed(train, &Evaluations::propagation, train.size());
}

template <class S>
void ReadoutTrainer<S>::fit(const BlockSetup<S>& setup) {
  if (!session_.network.wants_readout(setup.last - 1)) return;
  // A layer that was not trained has not been read yet.
  if (reads_.size() == 0) read_train_set(setup);
  const Dataset& data = session_.splits.train;
  // A budget may have ended before every sample was read; such rows, and dark ones, are 0.
  std::vector<Index> lit;
  std::vector<std::int32_t> labels;
  std::vector<float> weights;
  for (Index i = 0; i < reads_.rows(); ++i)
    if (!reads_.row(i).isZero(S{0})) {
      lit.push_back(i);
      labels.push_back(data.labels()[usize(i)]);
      if (!data.weights().empty()) weights.push_back(data.weights()[usize(i)]);
    }
  if (!lit.empty())
    session_.network.set_readout(setup.last - 1,
                                 fit_readout<S>(readout_features<S>(reads_(lit, Eigen::all)), labels, session_.network.classes(),
                                                {.seed = session_.plan.seed, .weights = weights}));
  reads_.resize(0, 0);
}

template <class S>
std::span<const S> ReadoutTrainer<S>::moments() const {
  return rule_ ? std::as_const(*rule_).state() : std::span<const S>();
}

template <class S>
void ReadoutTrainer<S>::restore_moments(std::span<const S> moments, Index steps) {
  if (!rule_) return;
  const std::span<S> own = rule_->state();
  if (own.size() != moments.size())
    throw DataError("checkpoint", fmt::format("the readout must have {} moments", own.size()), std::to_string(moments.size()),
                    "this checkpoint is of another configuration");
  std::copy(moments.begin(), moments.end(), own.begin());
  rule_->set_steps(steps);
}

template class ReadoutTrainer<float>;
template class ReadoutTrainer<double>;

}  // namespace ffzero
