// A chip and the model that is fitted to it; slopes from the model.
// SPDX-License-Identifier: MIT
#include "ffzero/train/chip_twin_step.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/map/mesh/chip_mesh.hpp"
#include "ffzero/map/mesh/chip_twin.hpp"
#include "ffzero/objective/twin_block_loss.hpp"
#include "ffzero/train/outputs_alone.hpp"
#include "ffzero/train/twin_stages.hpp"

namespace ffzero {

namespace {

class TwinStep final : public StepGradient<float> {
 public:
  TwinStep(const TwinOptions& options, const Block<float>& block, const ChipMesh<float>& chip, const Executor& executor, Ledger& ledger)
      : options_(options),
        name_(block.layers[0]->name),
        stages_(options),
        loss_(block, executor, ledger),
        turns_(loss_.layout(), kParameters),
        outputs_alone_(turns_, kRows, kStep, block, executor, ledger),
        twin_(chip.layout(), options.calibration.freedom, chip.chip().options.dac_bits),
        memory_(Vector<float>::Zero(kFirst + twin_.state_size())) {
    if (options.file.empty()) return;
    const Vector<double> errors = read_calibration(options.file, chip.layout(), chip.chip().identity());
    twin_.set_errors({errors.data(), usize(errors.size())});
    set(State::calibrated);
    keep();
  }

  void begin_step(Index number, Index steps, Index epochs) override { stages_.begin_step(number, steps, epochs); }
  [[nodiscard]] std::optional<TrainingStage> stage() const override { return stages_.stage(); }

  double estimate(const Batch<float>& batch, std::span<const float> theta, const RandomStream& random, std::span<float> gradient) override {
    loss_.set_batch(batch);
    recall();
    if (calibrates()) calibrate(batch, theta, random);
    if (unlike()) return by_outputs_alone(batch, theta, gradient);
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    loss_.bill_pullback();
    double loss = 0.0;
    if (!stages_.on_device()) {
      twin_.mesh().pull(theta, loss_.inputs(),
                        [&](const MatrixRef<float>& powers) {
                          loss_.keep_modelled(powers);
                          loss = loss_.slope(powers);
                        },
                        gradient, {});
      return loss;
    }
    Matrix<float> readings;
    loss_.read(theta, readings);
    Matrix<float> slopes = readings;
    loss = loss_.slope(slopes);
    twin_.mesh().pull(theta, loss_.inputs(), [&](MatrixRef<float> powers) { powers = slopes; }, gradient, {});
    twin_.fit(theta, loss_.inputs(), readings, options_.fit_lr);
    keep();
    return loss;
  }

  [[nodiscard]] std::int64_t cost_per_sample() const override { return 1; }
  [[nodiscard]] std::int64_t cost_of_step(Index number, Index rows) const override {
    const std::int64_t read = stages_.on_device() ? rows : 0;
    if (unlike()) return outputs_alone_.cost(number, rows, state() == State::unlike_read_whole);
    if (!calibrates()) return read;
    // Before its readings nobody knows whether the twin will serve.
    const CalibrationOptions& o = options_.calibration;
    return o.settings * o.samples + (stops() ? read : std::max(read, outputs_alone_.cost(number, rows, true)));
  }
  [[nodiscard]] std::optional<GatedEvaluations> gated_evaluations(Index samples, Index batch, Index epochs, bool reads) const override {
    const Index start = options_.start_epochs;
    if (!has_gate() || state() != State::ideal || start >= epochs) return std::nullopt;
    const CalibrationOptions& o = options_.calibration;
    const std::int64_t read = o.settings * o.samples, steps = divide_up(samples, batch);
    const std::int64_t alone = stops() ? 0 : outputs_alone_.cost_from(start * steps, samples, batch, epochs, reads);
    return GatedEvaluations{.passed = read + std::min(options_.refine_epochs, epochs - start) * samples, .missed = read + alone};
  }
  [[nodiscard]] Information information() const override { return unlike() ? fallback_information() : Information::twin; }
  [[nodiscard]] Information fallback_information() const override {
    // The slopes of the twin without errors have led to where it was calibrated.
    return options_.start_epochs > 0 ? Information::twin : Information::opaque;
  }
  [[nodiscard]] double fallback() const override { return unlike() ? static_cast<double>(memory_[1]) : 0.0; }
  [[nodiscard]] std::span<const EstimatedPart> parts() const override {
    return unlike() ? std::span<const EstimatedPart>(&part_, 1) : std::span<const EstimatedPart>();
  }
  [[nodiscard]] BlockLoss<float>& loss() override { return loss_; }
  [[nodiscard]] std::span<float> memory() override { return as_span(memory_); }

 private:
  // unlike: it misses the chip by more than the gate, which is trained by its outputs alone; read_whole: a readout learns from whole
  // batches.
  enum class State { ideal, calibrated, unlike, unlike_read_whole };
  static constexpr Index kFirst = 2;      // of the memory: the state, and how far the twin missed
  static constexpr double kFarOff = 1e6;  // the largest miss that is told
  // Where outputs alone are left: parameters of a step, samples of a reading, rad.
  static constexpr Index kParameters = TransferOptions{}.parameters, kRows = TransferOptions{}.readings;
  static constexpr double kStep = 0.1;

  [[nodiscard]] State state() const { return static_cast<State>(static_cast<int>(memory_[0])); }
  void set(State state) { memory_[0] = static_cast<float>(state); }
  /// The step begins with the readings of a calibration.
  [[nodiscard]] bool calibrates() const { return has_gate() && state() == State::ideal && stages_.behind_start(); }
  [[nodiscard]] bool has_gate() const { return !options_.along && options_.calibration.freedom != TwinFreedom::none; }
  [[nodiscard]] bool stops() const { return options_.fallback == Fallback::stop; }
  [[nodiscard]] bool unlike() const { return state() == State::unlike || state() == State::unlike_read_whole; }

  double by_outputs_alone(const Batch<float>& batch, std::span<const float> theta, std::span<float> gradient) {
    // Until the twin was calibrated every step was about every parameter.
    const Index first = stages_.start(), number = stages_.number();
    part_.before = first + (number - first) / turns_.count();
    part_.parameters.assign(turns_.of(number).begin(), turns_.of(number).end());
    return outputs_alone_.estimate(batch, loss_, theta, number, gradient);
  }

  void keep() { twin_.save(as_span(memory_).subspan(usize(kFirst))); }
  // A checkpoint, or a probe, may have put other numbers there.
  void recall() {
    if (recalled_.size() == memory_.size() && recalled_ == memory_) return;
    twin_.load(as_span(std::as_const(memory_)).subspan(usize(kFirst)));
    recalled_ = memory_;
  }

  void calibrate(const Batch<float>& batch, std::span<const float> theta, const RandomStream& random) {
    const CalibrationOptions& o = options_.calibration;
    const ConstMatrixRef<float>& x = loss_.inputs();
    std::vector<ChipReading> readings;
    for (Vector<float>& setting : calibration_settings(theta, o, random.of(kSettings))) {
      ChipReading reading{.theta = std::move(setting), .x = Matrix<float>(o.samples, x.cols()), .powers = {}};
      for (Index i = 0; i < o.samples; ++i) reading.x.row(i) = x.row((isize(readings.size()) * o.samples + i) % x.rows());
      loss_.read(as_span(std::as_const(reading.theta)), reading.x, reading.powers);
      readings.push_back(std::move(reading));
    }
    const CalibrationReport report = twin_.calibrate(readings, o, random.of(kOrder));
    if (!(report.after <= options_.gate) && stops()) {
      // What is remembered is still the twin without errors: whoever goes on calibrates anew.
      recalled_.resize(0);
      throw GateError(name_, std::min(report.after, kFarOff), options_.gate, "gradient.twin.gate",
                      "more gradient.twin.steps (no reading), a smaller gradient.twin.spread or more gradient.twin.settings");
    }
    if (report.after <= options_.gate)
      set(State::calibrated);
    else
      set(batch.reads != nullptr ? State::unlike_read_whole : State::unlike);
    memory_[1] = static_cast<float>(report.after < kFarOff ? report.after : kFarOff);
    keep();
    // What a run that is resumed here would begin with.
    recalled_.resize(0);
    recall();
  }

  // Parts of the stream of directions that no estimator uses.
  static constexpr std::uint32_t kSettings = 0xFFFE, kOrder = 0xFFFD;

  TwinOptions options_;
  std::string name_;
  TwinStages stages_;
  TwinBlockLoss<float> loss_;
  ParameterTurns turns_;
  OutputsAlone outputs_alone_;
  ChipTwin twin_;
  Vector<float> memory_, recalled_;
  EstimatedPart part_;
};

}  // namespace

std::unique_ptr<StepGradient<float>> make_chip_twin_step(const TwinOptions& options, const Block<float>& block, const Executor& executor,
                                                         Ledger& ledger) {
  const auto* chip = dynamic_cast<const ChipMesh<float>*>(block.layers[0]->map.get());
  if (block.layers.size() != 1 || block.end_to_end || block.layers[0]->loss_after != 0 || chip == nullptr || chip->count() != 1)
    throw ConfigError("gradient.estimator", "a twin is that of one chip whose powers the loss reads", "another block",
                      "use a photonic model with model.mesh.chip.*, objective.scope = \"local\" and model.mesh.parallel = 1");
  return std::make_unique<TwinStep>(options, block, *chip, executor, ledger);
}

}  // namespace ffzero
