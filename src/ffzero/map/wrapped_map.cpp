// A map in front of and behind which something happens.
// SPDX-License-Identifier: MIT
#include "ffzero/map/wrapped_map.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/map/adjoint_map.hpp"
#include "ffzero/map/instrument.hpp"
#include "ffzero/map/shape_check.hpp"

namespace ffzero {

template <class S>
void MapEffects<S>::set(const Reading& /*reading*/, Index /*rows*/, std::span<const S> theta, std::span<S> standing) const {
  std::copy(theta.begin(), theta.end(), standing.begin());
}
template <class S>
void MapEffects<S>::read(const Reading& /*reading*/, MatrixRef<S> /*y*/) const {}
template <class S>
void MapEffects<S>::pull_set(std::span<const S> /*theta*/, std::span<S> /*gradient*/) const {}
template <class S>
void MapEffects<S>::pull_read(const ConstMatrixRef<S>& /*y*/, MatrixRef<S> /*gy*/) const {}

namespace {

/// Base: ForwardMap or AdjointMap. StatefulMap with no state where the wrapped map has none.
template <class S, class Base>
class WrappedMap : public Base, public MapWrapper<S>, public StatefulMap<S>, public AddressedReadings, public virtual ManyReadings<S> {
 public:
  WrappedMap(std::shared_ptr<ForwardMap<S>> inner, std::shared_ptr<const MapEffects<S>> effects, const ReadingFailures& failures)
      : inner_(std::move(inner)),
        effects_(std::move(effects)),
        failures_(failures),
        stateful_(dynamic_cast<StatefulMap<S>*>(inner_.get())),
        fixed_(dynamic_cast<FixedState<S>*>(inner_.get())),
        addressed_(dynamic_cast<const AddressedReadings*>(inner_.get())),
        many_(dynamic_cast<const ManyReadings<S>*>(inner_.get())) {}

  [[nodiscard]] ForwardMap<S>& inner() const override { return *inner_; }
  [[nodiscard]] Shape input_shape() const override { return inner_->input_shape(); }
  [[nodiscard]] Shape output_shape() const override { return inner_->output_shape(); }
  [[nodiscard]] Index parameter_count() const override { return inner_->parameter_count(); }
  [[nodiscard]] ParameterLayout parameter_layout() const override { return inner_->parameter_layout(); }
  void initialise(std::span<S> theta, const RandomStream& random) const override { inner_->initialise(theta, random); }
  [[nodiscard]] std::string kind() const override { return inner_->kind(); }
  [[nodiscard]] bool independent_rows() const override { return inner_->independent_rows() && repeatable(); }

  void forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override { answer(theta, x, y, false); }
  void infer(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const override { answer(theta, x, y, true); }
  [[nodiscard]] bool infers_rows_apart() const override {
    return repeatable() && (stateful_ != nullptr ? stateful_->infers_rows_apart() : inner_->independent_rows());
  }

  [[nodiscard]] std::span<const S> state() const override {
    return fixed_ == nullptr ? std::span<const S>() : std::as_const(*fixed_).state();
  }
  [[nodiscard]] std::span<S> state() override { return fixed_ == nullptr ? std::span<S>() : fixed_->state(); }
  [[nodiscard]] bool needs_statistics() const override { return stateful_ != nullptr && stateful_->needs_statistics(); }
  void begin_statistics() override {
    if (stateful_ != nullptr) stateful_->begin_statistics();
  }
  // Statistics are of what the map stands at.
  void absorb(std::span<const S> theta, const ConstMatrixRef<S>& x) override {
    if (stateful_ == nullptr) return;
    Vector<S> own;
    stateful_->absorb(standing(take(1), x.rows(), theta, own), x);
  }
  void finish_statistics() override {
    if (stateful_ != nullptr) stateful_->finish_statistics();
  }

  void begin_series(const ReadingSeries& series) const override {
    counter_.begin(series);
    if (addressed_ != nullptr) addressed_->begin_series(series);
  }
  [[nodiscard]] bool smooth() const override { return effects_->smooth() && (addressed_ == nullptr || addressed_->smooth()); }

  void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                 bool may_miss) const override {
    if (ys.size() != thetas.size())
      throw ShapeError(kind(), "as many results as parameter vectors (" + std::to_string(thetas.size()) + ")", std::to_string(ys.size()));
    const Reading first = take(thetas.size());
    const auto reading = [&first](std::size_t i) {
      Reading own = first;
      own.number += i;
      return own;
    };
    const Index outputs = output_shape().size();
    std::vector<Vector<S>> own(thetas.size());
    std::vector<std::span<const S>> sets;
    std::vector<std::size_t> wanted;
    for (std::size_t i = 0; i < thetas.size(); ++i) {
      if (comes(reading(i), x.rows(), may_miss)) {
        wanted.push_back(i);
        sets.push_back(standing(reading(i), x.rows(), thetas[i], own[i]));
      } else {
        ys[i] = Matrix<S>::Constant(x.rows(), outputs, std::numeric_limits<S>::quiet_NaN());
      }
    }
    std::vector<Matrix<S>> found(wanted.size());
    if (many_ != nullptr) {
      many_->read_many(sets, x, found, may_miss);
    } else {
      for (std::size_t k = 0; k < wanted.size(); ++k) {
        found[k].resize(x.rows(), outputs);
        inner_->forward(sets[k], x, found[k]);
      }
    }
    for (std::size_t k = 0; k < wanted.size(); ++k) {
      if (effects_->of_outputs()) effects_->read(reading(wanted[k]), found[k]);
      ys[wanted[k]].swap(found[k]);
    }
  }

 protected:
  /// True if the same question has the same answer.
  [[nodiscard]] bool repeatable() const { return effects_->repeatable() && failures_.probability == 0.0; }
  [[nodiscard]] const MapEffects<S>& effects() const { return *effects_; }
  [[nodiscard]] Reading latest() const { return counter_.latest(); }
  [[nodiscard]] Reading take(std::size_t count) const { return counter_.take(count); }
  void count_from(std::int64_t attempts) const {
    const std::lock_guard lock(busy_);
    earlier_ = attempts;
  }
  /// What was asked of this wrapper, where readings fail.
  [[nodiscard]] DeviceReceipt attempts() const {
    const std::lock_guard lock(busy_);
    return attempts_;
  }

  /// theta itself, or `own` as the effects make it.
  [[nodiscard]] std::span<const S> standing(const Reading& reading, Index rows, std::span<const S> theta, Vector<S>& own) const {
    if (!effects_->of_parameters()) return theta;
    own.resize(isize(theta.size()));
    effects_->set(reading, rows, theta, as_span(own));
    return as_span(std::as_const(own));
  }

 private:
  void answer(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y, bool inference) const {
    require_shapes<S>(kind(), x, input_shape(), y, output_shape());
    if (isize(theta.size()) != parameter_count())
      throw ShapeError(kind(), "theta must have " + std::to_string(parameter_count()) + " entries", std::to_string(theta.size()));
    const Reading reading = take(1);
    static_cast<void>(comes(reading, x.rows(), false));
    Vector<S> own;
    const std::span<const S> set = standing(reading, x.rows(), theta, own);
    if (inference && stateful_ != nullptr)
      stateful_->infer(set, x, y);
    else
      inner_->forward(set, x, y);
    if (effects_->of_outputs()) effects_->read(reading, y);
  }

  /// False if this reading does not come back and may be missed. @throws DeviceError if it may not
  [[nodiscard]] bool comes(const Reading& reading, Index rows, bool may_miss) const {
    if (failures_.probability == 0.0) return true;
    const std::lock_guard lock(busy_);
    Reading draw = reading;
    for (int attempt = 0; attempt <= failures_.retries; ++attempt) {
      // Where a failure changes what training sees, it is that of the reading. Else it changes nothing, and a step that is repeated, in
      // another session too, must not fail for ever: then it is that of the attempt.
      if (!failures_.drop) draw.number = static_cast<std::uint64_t>(earlier_ + attempts_.evaluations);
      float chance[1];
      draw.random(failures_.seed, failures_.part).fill_uniform(chance, failures_.drop ? attempt : 0);
      ++attempts_.evaluations;
      if (!(static_cast<double>(chance[0]) < failures_.probability)) {
        attempts_.rows += rows;
        attempts_.retries += attempt;
        return true;
      }
    }
    attempts_.retries += failures_.retries;
    ++attempts_.failed;
    if (!may_miss || !failures_.drop)
      throw DeviceError(DeviceFailure::timeout, kind() + " with failing readings", "a reading must come back",
                        "none in " + std::to_string(failures_.retries + 1) + " attempts",
                        "repeat it more often (device.retries), or do without (device.on_failure)");
    attempts_.dropped += rows;
    return false;
  }

  std::shared_ptr<ForwardMap<S>> inner_;
  std::shared_ptr<const MapEffects<S>> effects_;
  ReadingFailures failures_;
  StatefulMap<S>* stateful_;
  FixedState<S>* fixed_;
  const AddressedReadings* addressed_;
  const ManyReadings<S>* many_;
  mutable ReadingCounter counter_;
  mutable std::mutex busy_;
  mutable DeviceReceipt attempts_;
  mutable std::int64_t earlier_ = 0;  // attempts of earlier sessions
};

template <class S>
class WrappedAdjoint : public WrappedMap<S, AdjointMap<S>> {
 public:
  using WrappedMap<S, AdjointMap<S>>::WrappedMap;

  void pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& /*y*/, const ConstMatrixRef<S>& gy,
                std::span<S> gtheta, MatrixRef<S>* gx) const override {
    const auto& map = dynamic_cast<const AdjointMap<S>&>(this->inner());
    Vector<S> own;
    const std::span<const S> set = this->standing(this->latest(), x.rows(), theta, own);
    // y has the effects in it.
    Matrix<S> given(gy.rows(), gy.cols()), slopes = gy;
    map.forward(set, x, given);
    if (this->effects().of_outputs()) this->effects().pull_read(given, slopes);
    if (!this->effects().of_parameters()) return map.pullback(set, x, given, slopes, gtheta, gx);
    Vector<S> moved = Vector<S>::Zero(isize(theta.size()));
    map.pullback(set, x, given, slopes, as_span(moved), gx);
    this->effects().pull_set(theta, as_span(moved));
    as_vector(gtheta) += moved;
  }
};

/// A wrapper that is an instrument, because what it wraps is one or because its readings fail.
template <class S, class Wrapped>
class WrappedInstrument final : public Wrapped, public Instrument<S> {
 public:
  WrappedInstrument(std::shared_ptr<ForwardMap<S>> inner, std::shared_ptr<const MapEffects<S>> effects, const ReadingFailures& failures)
      : Wrapped(std::move(inner), std::move(effects), failures), instrument_(dynamic_cast<const Instrument<S>*>(&this->inner())) {}

  // Hardware shares nothing between threads.
  [[nodiscard]] bool independent_rows() const override { return false; }
  [[nodiscard]] InstrumentInfo info() const override {
    return instrument_ != nullptr ? instrument_->info()
                                  : InstrumentInfo{.address = "", .identity = "simulated " + this->kind(), .noise = 0.0};
  }
  [[nodiscard]] DeviceReceipt receipt() const override {
    DeviceReceipt own = this->attempts();
    if (instrument_ == nullptr) return own;
    // What came back was read by the instrument, and stands in its receipt.
    own.rows = 0;
    own.evaluations = 0;
    own += instrument_->receipt();
    return own;
  }
  void go_on(const DeviceReceipt& earlier) const override {
    this->count_from(earlier.evaluations + earlier.retries + earlier.failed);
    if (instrument_ != nullptr) instrument_->go_on(earlier);
  }
  [[nodiscard]] std::vector<std::string> log() const override {
    return instrument_ != nullptr ? instrument_->log() : std::vector<std::string>();
  }
  void safe() const override {
    if (instrument_ != nullptr) instrument_->safe();
  }
  void begin_readings(std::uint64_t stream, std::uint64_t step, bool lasting) const override {
    if (instrument_ != nullptr) instrument_->begin_readings(stream, step, lasting);
  }
  void begin_rows(Index first) const override {
    if (instrument_ != nullptr) instrument_->begin_rows(first);
  }
  void pass_over(std::size_t readings) const override {
    static_cast<void>(this->take(readings));
    if (instrument_ != nullptr) instrument_->pass_over(readings);
  }
  [[nodiscard]] bool keeps_readings() const override { return instrument_ != nullptr && instrument_->keeps_readings(); }
  void read_many(std::span<const std::span<const S>> thetas, const ConstMatrixRef<S>& x, std::span<Matrix<S>> ys,
                 bool may_miss) const override {
    Wrapped::read_many(thetas, x, ys, may_miss);
  }
  [[nodiscard]] Matrix<S> reference_readings(std::span<const S> theta, Index repeats) const override {
    const Reading reading = this->take(1);
    Vector<S> own;
    const std::span<const S> set = this->standing(reading, repeats, theta, own);
    Matrix<S> y;
    if (instrument_ != nullptr) {
      y = instrument_->reference_readings(set, repeats);
    } else {
      y.resize(repeats, this->output_shape().size());
      this->inner().forward(set, Matrix<S>::Constant(repeats, this->input_shape().size(), S{0.5}), y);
    }
    if (this->effects().of_outputs()) this->effects().read(reading, y);
    return y;
  }
  void keep_inside(std::span<S> theta, double margin) const override {
    if (instrument_ != nullptr) instrument_->keep_inside(theta, margin);
  }
  [[nodiscard]] double resolution() const override {
    return std::max(this->effects().resolution(), instrument_ != nullptr ? instrument_->resolution() : 0.0);
  }

 private:
  const Instrument<S>* instrument_;
};

}  // namespace

template <class S>
std::shared_ptr<ForwardMap<S>> wrapped_map(std::shared_ptr<ForwardMap<S>> inner, std::shared_ptr<const MapEffects<S>> effects,
                                           const ReadingFailures& failures) {
  if (!(failures.probability >= 0.0 && failures.probability <= 1.0))
    throw ConfigError("ReadingFailures", "the probability must lie in 0 .. 1", std::to_string(failures.probability));
  if (failures.retries < 0) throw ConfigError("ReadingFailures", "retries must be at least 0", std::to_string(failures.retries));
  const bool fails = failures.probability > 0.0;
  if (!fails && !effects->of_parameters() && !effects->of_outputs()) return inner;
  using Forward = WrappedMap<S, ForwardMap<S>>;
  const bool adjoint = dynamic_cast<const AdjointMap<S>*>(inner.get()) != nullptr;
  const bool instrument = fails || dynamic_cast<const Instrument<S>*>(inner.get()) != nullptr;
  if (adjoint && instrument)
    return std::make_shared<WrappedInstrument<S, WrappedAdjoint<S>>>(std::move(inner), std::move(effects), failures);
  if (adjoint) return std::make_shared<WrappedAdjoint<S>>(std::move(inner), std::move(effects), failures);
  if (instrument) return std::make_shared<WrappedInstrument<S, Forward>>(std::move(inner), std::move(effects), failures);
  return std::make_shared<Forward>(std::move(inner), std::move(effects), failures);
}

template <class S>
const ForwardMap<S>& innermost(const ForwardMap<S>& map) {
  const auto* wrapper = dynamic_cast<const MapWrapper<S>*>(&map);
  return wrapper == nullptr ? map : innermost<S>(std::as_const(wrapper->inner()));
}

template <class S>
ForwardMap<S>& innermost(ForwardMap<S>& map) {
  auto* wrapper = dynamic_cast<MapWrapper<S>*>(&map);
  return wrapper == nullptr ? map : innermost<S>(wrapper->inner());
}

template class MapEffects<float>;
template class MapEffects<double>;
template std::shared_ptr<ForwardMap<float>> wrapped_map(std::shared_ptr<ForwardMap<float>>, std::shared_ptr<const MapEffects<float>>,
                                                        const ReadingFailures&);
template std::shared_ptr<ForwardMap<double>> wrapped_map(std::shared_ptr<ForwardMap<double>>, std::shared_ptr<const MapEffects<double>>,
                                                         const ReadingFailures&);
template const ForwardMap<float>& innermost(const ForwardMap<float>&);
template const ForwardMap<double>& innermost(const ForwardMap<double>&);
template ForwardMap<float>& innermost(ForwardMap<float>&);
template ForwardMap<double>& innermost(ForwardMap<double>&);

}  // namespace ffzero
