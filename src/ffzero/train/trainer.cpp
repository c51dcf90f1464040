// The training loop.
// SPDX-License-Identifier: MIT
#include "ffzero/train/trainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>

#include "ffzero/base/error.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/train/rank_check.hpp"
#include "ffzero/train/readout_head.hpp"

namespace ffzero {

namespace {

using Clock = std::chrono::steady_clock;

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

}  // namespace

template <class S>
Trainer<S>::Trainer(const TrainPlan& plan, Network<S>&& network, const Splits& splits, std::shared_ptr<const Executor> executor,
                    TrainEvents events)
    : session_(plan, std::move(network), splits, std::move(executor)),
      events_(std::move(events)),
      evaluator_(session_),
      block_(session_),
      measured_(session_.blocks.size()),
      arithmetic_({arithmetic_description()}) {}

template <class S>
std::optional<GatedEvaluations> Trainer<S>::gated_evaluations(const BlockSetup<S>& setup) const {
  const Index last = setup.last - 1;
  const bool reads = session_.network.wants_readout(last) || dynamic_cast<const ReadoutHead<S>*>(setup.block.head) != nullptr;
  return setup.gradient->gated_evaluations(session_.splits.train.size(), setup.options.batch_size, setup.options.epochs, reads);
}

// What a gate decides about, said while nothing has been read: a run that falls back reads many times as much.
template <class S>
void Trainer<S>::tell_gates() const {
  const double samples = static_cast<double>(session_.splits.train.size());
  for (std::size_t b = at_.block; b < session_.blocks.size() && events_.message && !trained_; ++b) {
    const BlockSetup<S>& setup = session_.blocks[b];
    const bool begins = b > at_.block || at_.at_start() || measured_[b].fallback > 0.0;
    const auto planned = begins ? gated_evaluations(setup) : std::nullopt;
    if (!planned) continue;
    const auto* twin = std::get_if<TwinOptions>(&setup.options.estimator);
    const auto* transfer = std::get_if<TransferOptions>(&setup.options.estimator);
    const bool stops =
        (twin != nullptr && twin->fallback == Fallback::stop) || (transfer != nullptr && transfer->fallback == Fallback::stop);
    events_.message(fmt::format(
        "{}: training reads the device {:.3g} times a sample if what is learnt of it passes its gate; if not, {}", setup.name,
        static_cast<double>(planned->passed) / samples,
        stops ? fmt::format("it ends after {} readings", planned->missed)
              : fmt::format("{:.3g} times (gradient.fallback = \"stop\" ends it there)", static_cast<double>(planned->missed) / samples)));
  }
}

template <class S>
std::int64_t Trainer<S>::planned_evaluations() const {
  std::int64_t planned = 0;
  for (std::size_t b = 0; b < session_.blocks.size(); ++b) {
    const auto& setup = session_.blocks[b];
    if (const auto gated = gated_evaluations(setup))
      planned += gated->passed;
    else if (const auto readings = setup.gradient->planned_readings())
      planned += std::llround(readings->rows * static_cast<double>((setup.last - setup.first) * setup.steps * setup.options.epochs));
    else
      planned += setup.gradient->cost_per_sample() * session_.splits.train.size() * setup.options.epochs;
    if (const std::int64_t limit = session_.plan.limit_after(b); limit > 0) planned = std::min(planned, limit);
  }
  return planned;
}

template <class S>
double Trainer<S>::elapsed() const {
  return earlier_s_ + seconds_since(start_);
}

template <class S>
void Trainer<S>::save(const Position& at, bool whole) {
  if (events_.save) events_.save(state_at(at));
  if (events_.saved) events_.saved(whole);
  last_save_ = Clock::now();
}

template <class S>
template <class Work>
void Trainer<S>::whole_or_not(Work work) {
  const Ledger ledger = session_.ledger;
  const Schedule schedule = block_.schedule();
  const std::vector<InstrumentRecord> looked = session_.instruments.looked();
  const std::vector<std::int64_t> read = session_.instruments.rows_read();
  try {
    work();
  } catch (const DeviceError&) {
    session_.ledger = ledger;
    block_.take_back(schedule);
    session_.instruments.take_back(looked);
    session_.instruments.bill_failed(read, session_.ledger);
    throw;
  }
}

template <class S>
RunRecord Trainer<S>::run() {
  start_ = last_save_ = Clock::now();
  planned_ = planned_evaluations();
  tell_gates();
  Outcome outcome = Outcome::done;
  try {
    outcome = run_blocks();
  } catch (const DeviceError&) {
    // The parameters are those before the step that failed: going on repeats it.
    save(at_, false);
    throw;
  } catch (const GateError& e) {
    measured_[at_.block].fallback = e.miss();
    save(at_, false);
    throw;
  }
  RunRecord record = conclude_run(outcome);
  save(at_, true);
  return record;
}

template <class S>
Outcome Trainer<S>::run_blocks() {
  // What was trained before is evaluated again: the network holds its parameters already.
  const std::size_t earlier = at_.block;
  for (std::size_t b = 0; b < session_.blocks.size(); ++b) {
    BlockSetup<S>& setup = session_.blocks[b];
    if (trained_ && b == earlier && is_unreached(setup)) return Outcome::budget;
    if (b < earlier || (trained_ && b == earlier)) {
      whole_or_not([&] { finish_block(setup, true); });
      if (b == earlier) return Outcome::budget;  // nothing but the summary is missing
      continue;
    }
    const Outcome outcome = train_block(setup);
    if (outcome == Outcome::interrupted || (outcome == Outcome::budget && is_unreached(setup))) return outcome;
    whole_or_not([&] { finish_block(setup, false); });
    if (outcome == Outcome::budget) return outcome;
    block_.finish();
    at_.next_block();
  }
  return ends_early() ? Outcome::budget : Outcome::done;
}

// Blocks that were ended by their share of the budget. Told from the records: an earlier session may have trained them.
template <class S>
bool Trainer<S>::ends_early() const {
  return session_.plan.budget_split != BudgetSplit::none && std::ranges::any_of(session_.blocks, [&](const BlockSetup<S>& setup) {
           Index epochs = 0;
           for (const EpochRecord& record : records_)
             if (record.layer_index == setup.last - 1) epochs = std::max(epochs, record.epoch);
           return epochs < setup.options.epochs;
         });
}

// The budget was used up before its first step, by layers that were trained: they are the result.
template <class S>
bool Trainer<S>::is_unreached(const BlockSetup<S>& setup) const {
  return at_.at_start() && setup.options.epochs > 0 && !layers_.empty();
}

template <class S>
void Trainer<S>::fit_front(const BlockSetup<S>& setup) {
  if (session_.network.front(setup.first) == nullptr) return;
  // A run that stands within a block holds the fitted front end already.
  if (at_.at_start())
    whole_or_not([&] {
      session_.instruments.address(setup.first, ReadingPurpose::front, 0);
      session_.train.fit_front(kEvaluationRows);
      session_.bill_recomputed(session_.train, &Evaluations::propagation, session_.train.size());
      session_.instruments.bill_repeated(setup.first, &Evaluations::propagation, session_.ledger);
    });
  apply_fronts(setup);
}

// Every session of the run does this, so that its readings have the same addresses whatever was read before.
template <class S>
void Trainer<S>::apply_fronts(const BlockSetup<S>& setup) {
  session_.instruments.address(setup.first, ReadingPurpose::front, 1);
  session_.apply_fronts();
  // A run that stands within a block has been billed for it before.
  session_.instruments.bill_repeated(0, at_.at_start() ? &Evaluations::propagation : &Evaluations::replayed, session_.ledger);
}

template <class S>
Outcome Trainer<S>::train_block(BlockSetup<S>& setup) {
  MeasuredControl& measured = measured_[at_.block];
  block_.start(setup);
  fit_front(setup);
  if (!at_.at_start()) block_.restore(at_, restored_, measured);
  restored_.clear();
  // One that its gate stopped begins there again.
  measured.fallback = setup.gradient->fallback();
  if (at_.at_start()) {
    whole_or_not([&] { session_.instruments.look(setup.first, setup.last, 0, session_.ledger); });
    bool reaches = true;
    if (setup.options.epochs > 0) whole_or_not([&] { reaches = block_.measure(measured); });
    if (!reaches) return Outcome::budget;
  }
  while (at_.epoch < setup.options.epochs) {
    // The part of an epoch that a budget left room for is recorded once, also if the run was killed right after that.
    const bool recorded = at_.step > 0 && has_recorded(setup) && records_.back().epoch == at_.epoch + 1;
    const Outcome outcome = block_.train_epoch(at_, [&] { return after_step(setup); });
    if (outcome == Outcome::interrupted) return outcome;
    if (at_.step > 0 && !recorded) whole_or_not([&] { finish_epoch(setup); });
    if (outcome != Outcome::done) return outcome;
    at_.next_epoch();
    // Within an epoch it is asked for between steps.
    if (at_.epoch < setup.options.epochs && stop_requested()) return Outcome::interrupted;
  }
  return Outcome::done;
}

template <class S>
bool Trainer<S>::after_step(const BlockSetup<S>& setup) {
  if (double& known = measured_[at_.block].fallback; known == 0.0 && setup.gradient->fallback() > 0.0) {
    known = setup.gradient->fallback();
    if (events_.message)
      events_.message(
          fmt::format("{}: what was learnt of the device misses held-out readings by a relative error of {:.3g}, more than its "
                      "gate allows: going on with estimates from outputs alone, one parameter at a time",
                      setup.name, known));
  }
  for (const std::string& line : session_.instruments.put_to_rest())
    if (events_.message) events_.message(line);
  if (events_.step_done) {
    const std::int64_t evals = session_.ledger.total().training;
    events_.step_done({.layer = setup.name,
                       .block = isize(at_.block),
                       .blocks = isize(session_.blocks.size()),
                       .epoch = at_.epoch,
                       .epochs = setup.options.epochs,
                       .step = at_.step,
                       .steps = setup.steps,
                       .loss = at_.loss_sum / static_cast<double>(std::max<Index>(1, at_.step + 1 - at_.lossless)),
                       .forward_evals = evals,
                       .fraction = static_cast<double>(evals) / static_cast<double>(std::max<std::int64_t>(1, planned_))});
  }
  // Ranks compare their parameters after every step.
  const bool last = at_.step + 1 == setup.steps;
  return session_.executor->ranks().alone() ? !last && stop_requested() : stop_requested() && !last;
}

template <class S>
bool Trainer<S>::stop_requested() const {
  const bool requested = events_.stop_requested && events_.stop_requested();
  Exchange& ranks = session_.executor->ranks();
  if (ranks.alone()) return requested;
  const BlockSetup<S>& setup = session_.blocks[at_.block];
  const std::span<const S> theta = std::as_const(session_.network).theta(setup.first, setup.last);
  const auto number = static_cast<std::uint64_t>(at_.epoch * setup.steps + at_.step);
  return agree_to_stop(ranks, {.number = number, .stop = requested, .parameters = std::as_bytes(theta)},
                       fmt::format("{}, epoch {}, step {}", setup.name, at_.epoch + 1, at_.step + 1));
}

template <class S>
bool Trainer<S>::has_recorded(const BlockSetup<S>& setup) const {
  return !records_.empty() && records_.back().layer_index == setup.last - 1;
}

template <class S>
void Trainer<S>::finish_epoch(BlockSetup<S>& setup) {
  const Index losses = at_.step - at_.lossless;
  const double before = has_recorded(setup) ? records_.back().training_loss : 0.0;
  EpochRecord record{.layer = setup.name,
                     .layer_index = setup.last - 1,
                     .epoch = at_.epoch + 1,
                     .training_loss = losses > 0 ? at_.loss_sum / static_cast<double>(losses) : before,
                     .train = {},
                     .test = {},
                     .validation = {}};
  block_.finish_epoch(at_, record.training_loss);
  {
    const Stopwatch watch(evaluation_s_);
    session_.instruments.address(setup.last, ReadingPurpose::log, static_cast<std::uint64_t>(at_.epoch));
    evaluator_.calibrate(setup);
    evaluator_.measure_epoch(setup, record);
    session_.instruments.bill_repeated(0, &Evaluations::logging, session_.ledger);
  }
  session_.instruments.look(setup.first, setup.last, record.epoch, session_.ledger);
  record.forward_evals = session_.ledger.total().training;
  record.wall_s = elapsed();
  records_.push_back(record);
  if (events_.epoch_done) events_.epoch_done(record);
  if (events_.message && record.epoch == 1 && at_.step >= 2 && block_.first_loss() > 0.0)
    if (const std::string line = evaluator_.warning(setup, record, block_.first_loss()); !line.empty()) events_.message(line);
  // A small data set has hundreds of epochs a second, and writing each to a disk would take longer than computing it. What a killed run
  // loses is computed again, to the same bits.
  if (seconds_since(last_save_) < events_.save_every_s) return;
  Position next = at_;
  if (next.step == setup.steps) next.next_epoch();
  save(next, true);
}

template <class S>
void Trainer<S>::finish_block(BlockSetup<S>& setup, bool replay) {
  const Stopwatch watch(evaluation_s_);
  if (replay && session_.network.front(setup.first) != nullptr) apply_fronts(setup);
  session_.instruments.address(setup.last, ReadingPurpose::pass, 1);
  // The last epoch has done so with these parameters; without an epoch nobody has.
  if (!replay && !has_recorded(setup)) evaluator_.calibrate(setup);
  if (!replay) block_.fit_readout();
  session_.instruments.address(setup.last, ReadingPurpose::pass, 0);
  LayerRecord record{.name = setup.name,
                     .parameters = setup.block.parameter_count(),
                     .information = setup.options.epochs == 0 ? Information::none
                                    : measured_[layers_.size()].fallback > 0.0  // also if an earlier session trained the block
                                        ? setup.gradient->fallback_information()
                                        : setup.gradient->information(),
                     .train = {},
                     .test = {},
                     .validation = {},
                     .measured = measured_[layers_.size()]};
  evaluator_.pass(setup, replay, record);
  layers_.push_back(record);
}

template <class S>
RunRecord Trainer<S>::conclude_run(Outcome outcome) {
  if (outcome != Outcome::done) stopped_by_ = outcome == Outcome::budget ? "budget" : "interrupt";
  const RunNames& names = session_.plan.names;
  RunRecord record;
  record.solver = names.solver;
  record.dataset = names.dataset;
  record.preset = names.preset;
  record.estimator = names.estimator;
  record.seed = session_.plan.seed;
  record.epochs = names.epochs;
  record.stopped_by = stopped_by_;
  record.ledger = session_.ledger;
  record.devices = session_.instruments.records();
  record.skipped = session_.skipped;
  outputs_ = conclude(session_, evaluator_, layers_, record);
  record.total_s = elapsed();
  record.evaluation_s = evaluation_s_;
  record.training_s = record.total_s - evaluation_s_;
  return record;
}

template <class S>
TrainerState Trainer<S>::state_at(const Position& at) const {
  const TrainPlan& plan = session_.plan;
  const Dataset& train = session_.splits.train;
  TrainerState s;
  s.description = plan.description;
  s.described_by_config = plan.described_by_config;
  s.prediction = prediction_plan(plan);
  s.block = at.block;
  s.epoch = at.epoch;
  s.step = at.step;
  s.loss_sum = at.loss_sum;
  s.lossless = at.lossless;
  s.skipped_of_block = at.skipped;
  s.finished = at.block >= session_.blocks.size() || stopped_by_ == "budget";
  s.elapsed_s = elapsed();
  s.evaluation_s = evaluation_s_;
  s.ledger = session_.ledger;
  s.records = records_;
  s.measured = measured_;
  s.arithmetic = arithmetic_;
  s.instruments = session_.instruments.records();
  s.skipped = session_.skipped;
  s.train_size = train.size();
  s.classes = session_.network.classes();
  s.data = train.info();
  s.bytes = train.is_bytes();
  // Settings name any other rule themselves.
  if (plan.vote && plan.vote->validated && s.finished) s.vote_rule = outputs_.vote_rule;
  if (s.finished && (plan.chooses_layer() || layers_.size() < session_.blocks.size())) s.deciding_voter = outputs_.deciding;
  session_.network.save(s.arrays);
  save_encoder(session_.encoder, s.arrays);
  // Between two epochs, if the second is sure to read every sample anew, the readings may be left out.
  const bool replaced =
      at.step == 0 && at.block < session_.blocks.size() && at.epoch < session_.blocks[at.block].options.epochs && plan.forward_evals == 0;
  // Before its block is gone on with, a restored run has what it was given.
  if (restored_.empty())
    block_.save(s, !replaced);
  else
    s.arrays.insert(restored_.begin(), restored_.end());
  return s;
}

// A run is the same to the last bit only where everything that rounds is the same.
template <class S>
void Trainer<S>::take_arithmetic(const std::vector<std::string>& earlier) {
  if (earlier.empty()) return;
  arithmetic_ = earlier;
  const std::string here = arithmetic_description();
  if (trained_ || earlier.back() == here) return;
  arithmetic_.push_back(here);
  if (events_.message)
    events_.message(
        fmt::format("this run was computed with {}; it goes on with {}: its last bits may differ from those of an uninterrupted run",
                    earlier.back(), here));
}

template <class S>
void Trainer<S>::restore(const TrainerState& s, const std::string& place) {
  const TrainPlan& plan = session_.plan;
  const Dataset& train = session_.splits.train;
  const auto& blocks = session_.blocks;
  if ((plan.rewrite ? plan.rewrite(s.description) : s.description) != plan.description)
    throw DataError(place, "must belong to this configuration", "another configuration",
                    "resume without changing settings, or start a new run");
  if (s.train_size != train.size())
    throw DataError(place, fmt::format("was trained on {} samples", s.train_size), fmt::format("a train set of {}", train.size()),
                    "give the data set back that the run began with");
  session_.encoder = restored_encoder(plan.encoder, plan.scale, train.shape(), s.arrays, place);
  session_.network.load(s.arrays, place);
  if (s.ledger.layers() != session_.ledger.layers())
    throw DataError(place, fmt::format("must count {} layers", session_.ledger.layers()), std::to_string(s.ledger.layers()));
  if (s.block > blocks.size())
    throw DataError(place, fmt::format("must stand in one of {} blocks", blocks.size()), std::to_string(s.block), "the file is damaged");
  if (s.block < blocks.size() && (s.epoch > blocks[s.block].options.epochs || s.step > blocks[s.block].steps))
    throw DataError(place, "must stand within its training", fmt::format("epoch {}, step {}", s.epoch, s.step), "the file is damaged");
  at_ = {.block = s.block,
         .epoch = s.epoch,
         .step = s.step,
         .loss_sum = s.loss_sum,
         .lossless = std::min(s.lossless, s.step),
         .skipped = s.skipped_of_block};
  if (s.block < blocks.size()) at_.skipped = std::min(at_.skipped, s.epoch * blocks[s.block].steps + s.step);
  if (at_.at_start()) at_.loss_sum = 0.0;
  block_.take_reads(s.arrays, at_, place);
  session_.instruments.take(s.instruments, s.ledger.total().training, place);
  session_.skipped = s.skipped;
  session_.ledger = s.ledger;
  records_ = s.records;
  std::copy_n(s.measured.begin(), std::min(measured_.size(), s.measured.size()), measured_.begin());
  trained_ = s.finished;
  earlier_s_ = s.elapsed_s;
  evaluation_s_ = s.evaluation_s;
  take_arithmetic(s.arithmetic);
  restored_.clear();
  for (const char* name : kStepArrays)
    if (const auto array = s.arrays.find(name); array != s.arrays.end()) restored_.insert(*array);
}

template class Trainer<float>;
template class Trainer<double>;

}  // namespace ffzero
