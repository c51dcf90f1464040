// Metrics, statistics and outputs of a block.
// SPDX-License-Identifier: MIT
#include "ffzero/train/evaluator.hpp"

#include <algorithm>
#include <optional>

#include "ffzero/base/huge_pages.hpp"
#include "ffzero/metric/metric.hpp"
#include "ffzero/train/self_check.hpp"
#include "ffzero/vote/vote.hpp"

namespace ffzero {

namespace {

constexpr Index kPieceRows = 64;  // of what follows a network's answer for some samples

Measure measure(const SplitScores& scores, const Dataset& data) {
  if (data.task() == Task::classification) return {accuracy(predict<float>(scores.scores), data.labels()), scores.loss};
  return {mean_r_squared(scores.scores, data), scores.loss};
}

}  // namespace

template <class S>
void infer_block(const Network<S>& network, const BlockSetup<S>& setup, const SampleSource<S>& source, Wanted wanted, Matrix<S>& x,
                 LayerOutput<S>& out) {
  const Index last = setup.last - 1;
  network.pass_on(setup.first, last, x, out, source.front_done());
  network.infer(last, x, wanted, out, last == setup.first && source.front_done());
}

template <class S>
void Evaluator<S>::calibrate(BlockSetup<S>& setup) {
  Network<S>& network = session_.network;
  const SampleSource<S>& train = session_.train;
  for (Index i = setup.first; i < setup.last; ++i) {
    const auto maps = network.maps_of(i);
    for (Index part = 0; part < isize(maps.size()); ++part) {
      auto* stateful = dynamic_cast<StatefulMap<S>*>(maps[usize(part)]);
      if (stateful == nullptr || !stateful->needs_statistics()) continue;
      stateful->begin_statistics();
      Matrix<S> x, seen;
      LayerOutput<S> out;
      for (Index first = 0; first < train.size(); first += kEvaluationRows) {
        train.gather_range(first, std::min(kEvaluationRows, train.size() - first), 0, x);
        network.pass_on(setup.first, i, x, out, train.front_done());
        network.infer_until(i, part, x, seen, i == setup.first && train.front_done());
        stateful->absorb(part == 0 ? network.theta(i, i + 1) : std::span<S>(), seen);
      }
      stateful->finish_statistics();
      session_.bill(setup.first, i + 1, &Evaluations::logging, train.size());
    }
  }
}

template <class S>
Measure Evaluator<S>::log(const BlockSetup<S>& setup, const SampleSource<S>& source, const Dataset& data, Index samples) const {
  const Measure m = measure(evaluate(setup, source, samples, nullptr), samples == data.size() ? data : data.slice(0, samples));
  session_.bill(setup.first, setup.last, &Evaluations::logging, samples);
  session_.bill_recomputed(source, &Evaluations::logging, samples);
  return m;
}

template <class S>
void Evaluator<S>::measure_epoch(const BlockSetup<S>& setup, EpochRecord& record) const {
  const Splits& splits = session_.splits;
  const Index train_samples = std::min(session_.plan.log.train_samples, splits.train.size());
  if (train_samples > 0) record.train = log(setup, session_.train, splits.train, train_samples);
  if (session_.plan.log.test) record.test = log(setup, session_.test, splits.test, splits.test.size());
  if (session_.validation) record.validation = log(setup, *session_.validation, splits.validation, splits.validation.size());
}

template <class S>
std::string Evaluator<S>::warning(const BlockSetup<S>& setup, const EpochRecord& record, double first_loss) const {
  const bool test = !record.train;
  const auto& measured = test ? record.test : record.train;
  if (!measured) return {};
  const Dataset& data = test ? session_.splits.test : session_.splits.train;
  FirstEpoch first{.layer = record.layer,
                   .estimator = estimator_name(setup.options.estimator),
                   .first_loss = first_loss,
                   .mean_loss = record.training_loss,
                   .value = measured->value,
                   .samples = test ? data.size() : std::min(session_.plan.log.train_samples, data.size()),
                   .regression = data.task() == Task::regression};
  if (!first.regression) {
    std::vector<Index> counts(usize(session_.network.classes()));
    for (Index i = 0; i < first.samples; ++i) ++counts[usize(data.labels()[usize(i)])];
    first.chance = static_cast<double>(*std::max_element(counts.begin(), counts.end())) / static_cast<double>(first.samples);
  }
  return first_epoch_warning(first);
}

template <class S>
SplitScores Evaluator<S>::evaluate(const BlockSetup<S>& setup, const SampleSource<S>& source, Index samples, Matrix<S>* passed_on) const {
  const Network<S>& network = session_.network;
  const Index classes = network.classes();
  SplitScores result;
  result.scores.resize(samples, classes);
  Matrix<S> x;
  LayerOutput<S> out;
  Matrix<double> losses;
  const Index rows = setup.evaluation_rows;
  for (Index first = 0; first < samples; first += rows) {
    const Index count = std::min(rows, samples - first);
    source.gather_range(first, count, 0, x);
    infer_block(network, setup, source, passed_on != nullptr ? Wanted::both : Wanted::head, x, out);
    const Head<S>& head = network.head_of(setup.last - 1);
    losses.resize(count, setup.loss->joint() ? 1 : head.groups());
    const Targets targets = source.all_targets().rows(first, count);
    // In regression the mean of what is said about an output.
    const Index said = session_.splits.train.task() == Task::regression ? head.groups() * head.classes() / classes : 1;
    // Most of its time goes into new pages of memory for what is passed on, which every thread can ask for.
    session_.executor->run(divide_up(count, kPieceRows), [&](Index piece) {
      const Index begin = piece * kPieceRows, n = std::min(kPieceRows, count - begin);
      const auto scores = out.scores.middleRows(begin, n);
      setup.loss->values(scores, head.classes(), targets.rows(begin, n), losses.middleRows(begin, n));
      result.scores.middleRows(first + begin, n) = (class_scores<S>(scores, classes) / static_cast<S>(said)).template cast<float>();
      if (passed_on != nullptr) passed_on->middleRows(first + begin, n) = out.passed_on.middleRows(begin, n);
    });
    result.loss += losses.sum();
  }
  result.loss /= static_cast<double>(std::max<Index>(1, samples));
  return result;
}

template <class S>
Measure Evaluator<S>::pass_split(const BlockSetup<S>& setup, SampleSource<S>& source, const Dataset& data,
                                 std::int64_t Evaluations::*account, std::vector<SplitScores>& kept) {
  const Network<S>& network = session_.network;
  const Index columns = network.layer(setup.last - 1).output_shape().size();
  std::optional<Matrix<S>> outputs;
  const bool through = setup.last == setup.first + 1 && source.may_go_through();
  if (!through && setup.last < network.layers() && source.may_cache(columns)) {
    outputs.emplace(source.size(), columns);
    prefer_huge_pages(outputs->data(), usize(outputs->size()) * sizeof(S));
  }
  kept.push_back(evaluate(setup, source, source.size(), outputs ? &*outputs : nullptr));
  session_.bill(setup.first, setup.last, account, source.size());
  session_.bill_recomputed(source, account, source.size());
  session_.instruments.bill_repeated(0, account, session_.ledger);
  for (Index i = setup.first + 1; i < setup.last; ++i) source.advance(std::nullopt);
  if (through)
    source.advance_through();
  else
    source.advance(std::move(outputs));
  return measure(kept.back(), data);
}

template <class S>
void Evaluator<S>::pass(const BlockSetup<S>& setup, bool replay, LayerRecord& record) {
  const bool more = setup.last < session_.network.layers();
  const auto log = replay ? &Evaluations::replayed : &Evaluations::logging;
  const Splits& splits = session_.splits;
  record.train = pass_split(setup, session_.train, splits.train, more && !replay ? &Evaluations::propagation : log, train_scores_);
  record.test = pass_split(setup, session_.test, splits.test, log, test_scores_);
  if (session_.validation) record.validation = pass_split(setup, *session_.validation, splits.validation, log, validation_scores_);
}

template void infer_block(const Network<float>&, const BlockSetup<float>&, const SampleSource<float>&, Wanted, Matrix<float>&,
                          LayerOutput<float>&);
template void infer_block(const Network<double>&, const BlockSetup<double>&, const SampleSource<double>&, Wanted, Matrix<double>&,
                          LayerOutput<double>&);
template class Evaluator<float>;
template class Evaluator<double>;

}  // namespace ffzero
