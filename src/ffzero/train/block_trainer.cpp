// The steps of one block.
// SPDX-License-Identifier: MIT
#include "ffzero/train/block_trainer.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/train/self_check.hpp"
#include "ffzero/train/step_control.hpp"

namespace ffzero {

namespace {

constexpr std::uint32_t kNetworkInput = 0xFFFF;     // part of the dropout stream
constexpr Index kFirstSteps = 4, kCheckEvery = 64;  // when lengths are looked at: it takes a pass over the parameters

template <class S>
Vector<S> array_of(const NpzArchive& arrays, const char* name) {
  const auto found = arrays.find(name);
  if (found == arrays.end()) return {};
  const auto values = found->second.template to<S>();
  return as_vector(std::span<const S>(values));
}

template <class S>
void copy_into(const Vector<S>& from, std::span<S> to, const char* owner) {
  if (from.size() != isize(to.size()))
    throw DataError("checkpoint", fmt::format(fmt::runtime(owner), to.size()), std::to_string(from.size()),
                    "this checkpoint is of another configuration");
  std::copy(from.begin(), from.end(), to.begin());
}

/// While it lives the losses of a block have the temperature of a step. What is evaluated between steps is at the first one, so that
/// metrics of different epochs compare.
template <class S>
class TemperatureOfStep {
 public:
  TemperatureOfStep(BlockSetup<S>& setup, Index step) : setup_(setup) {
    scale(temperature_factor(setup.options.loss, step, setup.steps * setup.options.epochs));
  }
  ~TemperatureOfStep() { scale(1.0); }
  TemperatureOfStep(const TemperatureOfStep&) = delete;
  TemperatureOfStep& operator=(const TemperatureOfStep&) = delete;
  TemperatureOfStep(TemperatureOfStep&&) = delete;
  TemperatureOfStep& operator=(TemperatureOfStep&&) = delete;

 private:
  void scale(double factor) {
    setup_.loss->scale_temperature(factor);
    setup_.exact_loss->scale_temperature(factor);
  }
  BlockSetup<S>& setup_;
};

}  // namespace

template <class S>
BlockTrainer<S>::BlockTrainer(TrainSession<S>& session) : session_(session), readout_(session) {}

template <class S>
void BlockTrainer<S>::start(BlockSetup<S>& setup) {
  setup_ = &setup;
  const Index parameters = setup.block.parameter_count();
  const ParameterLayout& layout = setup.gradient->layout();
  limit_ = session_.plan.limit_after(usize(&setup - session_.blocks.data()));
  first_loss_ = 0.0;
  rule_ = make_rule<S>(setup.options.update.rule, parameters);
  readout_.start(setup);
  schedule_ = Schedule(setup.options.update.schedule);
  gradient_.resize(parameters);
  fixed_ = uncovered_segments(layout, parameters);
  // Drawn again, so that a resumed run compares with the same lengths.
  const Vector<S> initial = session_.network.initial_parameters(setup.first, setup.last, session_.plan.seed);
  norms_ = NormGuard<S>(layout, as_span(initial));
  const auto* directional = std::get_if<DirectionalOptions>(&setup.options.estimator);
  eps_ = directional != nullptr ? std::max(0.0, directional->eps) : 0.0;
  if (const auto* transfer = std::get_if<TransferOptions>(&setup.options.estimator)) eps_ = transfer->step;
  const auto* coordinate = std::get_if<CoordinateOptions>(&setup.options.estimator);
  if (coordinate == nullptr || !coordinate->one_sided) return;
  eps_ = coordinate->step;
  if (parameters > 0 && isize(rule_->state().size()) % parameters != 0)
    throw ConfigError("update.rule", "one-sided estimates of single parameters need moments parameter by parameter", rule_->name(),
                      "use \"adam\", \"momentum\" or \"sgd\"");
}

template <class S>
void BlockTrainer<S>::restore(const Position& at, const NpzArchive& arrays, const MeasuredControl& measured) {
  copy_into(array_of<S>(arrays, "optimizer.moments"), rule_->state(), "the optimiser must have {} moments");
  copy_into(array_of<S>(arrays, "gradient.memory"), setup_->gradient->memory(), "the estimator must remember {} numbers");
  rule_->set_steps(at.epoch * setup_->steps + at.step - at.skipped);
  if (measured.eps > 0.0) setup_->gradient->set_eps(eps_ = measured.eps);
  if (measured.lr > 0.0) setup_->lr = measured.lr;
  const Vector<S> readout = array_of<S>(arrays, "readout.moments");
  readout_.restore_moments(as_span(readout), rule_->steps());
  Schedule::State schedule{};
  const std::vector<double> kept = arrays.at("optimizer.schedule").template to<double>();
  std::copy_n(kept.begin(), std::min(kept.size(), schedule.size()), schedule.begin());
  schedule_.set_state(schedule);
}

template <class S>
bool BlockTrainer<S>::measure(MeasuredControl& measured) {
  BlockSetup<S>& setup = *setup_;
  if (!wants_control(setup.options)) return true;
  const Index rows = setup.options.batch_size;
  if (passes_limit(control_cost(*setup.gradient, setup.options, setup.last - setup.first, rows))) return false;
  const std::int64_t before = session_.ledger.total().training;
  const std::vector<std::uint32_t> order = session_.order_of(setup, 0);
  const Index whole = std::max<Index>(1, isize(order.size()) / rows);
  const auto batch = [&](Index i) { return gather(std::span(order).subspan(usize(i % whole * rows), usize(rows)), 0, 0); };
  session_.instruments.address(setup.last, ReadingPurpose::control, 0);
  const RandomStream random(session_.plan.seed, Stream::direction, static_cast<std::uint32_t>(setup.first));
  measured = measure_control<S>(*setup.gradient, setup.options, theta(), batch, random, *session_.executor);
  session_.instruments.bill_repeated(setup.first, &Evaluations::training, session_.ledger);
  measured.forward_evals = session_.ledger.total().training - before;
  if (measured.eps > 0.0) eps_ = measured.eps;
  if (measured.lr > 0.0) setup.lr = measured.lr;
  return true;
}

template <class S>
Outcome BlockTrainer<S>::train_epoch(Position& at, const std::function<bool()>& after_step) {
  BlockSetup<S>& setup = *setup_;
  const Index batch = setup.options.batch_size, size = session_.splits.train.size();
  const TrainPlan& plan = session_.plan;
  const std::vector<std::uint32_t> order = session_.order_of(setup, at.epoch);
  for (; at.step < setup.steps; ++at.step) {
    const Index first = at.step * batch, count = std::min(batch, size - first);
    setup.gradient->begin_step(at.epoch * setup.steps + at.step, setup.steps, setup.options.epochs);
    // A share without a first step leaves nothing that the next block could be trained on.
    if (passes_limit(setup.gradient->cost_of_step(at.epoch * setup.steps + at.step, count)))
      return limit_ < plan.forward_evals && !at.at_start() ? Outcome::share : Outcome::budget;
    const double waited = session_.instruments.seconds();
    if (plan.device_seconds > 0.0 && waited + longest_step_s_ > plan.device_seconds) return Outcome::budget;
    take_step(at, std::span(order).subspan(usize(first), usize(count)));
    longest_step_s_ = std::max(longest_step_s_, session_.instruments.seconds() - waited);
    if (after_step()) {
      ++at.step;
      require_sound(at);
      return Outcome::interrupted;
    }
  }
  return Outcome::done;
}

template <class S>
void BlockTrainer<S>::take_step(Position& at, std::span<const std::uint32_t> rows) {
  const BlockSetup<S>& setup = *setup_;
  before_ = session_.ledger;
  const std::vector<std::int64_t> read = session_.instruments.rows_read();
  std::optional<double> loss;
  std::optional<DeviceError> failure;
  try {
    loss = step(at, rows);
    session_.instruments.bill_repeated(setup.first, &Evaluations::training, session_.ledger);
  } catch (const GateError&) {
    session_.instruments.bill_repeated(setup.first, &Evaluations::training, session_.ledger);
    take_back_step();
    throw;
  } catch (const DeviceError& e) {
    session_.ledger = before_;
    if (session_.plan.most_skipped == 0) {
      // Whoever goes on repeats the step, and is billed for it then; these readings are lost.
      session_.instruments.bill_failed(read, session_.ledger);
      throw;
    }
    failure = e;
    // A step that is skipped is billed as one that is made.
    session_.bill(setup.first, setup.last, &Evaluations::training,
                  setup.gradient->cost_of_step(at.epoch * setup.steps + at.step, isize(rows.size())) / (setup.last - setup.first));
  }
  session_.instruments.take_back_unasked(session_.ledger);
  if (loss) {
    at.loss_sum += *loss;
    skipped_in_a_row_ = 0;
    session_.skipped.directions += setup.gradient->missing_pairs();
    return;
  }
  if (++skipped_in_a_row_ > session_.plan.most_skipped) {
    session_.ledger = before_;
    session_.instruments.bill_failed(read, session_.ledger);
    if (failure) throw DeviceError(*failure);
    throw DeviceError(DeviceFailure::not_finite, fmt::format("{}, epoch {}, step {}", setup.name, at.epoch + 1, at.step + 1),
                      fmt::format("one of {} steps must have a reading", skipped_in_a_row_), "none",
                      "look at the detectors and at device.log");
  }
  ++session_.skipped.steps;
  ++at.lossless;
  ++at.skipped;
}

// Whoever goes on repeats the step, and is billed for it then.
template <class S>
void BlockTrainer<S>::take_back_step() {
  const Ledger made = session_.ledger;
  session_.ledger = before_;
  for (Index i = 0; i < made.layers(); ++i)
    session_.bill(i, i + 1, &Evaluations::failed, made.layer(i).training - before_.layer(i).training);
}

template <class S>
std::optional<double> BlockTrainer<S>::step(const Position& at, std::span<const std::uint32_t> rows) {
  BlockSetup<S>& setup = *setup_;
  const Index number = at.epoch * setup.steps + at.step;
  const auto position = static_cast<std::uint64_t>(number);
  if (number == 0) keep_inside();
  session_.instruments.address(setup.last, ReadingPurpose::step, position);
  const Batch<S> batch = gather(rows, at.epoch, at.step);
  const std::span<S> parameters = theta();
  const RandomStream directions(session_.plan.seed, Stream::direction, static_cast<std::uint32_t>(setup.first), position);
  if (number == 0) check_first_step<S>(setup, batch, parameters, directions, *session_.executor, session_.ledger);
  const double loss = [&] {
    const TemperatureOfStep<S> temperature(setup, number);
    return setup.gradient->estimate(batch, parameters, directions, as_span(gradient_));
  }();
  if (setup.gradient->missing_pairs() >= setup.gradient->pairs_of_step()) return std::nullopt;
  if (number == 0) first_loss_ = loss;
  if (!std::isfinite(loss)) diverged(at, "the loss must stay finite", fmt::format("a loss of {}", loss));
  const TrainingStage stage = setup.gradient->stage().value_or(TrainingStage{.first = 0, .steps = setup.steps * setup.options.epochs});
  const double factor = schedule_.factor(number - stage.first, stage.steps);
  readout_.step(setup, rows, batch.targets, factor);
  update(parameters, (stage.lr > 0.0 ? stage.lr : setup.lr) * factor);
  if (number < kFirstSteps || number % kCheckEvery == 0) require_sound(at);
  if (setup.options.update.hold_norm) norms_.hold(parameters);
  keep_inside();
  return loss;
}

template <class S>
void BlockTrainer<S>::update(std::span<S> parameters, double lr) {
  const Vector<S> before = fixed_.empty() ? Vector<S>() : Vector<S>(as_vector(parameters));
  const std::span<const EstimatedPart> parts = setup_->gradient->parts();
  if (parts.empty()) rule_->step(parameters, as_span(std::as_const(gradient_)), lr, *session_.executor);
  const std::int64_t steps = rule_->steps();
  for (const EstimatedPart& part : parts) {
    rule_->set_steps(part.before);
    update_part(part, parameters, lr);
    rule_->set_steps(steps + 1);
  }
  for (const Segment& s : fixed_) as_vector(parameters).segment(s.begin, s.size) = before.segment(s.begin, s.size);
}

template <class S>
void BlockTrainer<S>::update_part(const EstimatedPart& part, std::span<S> parameters, double lr) {
  const Index count = isize(parameters.size());
  const Vector<S> theta = as_vector(parameters), moments = as_vector(std::as_const(*rule_).state());
  rule_->step(parameters, as_span(std::as_const(gradient_)), lr, *session_.executor);
  const auto take = [&part, count](Vector<S> kept, std::span<S> values) {
    for (Index first = 0; first < isize(values.size()); first += count)
      for (const Index i : part.parameters) kept[first + i] = values[usize(first + i)];
    as_vector(values) = kept;
  };
  take(theta, parameters);
  take(moments, rule_->state());
}

template <class S>
Batch<S> BlockTrainer<S>::gather(std::span<const std::uint32_t> rows, Index epoch, Index step) {
  const BlockSetup<S>& setup = *setup_;
  const Index number = epoch * setup.steps + step;
  session_.train.gather(rows, static_cast<std::uint64_t>(epoch), batch_x_);
  session_.bill_recomputed(session_.train, &Evaluations::propagation, isize(rows.size()));
  drop_inputs(number, batch_x_);
  Targets targets = session_.train.targets(rows, batch_labels_, batch_values_);
  targets.weights = batch_weights(session_.splits.train, rows, setup.block.reduction == Reduction::mean, batch_weights_);
  const RandomStream dropout(session_.plan.seed, Stream::dropout, static_cast<std::uint32_t>(setup.first),
                             static_cast<std::uint64_t>(number));
  return {.x = batch_x_, .targets = targets, .dropout = dropout, .reads = readout_.step_reads()};
}

template <class S>
void BlockTrainer<S>::drop_inputs(Index step, Matrix<S>& x) const {
  const BlockSetup<S>& setup = *setup_;
  if (setup.input_dropout <= 0.0) return;
  const std::uint32_t part = setup.first == 0 ? kNetworkInput : static_cast<std::uint32_t>(setup.first - 1);
  const RandomStream random(session_.plan.seed, Stream::dropout, part, static_cast<std::uint64_t>(step));
  Matrix<S> mask(x.rows(), x.cols());
  dropout_mask<S>(random, setup.input_dropout, {mask.data(), usize(mask.size())});
  x.array() *= mask.array();
}

template <class S>
void BlockTrainer<S>::keep_inside() {
  session_.instruments.keep_inside(session_.network, setup_->first, setup_->last, eps_);
}

template <class S>
void BlockTrainer<S>::diverged(const Position& at, const std::string& requirement, const std::string& value) const {
  throw DivergedError(fmt::format("{}, epoch {}, step {}", setup_->name, at.epoch + 1, at.step + 1), requirement, value,
                      fmt::format("lower update.lr (now {:g}); the last good state is in the checkpoint", setup_->lr));
}

template <class S>
void BlockTrainer<S>::require_sound(const Position& at) {
  if (const auto finding = norms_.look(theta()); !finding.sound()) diverged(at, finding.requirement, finding.found);
}

template <class S>
void BlockTrainer<S>::finish_epoch(const Position& at, double mean_loss) {
  schedule_.observe(mean_loss);
  require_sound(at);
}

template <class S>
void BlockTrainer<S>::finish() {
  setup_ = nullptr;
  rule_.reset();
  readout_.finish();
}

template <class S>
void BlockTrainer<S>::save(TrainerState& state, bool reads) const {
  const auto keep = [&](const char* name, std::span<const S> values) {
    state.arrays[name] = NpyArray::of<S>(values, {isize(values.size())});
  };
  if (rule_) {
    keep("optimizer.moments", std::as_const(*rule_).state());
    if (const std::span<const S> memory = setup_->gradient->memory(); !memory.empty()) keep("gradient.memory", memory);
  }
  if (readout_.learns()) keep("readout.moments", readout_.moments());
  if (const Matrix<S>& kept = readout_.reads(); reads && kept.size() > 0)
    state.arrays["readout.reads"] = NpyArray::of<S>({kept.data(), usize(kept.size())}, {kept.rows(), kept.cols()});
  const Schedule::State schedule = schedule_.state();
  state.arrays["optimizer.schedule"] = NpyArray::of<double>(schedule, {isize(schedule.size())});
}

template <class S>
void BlockTrainer<S>::take_reads(const NpzArchive& arrays, const Position& at, const std::string& place) {
  const auto schedule = arrays.find("optimizer.schedule");
  const std::size_t numbers = schedule == arrays.end() ? 0 : schedule->second.template to<double>().size();
  if (numbers != Schedule::State{}.size())
    throw DataError(place, fmt::format("must hold the array optimizer.schedule with {} numbers", Schedule::State{}.size()),
                    std::to_string(numbers), "the file is damaged");
  const auto reads = arrays.find("readout.reads");
  if (reads == arrays.end()) return;
  const auto& shape = reads->second.shape;
  const Index samples = session_.train.size();
  const Index inputs = at.block < session_.blocks.size() ? session_.blocks[at.block].block.head->input_size() : 0;
  if (shape != std::vector<Index>{samples, inputs})
    throw DataError(place, fmt::format("readout.reads must be {} x {}", samples, inputs), fmt::format("{}", fmt::join(shape, " x ")),
                    "the file is damaged");
  const auto values = reads->second.template to<S>();
  readout_.restore_reads(Eigen::Map<const Matrix<S>>(values.data(), shape[0], shape[1]));
}

template class BlockTrainer<float>;
template class BlockTrainer<double>;

}  // namespace ffzero
