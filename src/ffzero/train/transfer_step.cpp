// A transfer matrix and generators from readings; slopes from them.
// SPDX-License-Identifier: MIT
#include "ffzero/train/transfer_step.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/base/error.hpp"
#include "ffzero/gradient/transfer_matrix.hpp"
#include "ffzero/map/instrument.hpp"
#include "ffzero/map/mesh/chip_mesh.hpp"
#include "ffzero/map/mesh/parallel_meshes.hpp"
#include "ffzero/objective/twin_block_loss.hpp"
#include "ffzero/tensor/gemm.hpp"
#include "ffzero/train/outputs_alone.hpp"

namespace ffzero {

namespace {

constexpr double kCorrection = 0.02;  // damping of corrections
constexpr double kGood = 0.02;        // held-out miss of a generator at which no other start is tried
constexpr Index kMostRank = 2, kJudges = 16;
constexpr double kFarOff = 1e6;    // the largest miss that is told
constexpr Index kPiece = 256;      // samples whose slopes one thread sums: the same for any number of threads
constexpr Index kBaseRepeats = 4;  // of what moved parameters are held against, where readings have noise

class TransferStep final : public StepGradient<float> {
 public:
  TransferStep(const TransferOptions& options, const Block<float>& block, const Executor& executor, Ledger& ledger)
      : options_(options),
        name_(block.layers[0]->name),
        executor_(executor),
        loss_(block, executor, ledger),
        turns_(loss_.layout(), options.parameters),
        outputs_alone_(turns_, options.readings, options.step, block, executor, ledger),
        inputs_(block.layers[0]->map->input_shape().size() / 2),
        outputs_(block.head->input_size()) {
    memory_ = Vector<float>::Zero(kMatrix + 2 * outputs_ * inputs_ + loss_.dimension() * (2 + generator_size()));
  }

  void begin_step(Index number, Index /*steps*/, Index /*epochs*/) override { number_ = number; }

  double estimate(const Batch<float>& batch, std::span<const float> theta, const RandomStream& random, std::span<float> gradient) override {
    loss_.set_batch(batch);
    ComplexMatrix u;
    if (state() == State::unknown) {
      u = probe(theta, random);
      memory_[kWhole] = batch.reads != nullptr ? 1.0F : 0.0F;
    }
    if (state() == State::unlike) {
      part_.before = number_ / turns_.count();
      part_.parameters.assign(turns_.of(number_).begin(), turns_.of(number_).end());
      return outputs_alone_.estimate(batch, loss_, theta, number_, gradient);
    }
    const Index measured = number_ / options_.steps;
    const std::span<const Index> own = turns_.of(measured);
    if (u.size() == 0) u = follow(theta);
    if (number_ % options_.steps == 0) measure(u, theta, own, random);
    keep(u, theta);

    part_.before = (measured / turns_.count()) * options_.steps + number_ % options_.steps;
    part_.parameters.clear();
    for (const Index i : own)
      if (*flag(i) != 0.0F) part_.parameters.push_back(i);
    return slopes(u, gradient);
  }
  [[nodiscard]] std::int64_t cost_per_sample() const override { return 1; }
  [[nodiscard]] std::int64_t cost_of_step(Index number, Index rows) const override {
    const std::int64_t learnt = number % options_.steps == 0 ? cost_of_group(number / options_.steps, rows) : 0;
    if (state() == State::known) return learnt;
    if (state() == State::unlike) return cost_of_singles(number, rows);
    // Before the first readings nobody knows which it will be.
    return transfer_probe_count(inputs_) + 2 * kJudges + (stops() ? learnt : std::max(learnt, cost_of_singles(number, rows)));
  }
  [[nodiscard]] std::optional<StepReadings> planned_readings() const override {
    const auto steps = static_cast<double>(options_.steps), parameters = static_cast<double>(turns_.of(0).size());
    return StepReadings{.rows = (static_cast<double>(options_.base) + parameters * static_cast<double>(options_.readings)) / steps,
                        .writes = (1.0 + parameters) / steps};
  }
  [[nodiscard]] std::optional<GatedEvaluations> gated_evaluations(Index samples, Index batch, Index epochs, bool reads) const override {
    if (state() != State::unknown) return std::nullopt;
    const std::int64_t probes = transfer_probe_count(inputs_) + 2 * kJudges, steps = epochs * divide_up(samples, batch);
    const std::int64_t alone = stops() ? 0 : outputs_alone_.cost_from(0, samples, batch, epochs, reads);
    return GatedEvaluations{.passed = probes + std::llround(planned_readings()->rows * static_cast<double>(steps)),
                            .missed = probes + alone};
  }
  [[nodiscard]] Information information() const override { return state() == State::unlike ? Information::opaque : Information::transfer; }
  [[nodiscard]] double fallback() const override { return state() == State::unlike ? static_cast<double>(memory_[kMiss]) : 0.0; }
  [[nodiscard]] BlockLoss<float>& loss() override { return loss_; }
  [[nodiscard]] std::span<float> memory() override { return as_span(memory_); }
  [[nodiscard]] std::span<const EstimatedPart> parts() const override { return {&part_, 1}; }

 private:
  using Single = Matrix<std::complex<float>>;
  // unlike: the device is not what the method is for, and is trained by its outputs alone.
  enum class State { unknown, known, unlike };
  // Of the memory: the state, the noise of readings, how far the matrix missed, whether a readout learns from readings of whole batches;
  // then the matrix, the parameters that it is of, whether a parameter's generator is good, and the generators.
  static constexpr Index kNoise = 1, kMiss = 2, kWhole = 3, kMatrix = 4;
  // Parts of the stream of directions that no estimator uses.
  static constexpr std::uint32_t kProbes = 0xFFFC, kJudged = 0xFFFB;

  [[nodiscard]] State state() const { return static_cast<State>(static_cast<int>(memory_[0])); }
  [[nodiscard]] double noise() const { return static_cast<double>(memory_[kNoise]); }
  [[nodiscard]] bool stops() const { return options_.fallback == Fallback::stop; }
  [[nodiscard]] Index repeats() const { return noise() > 0.0 ? kBaseRepeats : 1; }
  /// Evaluations that a turn of its parameters and a batch of `rows` take; where noise is not known yet, as with it.
  [[nodiscard]] std::int64_t cost_of_group(Index turn, Index rows) const {
    const Index again = (state() == State::unknown ? kBaseRepeats : repeats()) - 1;
    return (1 + again + isize(turns_.of(turn).size())) * options_.readings + std::min(options_.base - options_.readings, rows);
  }
  [[nodiscard]] std::int64_t cost_of_singles(Index turn, Index rows) const {
    return outputs_alone_.cost(turn, rows, state() == State::unknown || memory_[kWhole] != 0.0F);
  }
  [[nodiscard]] Index generator_size() const { return 2 * kMostRank * outputs_; }
  [[nodiscard]] float* parameters() { return memory_.data() + kMatrix + 2 * outputs_ * inputs_; }
  [[nodiscard]] float* flag(Index i) { return parameters() + loss_.dimension() + i; }
  [[nodiscard]] float* generator_memory(Index i) { return parameters() + 2 * loss_.dimension() + i * generator_size(); }
  [[nodiscard]] Eigen::Map<Single> kept_generator(Index i) {
    return {reinterpret_cast<std::complex<float>*>(generator_memory(i)), outputs_, kMostRank};
  }
  [[nodiscard]] Generator generator(Index i) {
    const auto kept = kept_generator(i);
    const Index rank = kept.col(1).isZero(0.0F) ? (kept.col(0).isZero(0.0F) ? 0 : 1) : 2;
    return {.v = kept.leftCols(rank).cast<std::complex<double>>()};
  }
  void keep_generator(Index i, const GeneratorFit& fit) {
    auto kept = kept_generator(i);
    kept.setZero();
    *flag(i) = fit.held_out <= options_.gate ? 1.0F : 0.0F;
    if (*flag(i) != 0.0F) kept.leftCols(fit.generator.v.cols()) = fit.generator.v.cast<std::complex<float>>();
  }
  [[nodiscard]] Eigen::Map<Single> matrix() {
    return {reinterpret_cast<std::complex<float>*>(memory_.data() + kMatrix), outputs_, inputs_};
  }
  void keep(const ComplexMatrix& u, std::span<const float> theta) {
    matrix() = u.cast<std::complex<float>>();
    std::copy(theta.begin(), theta.end(), parameters());
  }

  /// Inputs of power 1 that see every waveguide.
  [[nodiscard]] Matrix<float> random_inputs(Index rows, const RandomStream& random) const {
    Matrix<float> x(rows, 2 * inputs_);
    random.fill_normal(std::span<float>(x.data(), usize(x.size())));
    x.rowwise().normalize();
    return x;
  }

  ComplexMatrix probe(std::span<const float> theta, const RandomStream& random) {
    Matrix<float> powers, judged, again;
    loss_.read(theta, transfer_probes(inputs_), powers);
    const Matrix<float> x = random_inputs(kJudges, random.of(kJudged));
    loss_.read(theta, x, judged);
    loss_.read(theta, x, again);
    ComplexMatrix u = retrieve_transfer(inputs_, powers);
    const double miss = transfer_error(u, fields_of(x), judged);
    if (!(miss <= options_.gate) && stops())
      throw GateError(name_, std::min(miss, kFarOff), options_.gate, "gradient.transfer.gate",
                      "a device that is linear in its field and read by powers (docs/transfer.md)");
    memory_[kNoise] = static_cast<float>(reading_noise(judged, again));
    // A device that answers the same to everything has no contrast to miss.
    memory_[kMiss] = static_cast<float>(std::min(miss, kFarOff));
    memory_[0] = static_cast<float>(miss <= options_.gate ? State::known : State::unlike);
    return u;
  }

  /// The matrix at theta, from where the last step left it.
  ComplexMatrix follow(std::span<const float> theta) {
    ComplexMatrix u = matrix().cast<std::complex<double>>();
    for (const Index i : turns_.all()) {
      const double moved = static_cast<double>(theta[usize(i)]) - static_cast<double>(parameters()[i]);
      if (moved != 0.0 && *flag(i) != 0.0F) turn(u, generator(i), moved);
    }
    return u;
  }

  void measure(ComplexMatrix& u, std::span<const float> theta, std::span<const Index> own, const RandomStream& random) {
    const Index probes = options_.readings, samples = std::min(options_.base - probes, loss_.inputs().rows());
    Matrix<float> x(probes + samples, 2 * inputs_), base, again;
    x.topRows(probes) = random_inputs(probes, random.of(kProbes));
    x.bottomRows(samples) = loss_.inputs().topRows(samples);
    loss_.read(theta, x, base);
    const ComplexMatrix fields = fields_of(x);
    correct_transfer(u, fields, base, kCorrection, noise());
    Matrix<double> here = base.topRows(probes).cast<double>();
    for (Index r = 1; r < repeats(); ++r) {
      loss_.read(theta, x.topRows(probes), again);
      here += again.cast<double>();
    }
    here /= static_cast<double>(repeats());
    const ComplexMatrix y = product(u, fields.leftCols(probes));
    const double noise_of_change = noise() * here.mean() * std::sqrt(1.0 + 1.0 / static_cast<double>(repeats()));
    std::vector<Vector<float>> settings(own.size(), as_vector(theta));
    std::vector<std::span<const float>> asked;
    for (std::size_t j = 0; j < own.size(); ++j) {
      settings[j][own[j]] += static_cast<float>(options_.step);
      asked.push_back(as_span(std::as_const(settings[j])));
    }
    std::vector<Matrix<float>> moved(own.size());
    loss_.read_many(asked, x.topRows(probes), moved);
    std::vector<PowerChanges> seen(own.size());
    for (std::size_t j = 0; j < own.size(); ++j) {
      // The step that rounding left of it.
      const double step = static_cast<double>(settings[j][own[j]]) - static_cast<double>(theta[usize(own[j])]);
      seen[j] = {.changes = (moved[j].cast<double>() - here).transpose(), .step = step, .noise = noise_of_change};
    }
    executor_.run(isize(own.size()), [&](Index j) {
      const Index i = own[usize(j)];
      keep_generator(i, fit_generator(y, seen[usize(j)], options_.held_out, generator(i), kGood));
    });
  }

  /// Slopes of the modelled loss of the batch in the parameters of part_.
  double slopes(const ComplexMatrix& u, std::span<float> gradient) {
    const auto& x = loss_.inputs();
    const Index pieces = divide_up(x.rows(), kPiece);
    const auto rows_of = [&](Index piece) { return std::min(kPiece, x.rows() - piece * kPiece); };
    const Single single = u.cast<std::complex<float>>();
    std::vector<Single> fields(usize(pieces));
    Matrix<float> powers(x.rows(), outputs_);
    executor_.run(pieces, [&](Index piece) {
      const auto own = x.middleRows(piece * kPiece, rows_of(piece));
      Single in(inputs_, own.rows());
      in.real() = own.leftCols(inputs_).transpose();
      in.imag() = own.rightCols(inputs_).transpose();
      fields[usize(piece)] = product(single, in);
      powers.middleRows(piece * kPiece, own.rows()) = fields[usize(piece)].cwiseAbs2().transpose();
    });
    loss_.keep_modelled(powers);
    const double loss = loss_.slope(powers);  // now dL/dI
    loss_.bill_pullback();
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    const Index count = isize(part_.parameters.size());
    if (count == 0) return loss;
    Single stacked(outputs_, count * kMostRank);
    for (Index j = 0; j < count; ++j) stacked.middleCols(j * kMostRank, kMostRank) = kept_generator(part_.parameters[usize(j)]);
    Matrix<double> sums(pieces, count);
    executor_.run(pieces, [&](Index piece) {
      const Single& y = fields[usize(piece)];
      const auto slope = powers.middleRows(piece * kPiece, rows_of(piece)).transpose().cast<std::complex<float>>();
      // dI = -2 Im(conj(y) (V S V^+ y)).
      const Single seen = adjoint_product(stacked, y), sent = adjoint_product(stacked, y.cwiseProduct(slope));
      for (Index j = 0; j < count; ++j) {
        double sum = 0.0;
        for (Index r = 0; r < kMostRank; ++r) {
          const Index row = j * kMostRank + r;
          sum -= 2.0 * Generator::sign(r) * seen.row(row).cwiseProduct(sent.row(row).conjugate()).imag().template cast<double>().sum();
        }
        sums(piece, j) = sum;
      }
    });
    for (Index j = 0; j < count; ++j) gradient[usize(part_.parameters[usize(j)])] = static_cast<float>(sums.col(j).sum());
    return loss;
  }

  TransferOptions options_;
  std::string name_;
  const Executor& executor_;
  TwinBlockLoss<float> loss_;
  ParameterTurns turns_;
  OutputsAlone outputs_alone_;
  Index inputs_, outputs_;
  Vector<float> memory_;
  EstimatedPart part_;
  Index number_ = 0;
};

bool reads_powers(const Layer<float>& layer) {
  const ForwardMap<float>* map = layer.map.get();
  const bool mesh = dynamic_cast<const InterferometerMesh<float>*>(map) != nullptr ||
                    dynamic_cast<const ParallelMeshes<float>*>(map) != nullptr || dynamic_cast<const ChipMesh<float>*>(map) != nullptr;
  if (mesh)
    return dynamic_cast<const Intensity<float>*>(layer.readout.get()) != nullptr ||
           dynamic_cast<const ChipDetectors<float>*>(layer.readout.get()) != nullptr;
  // What a device says is held against held-out readings.
  return dynamic_cast<const Instrument<float>*>(map) != nullptr && layer.readout == nullptr && map->input_shape().size() % 2 == 0;
}

}  // namespace

std::unique_ptr<StepGradient<float>> make_transfer_step(const TransferOptions& options, const Block<float>& block, const Executor& executor,
                                                        Ledger& ledger) {
  if (block.layers.size() != 1 || block.end_to_end || block.layers[0]->loss_after != 0 || !reads_powers(*block.layers[0]))
    throw ConfigError("gradient.estimator", "a transfer matrix is that of one map of fields whose powers the loss reads", "another block",
                      "use a mesh, a chip or a device of powers with objective.scope = \"local\" and model.local_loss_at = \"pre\"");
  return std::make_unique<TransferStep>(options, block, executor, ledger);
}

}  // namespace ffzero
