// The training loop.
// SPDX-License-Identifier: MIT
#include "ffzero/train/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ffzero/base/error.hpp"
#include "ffzero/metric/metric.hpp"
#include "ffzero/train/layer_vote.hpp"
#include "ffzero/train/readout.hpp"
#include "ffzero/train/self_check.hpp"

namespace ffzero {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kReadoutLr = 1e-2;              // of Adam on a readout that learns along with its mesh; follows the mesh's schedule
constexpr std::uint32_t kNetworkInput = 0xFFFF;  // part of the dropout stream
constexpr std::size_t kCacheBytes = std::size_t{6} << 30;

// A loss that does not see the length of the parameters never says that they explode. The largest growth of a sound run that we have seen
// is some hundredfold (the paper's settings); a million times the first length leaves steps that are lost in rounding.
constexpr double kLargestGrowth = 1e6;
constexpr Index kFirstSteps = 4, kCheckEvery = 64;  // when it is looked at: it takes a pass over the parameters

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Adds the time of its life to an account.
class Stopwatch {
 public:
  explicit Stopwatch(double& account) : account_(account) {}
  ~Stopwatch() { account_ += seconds_since(start_); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& account_;
  Clock::time_point start_ = Clock::now();
};

template <class S>
double unit_norm(const Unit& unit, std::span<const S> theta) {
  double squared = 0.0;
  for (const Segment& s : unit.segments) squared += as_vector(theta).segment(s.begin, s.size).template cast<double>().squaredNorm();
  return std::sqrt(squared);
}

// The parameters that belong to no unit.
std::vector<Segment> uncovered_segments(const ParameterLayout& layout, Index parameters) {
  std::vector<Segment> covered;
  for (const Unit& unit : layout.units) covered.insert(covered.end(), unit.segments.begin(), unit.segments.end());
  std::sort(covered.begin(), covered.end(), [](const Segment& a, const Segment& b) { return a.begin < b.begin; });
  covered.push_back({.begin = parameters, .size = 0});
  std::vector<Segment> gaps;
  Index at = 0;
  for (const Segment& s : covered) {
    if (s.begin > at) gaps.push_back({.begin = at, .size = s.begin - at});
    at = s.begin + s.size;
  }
  return gaps;
}

}  // namespace

template <class S>
Trainer<S>::Trainer(const TrainPlan& plan, Network<S>&& network, const Splits& splits, std::shared_ptr<const Executor> executor,
                    TrainEvents events)
    : plan_(plan),
      splits_(splits),
      executor_(std::move(executor)),
      events_(std::move(events)),
      encoder_(fitted_encoder(plan.encoder, plan.scale, splits.train)),
      network_(std::move(network)),
      ledger_(network_.layers()) {
  if (encoder_.output_shape().size() != network_.input_shape().size())
    throw ConfigError("network", "must take samples of " + to_string(encoder_.output_shape()), to_string(network_.input_shape()),
                      "give the first layer the shape of the encoded samples");
  const Index classes = splits.train.task() == Task::regression ? splits.train.outputs() : splits.train.classes();
  if (classes != network_.classes())
    throw ConfigError("network", fmt::format("must have heads for {} classes", classes), std::to_string(network_.classes()),
                      "give the heads one prototype for each class");
  blocks_ = make_block_setups<S>(plan_, network_, splits.train.size(), *executor_, ledger_);
  measured_.resize(blocks_.size());
  const auto options = [&](bool augment) {
    return typename SampleSource<S>::Options{.augment = augment && encoder_.augments(), .cache_bytes = kCacheBytes, .seed = plan_.seed};
  };
  train_.emplace(splits.train, encoder_, network_, *executor_, options(true));
  test_.emplace(splits.test, encoder_, network_, *executor_, options(false));
  if (!splits.validation.empty()) validation_.emplace(splits.validation, encoder_, network_, *executor_, options(false));
  for (Index i = 0; i < network_.layers(); ++i) {
    const Instrument<S>* const found = instrument(i);
    if (found == nullptr) continue;
    const InstrumentInfo info = found->info();
    const ForwardMap<S>& map = *network_.layer(i).map;
    instruments_.push_back({.layer = i,
                            .name = network_.layer(i).name,
                            .address = info.address,
                            .identity = info.identity,
                            .inputs = map.input_shape().size(),
                            .outputs = map.output_shape().size(),
                            .parameters = map.parameter_count(),
                            .declared_noise = info.noise,
                            .receipt = {},
                            .reference = {},
                            .looks = {}});
  }
}

template <class S>
std::int64_t Trainer<S>::planned_evaluations() const {
  std::int64_t planned = 0;
  for (const auto& setup : blocks_) planned += setup.gradient->cost_per_sample() * splits_.train.size() * setup.options.epochs;
  const std::int64_t budget = plan_.forward_evals;
  return budget > 0 ? std::min(planned, budget) : planned;
}

template <class S>
double Trainer<S>::elapsed() const {
  return earlier_s_ + seconds_since(start_);
}

template <class S>
void Trainer<S>::save() {
  if (events_.save) events_.save(checkpoint());
  last_save_ = Clock::now();
}

template <class S>
void Trainer<S>::bill(Index first, Index last, std::int64_t Evaluations::*account, Index samples) {
  for (Index i = first; i < last; ++i) ledger_.layer(i).*account += samples;
}

template <class S>
RunRecord Trainer<S>::run() {
  start_ = last_save_ = Clock::now();
  planned_ = planned_evaluations();
  Outcome outcome = Outcome::done;
  try {
    run_blocks(outcome);
  } catch (const DeviceError&) {
    // The parameters are those before the step that failed: going on repeats it.
    if (stands_) save();
    throw;
  }
  if (outcome != Outcome::done) stopped_by_ = outcome == Outcome::budget ? "budget" : "interrupt";
  RunRecord record;
  finish_run(record);
  save();
  return record;
}

template <class S>
void Trainer<S>::run_blocks(Outcome& outcome) {
  for (std::size_t b = 0; b < blocks_.size() && outcome == Outcome::done; ++b) {
    const bool replay = restored_ && (b < block_ || trained_);
    if (replay && b == block_) outcome = Outcome::budget;  // it was evaluated too; only the summary is missing
    if (!replay) outcome = train_block(b);
    if (outcome == Outcome::interrupted) break;
    finish_block(blocks_[b], replay);
    if (!replay && outcome == Outcome::done) {
      block_ = b + 1;
      epoch_ = step_ = 0;
      loss_sum_ = 0.0;
      rule_.reset();
      readout_rule_.reset();
      restored_ = false;
    }
  }
}

template <class S>
const Instrument<S>* Trainer<S>::instrument(Index layer) const {
  return dynamic_cast<const Instrument<S>*>(network_.layer(layer).map.get());
}

template <class S>
void Trainer<S>::address_readings(Index last, Purpose purpose, std::uint64_t step) const {
  constexpr std::uint64_t kPurposes = 8, kBlockShift = 40;
  for (const InstrumentRecord& record : instruments_)
    if (record.layer < last)
      instrument(record.layer)
          ->begin_readings(static_cast<std::uint64_t>(record.layer) * kPurposes + static_cast<std::uint64_t>(purpose),
                           (static_cast<std::uint64_t>(last) << kBlockShift) + step);
}

template <class S>
void Trainer<S>::keep_inside(const BlockSetup<S>& setup) {
  const auto* directional = std::get_if<DirectionalOptions>(&setup.options.estimator);
  const double measured = measured_[usize(&setup - blocks_.data())].eps;
  const double eps = measured > 0.0 ? measured : directional != nullptr ? std::max(0.0, directional->eps) : 0.0;
  for (const InstrumentRecord& record : instruments_)
    if (record.layer >= setup.first && record.layer < setup.last)
      instrument(record.layer)->keep_inside(network_.theta(record.layer, record.layer + 1), eps);
}

template <class S>
void Trainer<S>::look_at_instruments(const BlockSetup<S>& setup, Index epoch) {
  if (plan_.steadiness_rows == 0) return;
  const Index rows = plan_.steadiness_rows;
  for (InstrumentRecord& record : instruments_) {
    const bool seen = !record.looks.empty() && record.looks.back().epoch >= epoch;
    if (record.layer < setup.first || record.layer >= setup.last || seen) continue;
    address_readings(setup.last, Purpose::look, static_cast<std::uint64_t>(epoch));
    Vector<S> theta(record.parameters);
    network_.layer(record.layer)
        .map->initialise(as_span(theta), RandomStream(plan_.seed, Stream::initial, static_cast<std::uint32_t>(record.layer)));
    const Matrix<double> y = instrument(record.layer)->reference_readings(as_span(std::as_const(theta)), rows).template cast<double>();
    bill(record.layer, record.layer + 1, &Evaluations::logging, rows);
    const Eigen::RowVectorXd mean = y.colwise().mean();
    if (record.reference.empty()) record.reference.assign(mean.data(), mean.data() + mean.size());
    const auto outputs = static_cast<double>(y.cols());
    double moved = 0.0;
    for (Index k = 0; k < y.cols(); ++k) moved += std::pow(mean(k) - record.reference[usize(k)], 2.0);
    record.looks.push_back({.layer = record.layer,
                            .epoch = epoch,
                            .noise = std::sqrt((y.rowwise() - mean).squaredNorm() / (static_cast<double>(rows - 1) * outputs)),
                            .drift = std::sqrt(moved / outputs)});
  }
}

template <class S>
DeviceReceipt Trainer<S>::receipt_of(const InstrumentRecord& record) const {
  DeviceReceipt sum = record.receipt;
  sum += instrument(record.layer)->receipt();
  return sum;
}

template <class S>
double Trainer<S>::device_seconds() const {
  double sum = 0.0;
  for (const InstrumentRecord& record : instruments_) sum += receipt_of(record).seconds;
  return sum;
}

template <class S>
std::vector<InstrumentRecord> Trainer<S>::instrument_records() const {
  std::vector<InstrumentRecord> records = instruments_;
  for (InstrumentRecord& record : records) record.receipt = receipt_of(record);
  return records;
}

template <class S>
void Trainer<S>::start_block(BlockSetup<S>& setup) {
  const Index parameters = setup.block.parameter_count();
  first_loss_ = 0.0;
  rule_ = make_rule<S>(setup.options.update.rule, parameters);
  auto* const readout = learning_readout(setup);
  readout_rule_ = readout != nullptr ? make_adam<S>(isize(readout->state().size())) : nullptr;
  schedule_ = Schedule(setup.options.update.schedule);
  gradient_.resize(parameters);
  fixed_ = uncovered_segments(setup.gradient->layout(), parameters);
  find_initial_norms(setup);
}

// Drawn again, so that a resumed run compares with the same lengths.
template <class S>
void Trainer<S>::find_initial_norms(const BlockSetup<S>& setup) {
  Vector<S> initial(setup.block.parameter_count());
  Index at = 0;
  for (Index i = setup.first; i < setup.last; ++i) {
    const auto& map = *network_.layer(i).map;
    map.initialise(as_span(initial).subspan(usize(at), usize(map.parameter_count())),
                   RandomStream(plan_.seed, Stream::initial, static_cast<std::uint32_t>(i)));
    at += map.parameter_count();
  }
  initial_norms_.clear();
  for (const Unit& unit : setup.gradient->layout().units) initial_norms_.push_back(unit_norm<S>(unit, as_span(std::as_const(initial))));
}

template <class S>
typename Trainer<S>::Outcome Trainer<S>::train_block(std::size_t b) {
  BlockSetup<S>& setup = blocks_[b];
  start_block(setup);
  stands_ = !restored_ || (epoch_ == 0 && step_ == 0);
  if (network_.front(setup.first) != nullptr) {
    // A restored run holds the fitted front end already.
    const bool fitted = restored_ && (epoch_ > 0 || step_ > 0);
    address_readings(setup.first, Purpose::front, 0);
    if (!fitted) {
      train_->fit_front(kEvaluationRows);
      if (train_->recomputes()) bill(0, train_->depth(), &Evaluations::propagation, train_->size());
    }
    apply_fronts();
  }
  if (restored_ && (epoch_ > 0 || step_ > 0)) {
    // Position and moments of this block came from the checkpoint.
    rule_->set_steps(epoch_ * setup.steps + step_);
    const auto moments = rule_->state();
    if (isize(moments.size()) != restored_moments_.size())
      throw DataError("checkpoint", fmt::format("the optimiser must have {} moments", moments.size()),
                      std::to_string(restored_moments_.size()), "this checkpoint is of another configuration");
    std::copy(restored_moments_.begin(), restored_moments_.end(), moments.begin());
    const std::span<S> memory = setup.gradient->memory();
    if (isize(memory.size()) != restored_memory_.size())
      throw DataError("checkpoint", fmt::format("the estimator must remember {} numbers", memory.size()),
                      std::to_string(restored_memory_.size()), "this checkpoint is of another configuration");
    std::copy(restored_memory_.begin(), restored_memory_.end(), memory.begin());
    if (measured_[b].eps > 0.0) setup.gradient->set_eps(measured_[b].eps);
    if (measured_[b].lr > 0.0) setup.lr = measured_[b].lr;
    if (readout_rule_) {
      const auto own = readout_rule_->state();
      if (isize(own.size()) != restored_readout_moments_.size())
        throw DataError("checkpoint", fmt::format("the readout must have {} moments", own.size()),
                        std::to_string(restored_readout_moments_.size()), "this checkpoint is of another configuration");
      std::copy(restored_readout_moments_.begin(), restored_readout_moments_.end(), own.begin());
      readout_rule_->set_steps(rule_->steps());
    }
    schedule_.set_state(restored_schedule_);
  } else {
    epoch_ = step_ = 0;
    loss_sum_ = 0.0;
  }
  block_ = b;
  stands_ = true;
  if (epoch_ == 0 && step_ == 0) look_at_instruments(setup, 0);
  if (setup.options.epochs > 0 && epoch_ == 0 && step_ == 0 && !measure_block(setup)) return Outcome::budget;
  for (; epoch_ < setup.options.epochs; ++epoch_, step_ = 0, loss_sum_ = 0.0) {
    // The part of an epoch that a budget left room for is recorded once, also if the run was killed right after that.
    const bool recorded = step_ > 0 && has_recorded(setup) && records_.back().epoch == epoch_ + 1;
    const Outcome outcome = train_epoch(setup);
    if (outcome == Outcome::interrupted) return outcome;
    if (step_ > 0 && !recorded) finish_epoch(setup);
    if (outcome != Outcome::done) return outcome;
    // Within an epoch it is asked for between steps.
    if (events_.stop_requested && epoch_ + 1 < setup.options.epochs && events_.stop_requested()) {
      ++epoch_;
      step_ = 0;
      loss_sum_ = 0.0;
      return Outcome::interrupted;
    }
  }
  return Outcome::done;
}

template <class S>
typename Trainer<S>::Outcome Trainer<S>::train_epoch(BlockSetup<S>& setup) {
  const Index batch = setup.options.batch_size, steps = setup.steps, size = splits_.train.size();
  const auto seed = plan_.seed;
  const std::int64_t budget = plan_.forward_evals;
  std::vector<std::uint32_t> order(usize(size));
  RandomStream(seed, Stream::order, static_cast<std::uint32_t>(setup.first), static_cast<std::uint64_t>(epoch_)).permutation(order);
  Ledger before;  // outside the loop: a copy into it takes no memory
  for (; step_ < steps; ++step_) {
    const Index first = step_ * batch, count = std::min(batch, size - first);
    if (budget > 0 && ledger_.total().training + setup.gradient->cost_per_sample() * count > budget) return Outcome::budget;
    const double waited = device_seconds();
    if (plan_.device_seconds > 0.0 && waited + longest_step_s_ > plan_.device_seconds) return Outcome::budget;
    before = ledger_;
    try {
      loss_sum_ += train_step(setup, std::span(order).subspan(usize(first), usize(count)));
    } catch (const DeviceError&) {
      ledger_ = before;  // whoever goes on repeats the step, and is billed then
      throw;
    }
    longest_step_s_ = std::max(longest_step_s_, device_seconds() - waited);
    if (events_.step_done) {
      const std::int64_t evals = ledger_.total().training;
      events_.step_done({.layer = setup.name,
                         .block = isize(block_),
                         .blocks = isize(blocks_.size()),
                         .epoch = epoch_,
                         .epochs = setup.options.epochs,
                         .step = step_,
                         .steps = steps,
                         .loss = loss_sum_ / static_cast<double>(step_ + 1),
                         .forward_evals = evals,
                         .fraction = static_cast<double>(evals) / static_cast<double>(std::max<std::int64_t>(1, planned_))});
    }
    if (events_.stop_requested && step_ + 1 < steps && events_.stop_requested()) {
      ++step_;
      require_sound_parameters(setup);
      save();
      return Outcome::interrupted;
    }
  }
  return Outcome::done;
}

template <class S>
double Trainer<S>::train_step(BlockSetup<S>& setup, std::span<const std::uint32_t> rows) {
  const auto seed = plan_.seed;
  const auto part = static_cast<std::uint32_t>(setup.first);
  const Index step = epoch_ * setup.steps + step_;
  const auto position = static_cast<std::uint64_t>(step);
  auto* const readout = learning_readout(setup);
  if (step == 0) keep_inside(setup);
  address_readings(setup.last, Purpose::step, position);
  const Batch<S> batch = gather_batch(setup, rows);
  const std::span<S> theta = network_.theta(setup.first, setup.last);
  const RandomStream directions(seed, Stream::direction, part, position);
  if (step == 0) check_first_step<S>(setup, batch, theta, directions, *executor_, ledger_);
  const double loss = setup.gradient->estimate(batch, theta, directions, as_span(gradient_));
  if (step == 0) first_loss_ = loss;
  if (!std::isfinite(loss)) diverged(setup, "the loss must stay finite", fmt::format("a loss of {}", loss));
  if (network_.wants_readout(setup.last - 1)) keep_step_reads(rows);
  const double factor = schedule_.factor(step, setup.steps * setup.options.epochs);
  if (readout != nullptr) step_readout(setup, *readout, batch.targets, kReadoutLr * factor);
  const double lr = setup.lr * factor;
  // Weight decay reaches every parameter of the rule; those of no unit stay as they are.
  const Vector<S> before = fixed_.empty() ? Vector<S>() : Vector<S>(as_vector(theta));
  rule_->step(theta, as_span(std::as_const(gradient_)), lr, *executor_);
  for (const Segment& s : fixed_) as_vector(theta).segment(s.begin, s.size) = before.segment(s.begin, s.size);
  if (step < kFirstSteps || step % kCheckEvery == 0) require_sound_parameters(setup);
  if (setup.options.update.hold_norm) hold_norms(setup, theta);
  keep_inside(setup);
  return loss;
}

template <class S>
Batch<S> Trainer<S>::gather_batch(const BlockSetup<S>& setup, std::span<const std::uint32_t> rows) {
  const auto step = static_cast<std::uint64_t>(epoch_ * setup.steps + step_);
  train_->gather(rows, static_cast<std::uint64_t>(epoch_), batch_x_);
  if (train_->recomputes()) bill(0, train_->depth(), &Evaluations::propagation, isize(rows.size()));
  drop_inputs(setup, batch_x_);
  Targets targets = train_->targets(rows, batch_labels_, batch_values_);
  targets.weights = batch_weights(splits_.train, rows, setup.block.reduction == Reduction::mean, batch_weights_);
  return {.x = batch_x_,
          .targets = targets,
          .dropout = RandomStream(plan_.seed, Stream::dropout, static_cast<std::uint32_t>(setup.first), step),
          .reads = network_.wants_readout(setup.last - 1) || learning_readout(setup) != nullptr ? &step_reads_ : nullptr};
}

template <class S>
bool Trainer<S>::measure_block(BlockSetup<S>& setup) {
  if (!wants_control(setup.options)) return true;
  const std::int64_t budget = plan_.forward_evals, before = ledger_.total().training;
  if (budget > 0 && before + control_cost(*setup.gradient, setup.options, setup.last - setup.first, setup.options.batch_size) > budget)
    return false;
  const auto seed = plan_.seed;
  const auto part = static_cast<std::uint32_t>(setup.first);
  std::vector<std::uint32_t> order(usize(splits_.train.size()));
  RandomStream(seed, Stream::order, part, 0).permutation(order);
  const Index whole = std::max<Index>(1, isize(order.size()) / setup.options.batch_size);
  const auto batch = [&](Index i) {
    return gather_batch(
        setup, std::span<const std::uint32_t>(order).subspan(usize(i % whole * setup.options.batch_size), usize(setup.options.batch_size)));
  };
  address_readings(setup.last, Purpose::control, 0);
  const RandomStream random(seed, Stream::direction, part);
  MeasuredControl& control = measured_[block_];
  control = measure_control<S>(*setup.gradient, setup.options, network_.theta(setup.first, setup.last), batch, random, *executor_);
  control.forward_evals = ledger_.total().training - before;
  if (control.lr > 0.0) setup.lr = control.lr;
  return true;
}

template <class S>
void Trainer<S>::keep_step_reads(std::span<const std::uint32_t> rows) {
  if (reads_.size() == 0) reads_.setZero(train_->size(), step_reads_.sum.cols());
  const S share = S{1} / static_cast<S>(step_reads_.evaluations);
  for (std::size_t i = 0; i < rows.size(); ++i) reads_.row(isize(std::size_t{rows[i]})) = share * step_reads_.sum.row(isize(i));
}

template <class S>
ReadoutHead<S>* Trainer<S>::learning_readout(const BlockSetup<S>& setup) const {
  return setup.block.end_to_end ? nullptr : dynamic_cast<ReadoutHead<S>*>(network_.layer(setup.last - 1).head.get());
}

template <class S>
void Trainer<S>::step_readout(const BlockSetup<S>& setup, ReadoutHead<S>& readout, const Targets& targets, double lr) {
  const Matrix<S> read = step_reads_.sum / static_cast<S>(step_reads_.evaluations);
  Matrix<S> scores(read.rows(), readout.classes()), gs(read.rows(), readout.classes()), gradient(readout.classes(), read.cols() + 1);
  readout.scores(read, scores);
  setup.loss->gradient(scores, readout.classes(), targets, gs);
  gs /= static_cast<S>(read.rows());
  readout.weight_gradient(read, gs, gradient);
  readout_rule_->step(readout.state(), {gradient.data(), usize(gradient.size())}, lr);
}

template <class S>
void Trainer<S>::drop_inputs(const BlockSetup<S>& setup, Matrix<S>& x) const {
  if (setup.input_dropout <= 0.0) return;
  const std::uint32_t part = setup.first == 0 ? kNetworkInput : static_cast<std::uint32_t>(setup.first - 1);
  const auto step = static_cast<std::uint64_t>(epoch_ * setup.steps + step_);
  Matrix<S> mask(x.rows(), x.cols());
  dropout_mask<S>(RandomStream(plan_.seed, Stream::dropout, part, step), setup.input_dropout, {mask.data(), usize(mask.size())});
  x.array() *= mask.array();
}

template <class S>
void Trainer<S>::hold_norms(const BlockSetup<S>& setup, std::span<S> theta) const {
  const auto& units = setup.gradient->layout().units;
  for (std::size_t u = 0; u < units.size(); ++u) {
    const double norm = unit_norm<S>(units[u], theta);
    if (norm <= 0.0) continue;
    for (const Segment& s : units[u].segments) as_vector(theta).segment(s.begin, s.size) *= static_cast<S>(initial_norms_[u] / norm);
  }
}

template <class S>
void Trainer<S>::diverged(const BlockSetup<S>& setup, const std::string& requirement, const std::string& value) const {
  throw DivergedError(fmt::format("{}, epoch {}, step {}", setup.name, epoch_ + 1, step_ + 1), requirement, value,
                      fmt::format("lower update.lr (now {:g}); the last good state is in the checkpoint", setup.lr));
}

template <class S>
void Trainer<S>::require_sound_parameters(const BlockSetup<S>& setup) const {
  const std::span<const S> theta = network_.theta(setup.first, setup.last);
  const auto& units = setup.gradient->layout().units;
  for (std::size_t u = 0; u < units.size(); ++u) {
    const double norm = unit_norm<S>(units[u], theta);
    if (!std::isfinite(norm)) diverged(setup, "the parameters must stay finite", "one that is not");
    // Parameters that begin at zero are compared with ones.
    const double first = initial_norms_[u] > 0.0 ? initial_norms_[u] : std::sqrt(static_cast<double>(units[u].size()));
    if (norm > kLargestGrowth * first)
      diverged(setup, fmt::format("the parameters must stay finite, and below {:g} times their first length", kLargestGrowth),
               fmt::format("{:.3g} times", norm / first));
  }
}

template <class S>
bool Trainer<S>::has_recorded(const BlockSetup<S>& setup) const {
  return !records_.empty() && records_.back().layer_index == setup.last - 1;
}

template <class S>
void Trainer<S>::finish_epoch(BlockSetup<S>& setup) {
  const double mean_loss = loss_sum_ / static_cast<double>(step_);
  schedule_.observe(mean_loss);
  require_sound_parameters(setup);
  EpochRecord record;
  record.layer = setup.name;
  record.layer_index = setup.last - 1;
  record.epoch = epoch_ + 1;
  record.training_loss = mean_loss;
  {
    const Stopwatch watch(evaluation_s_);
    address_readings(setup.last, Purpose::log, static_cast<std::uint64_t>(epoch_));
    calibrate(setup);
    const auto log = [&](const SampleSource<S>& source, const Dataset& data, Index samples) {
      const Measure m = measure(evaluate(setup, source, samples, nullptr), samples == data.size() ? data : data.slice(0, samples));
      bill(setup.first, setup.last, &Evaluations::logging, samples);
      if (source.recomputes()) bill(0, source.depth(), &Evaluations::logging, samples);
      return m;
    };
    const Index train_samples = std::min(plan_.log.train_samples, splits_.train.size());
    if (train_samples > 0) record.train = log(*train_, splits_.train, train_samples);
    if (plan_.log.test) record.test = log(*test_, splits_.test, splits_.test.size());
    if (validation_) record.validation = log(*validation_, splits_.validation, splits_.validation.size());
  }
  look_at_instruments(setup, epoch_ + 1);
  record.forward_evals = ledger_.total().training;
  record.wall_s = elapsed();
  records_.push_back(record);
  if (events_.epoch_done) events_.epoch_done(record);
  warn_of_chance(setup, record);
  save_between_epochs(setup);
}

// A small data set has hundreds of epochs a second, and writing each to a disk would take longer than computing it. What a killed run loses
// is computed again, to the same bits.
template <class S>
void Trainer<S>::save_between_epochs(const BlockSetup<S>& setup) {
  if (seconds_since(last_save_) < events_.save_every_s) return;
  // The checkpoint stands at the start of the next epoch.
  const Index epoch = epoch_, step = step_;
  const double loss_sum = loss_sum_;
  if (step_ == setup.steps) {
    ++epoch_;
    step_ = 0;
    loss_sum_ = 0.0;
  }
  save();
  epoch_ = epoch;
  step_ = step;
  loss_sum_ = loss_sum;
}

template <class S>
void Trainer<S>::warn_of_chance(const BlockSetup<S>& setup, const EpochRecord& record) const {
  if (!events_.message || record.epoch != 1 || step_ < 2 || !(first_loss_ > 0.0)) return;
  const bool test = !record.train;
  const auto& measured = test ? record.test : record.train;
  if (!measured) return;
  const Dataset& data = test ? splits_.test : splits_.train;
  FirstEpoch first{.layer = record.layer,
                   .estimator = estimator_name(setup.options.estimator),
                   .first_loss = first_loss_,
                   .mean_loss = record.training_loss,
                   .value = measured->value,
                   .samples = test ? data.size() : std::min(plan_.log.train_samples, data.size()),
                   .regression = data.task() == Task::regression};
  if (!first.regression) {
    std::vector<Index> counts(usize(network_.classes()));
    for (Index i = 0; i < first.samples; ++i) ++counts[usize(data.labels()[usize(i)])];
    first.chance = static_cast<double>(*std::max_element(counts.begin(), counts.end())) / static_cast<double>(first.samples);
  }
  if (const std::string line = first_epoch_warning(first); !line.empty()) events_.message(line);
}

template <class S>
void Trainer<S>::apply_fronts() {
  train_->apply_front(kEvaluationRows);
  test_->apply_front(kEvaluationRows);
  if (validation_) validation_->apply_front(kEvaluationRows);
}

template <class S>
void Trainer<S>::infer_layers(Index first, Index last, const SampleSource<S>& source, Matrix<S>& x, LayerOutput<S>& out) const {
  for (Index i = first; i < last; ++i) {
    network_.infer(i, x, Wanted::passed_on, out, i == first && source.front_done());
    x.swap(out.passed_on);
  }
}

template <class S>
void Trainer<S>::infer_block(const BlockSetup<S>& setup, const SampleSource<S>& source, Wanted wanted, Matrix<S>& x,
                             LayerOutput<S>& out) const {
  const Index last = setup.last - 1;
  infer_layers(setup.first, last, source, x, out);
  network_.infer(last, x, wanted, out, last == setup.first && source.front_done());
}

template <class S>
void Trainer<S>::calibrate(BlockSetup<S>& setup) {
  for (Index i = setup.first; i < setup.last; ++i) {
    auto* stateful = dynamic_cast<StatefulMap<S>*>(network_.layer(i).map.get());
    if (stateful == nullptr || !stateful->needs_statistics()) continue;
    stateful->begin_statistics();
    Matrix<S> x;
    LayerOutput<S> out;
    for (Index first = 0; first < train_->size(); first += kEvaluationRows) {
      train_->gather_range(first, std::min(kEvaluationRows, train_->size() - first), 0, x);
      infer_layers(setup.first, i, *train_, x, out);
      stateful->absorb(network_.theta(i, i + 1), x);
    }
    stateful->finish_statistics();
    bill(setup.first, i + 1, &Evaluations::logging, train_->size());
  }
}

template <class S>
typename Trainer<S>::SplitScores Trainer<S>::evaluate(const BlockSetup<S>& setup, const SampleSource<S>& source, Index samples,
                                                      Matrix<S>* passed_on) {
  const Index classes = network_.classes();
  SplitScores result;
  result.scores.resize(samples, classes);
  Matrix<S> x;
  LayerOutput<S> out;
  Matrix<double> losses;
  const Index rows = setup.evaluation_rows;
  for (Index first = 0; first < samples; first += rows) {
    const Index count = std::min(rows, samples - first);
    source.gather_range(first, count, 0, x);
    infer_block(setup, source, passed_on != nullptr ? Wanted::both : Wanted::head, x, out);
    const Head<S>& head = network_.head_of(setup.last - 1);
    losses.resize(count, setup.loss->joint() ? 1 : head.groups());
    setup.loss->values(out.scores, head.classes(), source.all_targets().rows(first, count), losses);
    result.loss += losses.sum();
    Matrix<S> summed = class_scores<S>(out.scores, classes);
    // In regression the mean of what is said about an output.
    if (splits_.train.task() == Task::regression) summed /= static_cast<S>(head.groups() * head.classes() / classes);
    result.scores.middleRows(first, count) = summed.template cast<float>();
    if (passed_on != nullptr) passed_on->middleRows(first, count) = out.passed_on;
  }
  result.loss /= static_cast<double>(std::max<Index>(1, samples));
  return result;
}

template <class S>
Measure Trainer<S>::measure(const SplitScores& scores, const Dataset& data) const {
  if (data.task() == Task::classification) return {accuracy(predict<float>(scores.scores), data.labels()), scores.loss};
  return {mean_r_squared(scores.scores, data), scores.loss};
}

template <class S>
bool Trainer<S>::reads_will_be_replaced() const {
  return step_ == 0 && block_ < blocks_.size() && epoch_ < blocks_[block_].options.epochs && plan_.forward_evals == 0;
}

template <class S>
void Trainer<S>::read_train_set(const BlockSetup<S>& setup) {
  reads_.resize(train_->size(), setup.block.head->input_size());
  Matrix<S> x;
  LayerOutput<S> out;
  for (Index first = 0; first < train_->size(); first += kEvaluationRows) {
    train_->gather_range(first, std::min(kEvaluationRows, train_->size() - first), 0, x);
    infer_block(setup, *train_, Wanted::head, x, out);
    reads_.middleRows(first, out.head_input.rows()) = out.head_input;
  }
  bill(setup.first, setup.last, &Evaluations::propagation, train_->size());
  if (train_->recomputes()) bill(0, train_->depth(), &Evaluations::propagation, train_->size());
}

template <class S>
void Trainer<S>::fit_block_readout(BlockSetup<S>& setup) {
  // A layer that was not trained has not been read yet.
  if (reads_.size() == 0) read_train_set(setup);
  // A budget may have ended before every sample was read; such rows, and dark ones, are 0.
  std::vector<Index> lit;
  std::vector<std::int32_t> labels;
  std::vector<float> weights;
  for (Index i = 0; i < reads_.rows(); ++i)
    if (!reads_.row(i).isZero(S{0})) {
      lit.push_back(i);
      labels.push_back(splits_.train.labels()[usize(i)]);
      if (!splits_.train.weights().empty()) weights.push_back(splits_.train.weights()[usize(i)]);
    }
  if (!lit.empty())
    network_.set_readout(setup.last - 1, fit_readout<S>(readout_features<S>(reads_(lit, Eigen::all)), labels, network_.classes(),
                                                        {.seed = plan_.seed, .weights = weights}));
  reads_.resize(0, 0);
}

template <class S>
void Trainer<S>::finish_block(BlockSetup<S>& setup, bool replay) {
  const Stopwatch watch(evaluation_s_);
  const bool more = setup.last < network_.layers();
  address_readings(setup.first, Purpose::front, 0);
  if (replay && network_.front(setup.first) != nullptr) apply_fronts();
  address_readings(setup.last, Purpose::pass, 0);
  // The last epoch has done so with these parameters; without an epoch nobody has.
  if (!replay && !has_recorded(setup)) calibrate(setup);
  if (!replay && network_.wants_readout(setup.last - 1)) fit_block_readout(setup);
  const auto pass = [&](SampleSource<S>& source, const Dataset& data, std::vector<SplitScores>& kept, bool training) {
    const Index columns = network_.layer(setup.last - 1).output_shape().size();
    std::optional<Matrix<S>> outputs;
    if (more && source.may_cache(columns)) outputs.emplace(source.size(), columns);
    kept.push_back(evaluate(setup, source, source.size(), outputs ? &*outputs : nullptr));
    const auto account = replay ? &Evaluations::replayed : training && more ? &Evaluations::propagation : &Evaluations::logging;
    bill(setup.first, setup.last, account, source.size());
    if (source.recomputes()) bill(0, source.depth(), account, source.size());
    for (Index i = setup.first + 1; i < setup.last; ++i) source.advance(std::nullopt);
    source.advance(std::move(outputs));
    return measure(kept.back(), data);
  };
  LayerRecord record{.name = setup.name,
                     .parameters = setup.block.parameter_count(),
                     .information = setup.options.epochs == 0 ? Information::none : setup.gradient->information(),
                     .train = pass(*train_, splits_.train, train_scores_, true),
                     .test = {},
                     .validation = {},
                     .measured = measured_[usize(&setup - blocks_.data())]};
  record.test = pass(*test_, splits_.test, test_scores_, false);
  if (validation_) record.validation = pass(*validation_, splits_.validation, validation_scores_, false);
  layer_records_.push_back(record);
}

template <class S>
std::size_t Trainer<S>::deciding_layer() const {
  if (!plan_.chooses_layer()) return layer_records_.size() - 1;
  std::vector<double> train, validation;
  for (const LayerRecord& layer : layer_records_) {
    train.push_back(layer.train.value);
    if (layer.validation) validation.push_back(layer.validation->value);
  }
  return usize(best_layer(train, validation));
}

template <class S>
void Trainer<S>::finish_run(RunRecord& record) {
  const bool regression = splits_.train.task() == Task::regression;
  record.solver = plan_.names.solver;
  record.dataset = plan_.names.dataset;
  record.preset = plan_.names.preset;
  record.estimator = plan_.names.estimator;
  record.metric = regression ? "r2" : "accuracy";
  record.seed = plan_.seed;
  record.epochs = plan_.names.epochs;
  record.layers = layer_records_;
  record.stopped_by = stopped_by_;
  record.ledger = ledger_;
  record.devices = instrument_records();
  for (const auto& layer : layer_records_) record.information = std::max(record.information, layer.information);
  for (Index i = 0; i < network_.layers(); ++i)
    if (network_.front(i) != nullptr) {
      const std::string kind = network_.front(i)->kind();
      if (std::find(record.front_ends.begin(), record.front_ends.end(), kind) == record.front_ends.end()) record.front_ends.push_back(kind);
    }
  for (Index i = 0; i < network_.layers(); ++i)
    if (network_.has_readout(i) || network_.layer(i).head->kind() == "readout") {
      record.front_ends.emplace_back("trained readout");
      break;
    }
  if (layer_records_.empty()) return;
  outputs_.deciding = deciding_layer();
  const LayerRecord& decides = layer_records_[outputs_.deciding];
  record.final_train = decides.train;
  record.final_test = decides.test;
  record.final_validation = decides.validation;
  if (plan_.chooses_layer()) record.deciding_layer = decides.name;
  for (const auto& s : test_scores_) {
    outputs_.test_scores.push_back(s.scores);
    if (!regression) outputs_.predictions.push_back(predict<float>(s.scores));
  }
  if (plan_.vote) {
    // A prefix of the layers gives the vote after its last one.
    const auto scores_of = [this](const std::vector<SplitScores>& layers) {
      std::vector<Matrix<float>> scores;
      for (const auto& layer : std::span(layers).first(outputs_.deciding + 1)) scores.push_back(layer.scores);
      return scores;
    };
    vote_rule_ = plan_.vote->rule;
    if (plan_.vote->validated) vote_rule_ = validated_rule(*plan_.vote, scores_of(validation_scores_), splits_.validation.labels());
    const auto vote_of = [&](const std::vector<SplitScores>& layers) { return layer_vote(*plan_.vote, vote_rule_, scores_of(layers)); };
    outputs_.vote = vote_of(test_scores_);
    VoteRecord result{.rule = to_string(vote_rule_),
                      .train = accuracy(vote_of(train_scores_), splits_.train.labels()),
                      .test = accuracy(outputs_.vote, splits_.test.labels()),
                      .validation = {}};
    record.final_train.value = result.train;
    record.final_test.value = result.test;
    if (validation_) {
      result.validation = accuracy(vote_of(validation_scores_), splits_.validation.labels());
      record.final_validation->value = *result.validation;
    }
    record.vote = result;
  }
  record.total_s = elapsed();
  record.evaluation_s = evaluation_s_;
  record.training_s = record.total_s - evaluation_s_;
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace ffzero
